"""Hostile bytes and what becomes of them: cases in YAML files, and the two peers that watch a gateway between them.

An outcome is one line, so that a file of cases reads as a table:

    400 close                      the statuses of the answers, then whether the connection goes on
    200 open | POST a.test/x 'ab'  behind the bar, each whole request that reached the upstream
    200 'ab' open                  for what an upstream says: the answer's body as the client got it

Behind each case a plain request for `/after` is sent over the same connection. It tells whether the connection goes on
(`open`), and it is what a smuggled prefix would swallow: then it never reaches the upstream as itself.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .backends import Conversation
from .clients import Answer, Client, WireError

__all__ = ["AFTER", "HOST", "WireCase", "WireUpstream", "answers_of", "exchanged", "load_cases"]

HOST = "a.test"
AFTER = "/after"

_SENTINEL = f"GET {AFTER} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) (/[\x21-\x7e]*|\*) HTTP/1\.1" % _TOKEN)
_FIELD = re.compile(
    rb"(%b):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|)[ \t]*" % _TOKEN
)
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,16}\r\n")


@dataclass(frozen=True, slots=True)
class WireCase:
    """One hostile message."""

    name: str
    said: bytes
    """What the client sends, or what the upstream answers."""
    ours: str
    """The outcome at our gateway."""
    streaming: str
    """The same where bodies stream (`stream_large_bodies=0`)."""
    envoy: str
    """What was measured on Envoy 1.40."""
    why: str
    """Why they differ; empty where they do not."""
    methods: tuple[str, ...]
    """Of the requests, in their order; the last one's holds for all that follow."""
    closes: bool
    """Whether the upstream closes behind its answer."""


def load_cases(path: Path) -> list[WireCase]:
    """Read a file of cases. Raises ValueError for a case that says too little."""
    cases = [_case(each) for each in yaml.safe_load(path.read_text(encoding="utf-8"))]
    if len({case.name for case in cases}) != len(cases):
        raise ValueError(f"{path}: two cases of one name")
    return cases


def _case(raw: dict[str, Any]) -> WireCase:
    ours, envoy, why = raw.pop("ours"), raw.pop("envoy"), raw.pop("why", "")
    if (ours != envoy) != bool(why):
        raise ValueError(f"{raw['name']}: a reason belongs to a difference, and only to one")
    case = WireCase(
        name=raw.pop("name"),
        said=_bytes(raw.pop("say")),
        ours=ours,
        streaming=raw.pop("streaming", ours),
        envoy=envoy,
        why=why,
        methods=tuple(raw.pop("methods", ["GET"])),
        closes=raw.pop("closes", False),
    )
    if raw:
        raise ValueError(f"{case.name}: unknown words {sorted(raw)}")
    return case


def _bytes(said: str | Sequence[Any]) -> bytes:
    """Return a text as bytes, one for each character; a list has pieces, of which some are repeated."""
    if isinstance(said, str):
        return said.encode("latin-1")
    return b"".join(_bytes(each["repeat"]) * each["times"] if isinstance(each, dict) else _bytes(each) for each in said)


class WireUpstream:
    """A server that takes nothing but canonical HTTP/1.1, and remembers what reached it.

    It answers every request with its target, and one for `/case` with `reply`, where that is set.
    """

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.reply: bytes | None = None
        self.closes = False

    async def script(self, talk: Conversation) -> None:
        """Serve one connection."""
        while True:
            try:
                method, target, text = await self._request(talk)
            except TimeoutError:
                return  # the rest of a body that was cut short on purpose
            self.reached.append(text)
            if target == "/case" and self.reply is not None:
                await talk.say(self.reply)
                if self.closes:
                    return
                continue
            body = b"" if method == "HEAD" else target.encode()
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), body))

    async def _request(self, talk: Conversation) -> tuple[str, str, str]:
        # As long as it takes: a kept connection idles until the last test is over.
        raw = await talk.reader.readuntil(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        start = _REQUEST_LINE.fullmatch(line)
        fields = [_FIELD.fullmatch(each) for each in lines]
        if start is None or not all(fields):
            return "GET", "/", f"NOT CANONICAL {raw!r}"
        pairs = [(field[1].lower(), field[2]) for field in fields if field is not None]
        named = {name: [value for each, value in pairs if each == name] for name, _ in pairs}
        hosts, lengths = named.get(b"host", []), named.get(b"content-length", [])
        codings = named.get(b"transfer-encoding", [])
        plain = all(re.fullmatch(rb"[0-9]+", length) for length in lengths)
        if len(hosts) != 1 or len(lengths) + len(codings) > 1 or not plain or codings not in ([], [b"chunked"]):
            return "GET", "/", f"NOT CANONICAL {raw!r}"
        body = await self._chunked(talk) if codings else await talk.exactly(int(lengths[0]) if lengths else 0)
        method, target = start[1].decode(), start[2].decode()
        odd = [name for name in sorted(named) if name not in _EXPECTED]
        shown = [_short(body)] if body else []
        shown += [f"{name.decode()}={_short(b','.join(named[name]))}" for name in odd]
        return method, target, " ".join([method, _shortened(hosts[0].decode() + target), *shown])

    async def _chunked(self, talk: Conversation) -> bytes:
        pieces = []
        while True:
            line = await talk.reader.readuntil(b"\r\n")
            if _CHUNK.fullmatch(line) is None:
                return b"NOT CANONICAL " + line
            size = int(line, 16)
            if not size:
                break
            pieces.append((await talk.exactly(size + 2))[:-2])
        while (line := await talk.reader.readuntil(b"\r\n")) != b"\r\n":
            pieces.append(b" trailer " + line[:-2])
        return b"".join(pieces)


def _short(data: bytes) -> str:
    return repr(data)[1:] if len(data) <= 80 else f"{len(data)} bytes"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:8]}... of {len(text)}"


_EXPECTED = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-id",
        b"x-envoy-external-address",
    )
)
"""Fields that are on every request: not told."""


_SHOWN = ("x-", "set-")


async def exchanged(port: int, case: WireCase, upstream: WireUpstream) -> str:
    """Send a client's case to a gateway, and return the outcome."""
    upstream.reached.clear()
    upstream.reply = None
    statuses, fate = await _answers(port, case.said, case.methods, bodies=False)
    reached = list(upstream.reached)
    if fate == "open":
        reached.remove(f"GET {HOST}{AFTER}")
    return " | ".join([" ".join([*statuses, fate]), *reached])


async def answers_of(port: int, case: WireCase, upstream: WireUpstream) -> str:
    """Let the upstream answer with a case, and return what the client got of it."""
    upstream.reached.clear()
    upstream.reply, upstream.closes = case.said, case.closes
    request = f"{case.methods[0]} /case HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()
    statuses, fate = await _answers(port, request, case.methods, bodies=True)
    return " ".join([*statuses, fate])


async def _answers(port: int, said: bytes, methods: Sequence[str], *, bodies: bool) -> tuple[list[str], str]:
    """Send bytes and the sentinel; return what is answered, and the connection's fate."""
    told: list[str] = []
    async with await Client.connect(port, timeout=30.0) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(said + _SENTINEL)
        while True:
            method = methods[min(len(told), len(methods) - 1)]
            try:
                answer = await client.answer(method)
            except ConnectionError:
                return told, "reset"
            except WireError as error:
                return told, "close" if str(error).endswith("after b''") else "cut"
            if answer.body == AFTER.encode():
                return told, "open"
            told += [str(head.status) for head in answer.informational]
            told.append(_told(answer, bodies=bodies))


def _told(answer: Answer, *, bodies: bool) -> str:
    """Describe an answer; a head that is not canonical is told whole."""
    head = answer.head
    for name, value in (*head.headers, *answer.trailers):
        if _FIELD.fullmatch(f"{name}: {value}".encode("latin-1")) is None:
            return f"NOT CANONICAL {head.headers!r}"
    framing = [name.lower() for name, _ in head.headers if name.lower() in ("content-length", "transfer-encoding")]
    if len(framing) > 1:
        return f"NOT CANONICAL {head.headers!r}"
    words = [str(head.status)]
    if bodies and head.status < 500:
        words += [repr(answer.body)[1:]] if answer.body else []
        words += [f"{name}={_shortened(value)!r}" for name, value in head.headers if name.lower().startswith(_SHOWN)]
        words += [f"trailer {name}={value!r}" for name, value in answer.trailers]
    return " ".join(words)
