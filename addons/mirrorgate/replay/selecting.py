"""What of a capture is sent: filters, the sample, the shard, and what is never sent by accident.

Pure. Every choice is made from the request and its recorded head alone, the same in every run.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from ..inference.apis import Api, api_of
from ..inference.requests import InferenceRequest, parse_request
from ..legs import LEG_HEADER
from ..routing.splitting import sampling_draw
from .captured import Captured, Skip, field_of

__all__ = ["HeaderGlob", "Selection", "request_of", "shard_of"]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CLIENT_TOOLS: Final = frozenset({"function", "custom", None})
"""Types of tools that the client executes, so that nothing happens when nobody does."""


@dataclass(frozen=True, slots=True)
class HeaderGlob:
    """A header that a request must have, with a value that fits."""

    name: str
    """Lower case."""
    value: str

    @classmethod
    def parse(cls, text: str) -> HeaderGlob:
        """Read `Name: value` or `Name`; raises ValueError without a name."""
        name, _, value = text.partition(":")
        if not name.strip():
            raise ValueError(f"{text!r} names no header")
        return cls(name.strip().lower(), value.strip() or "*")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is sent. Filters of one kind are alternatives; those of several kinds must all fit."""

    paths: tuple[str, ...] = ()
    """Globs of the path without its query."""
    models: tuple[str, ...] = ()
    headers: tuple[HeaderGlob, ...] = ()
    """All of them must fit."""
    since: float | None = None
    until: float | None = None
    """Unix time: from `since`, before `until`. A request of unknown time fits neither."""
    statuses: tuple[str, ...] = ()
    """Of the recorded answer: `200`, or `5xx`."""
    sample: float = 1.0
    """The share that is sent, by hash: 5 % is a part of 10 %."""
    sample_by: str = "request"
    """`request`, `conversation`, or the name of a header whose requests go together."""
    shard: tuple[int, int] = (1, 1)
    """Part I of N, counted from 1."""
    all_methods: bool = False
    server_tools: bool = False

    def refusal(self, entry: Captured, request: InferenceRequest | None) -> Skip | None:
        """Say why an exchange is not sent, `None` when it is."""
        if field_of(entry.headers, LEG_HEADER) is not None:
            return Skip.SHADOW_LEG
        if not self._fits(entry, request):
            return Skip.FILTERED
        if not self.all_methods and entry.method not in _SAFE and not (entry.method == "POST" and api_of(entry.path)):
            return Skip.UNSAFE_METHOD
        if not self.server_tools and request is not None and _has_server_tools(request, entry.body):
            return Skip.SERVER_TOOLS
        if shard_of(entry.id, self.shard[1]) != self.shard[0]:
            return Skip.OTHER_SHARD
        if self.sample < 1.0 and sampling_draw(self._key(entry, request)) >= self.sample:
            return Skip.SAMPLED_OUT
        return None

    def _fits(self, entry: Captured, request: InferenceRequest | None) -> bool:
        if self.paths and not _any(self.paths, entry.path.partition("?")[0]):
            return False
        if self.models and not _any(self.models, (request.model if request is not None else None) or ""):
            return False
        for header in self.headers:
            values = [v.decode("latin-1") for k, v in entry.headers if k.decode("latin-1").lower() == header.name]
            if not any(_any((header.value,), value) for value in values):
                return False
        if (self.since is not None or self.until is not None) and entry.started is None:
            return False
        if self.since is not None and entry.started is not None and entry.started < self.since:
            return False
        if self.until is not None and entry.started is not None and entry.started >= self.until:
            return False
        if self.statuses:
            status = str(entry.answer.status) if entry.answer is not None else "none"
            return any(status == wanted or (wanted[1:] == "xx" and status[0] == wanted[0]) for wanted in self.statuses)
        return True

    def _key(self, entry: Captured, request: InferenceRequest | None) -> bytes:
        if self.sample_by == "conversation" and request is not None and request.conversation is not None:
            return request.conversation.encode()
        if self.sample_by not in ("request", "conversation"):
            value = field_of(entry.headers, self.sample_by.lower().encode())
            if value is not None:
                return value.encode()
        return entry.id.encode("utf-8", "surrogatepass")


def shard_of(id: str, shards: int) -> int:
    """Return the part, from 1 to `shards`, that an exchange belongs to: the same for ever, and independent of the
    sample."""
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"shard").digest()
    return int.from_bytes(digest) % shards + 1


def request_of(entry: Captured) -> InferenceRequest | None:
    """Read a captured request, `None` when it is none of an inference API."""
    read = parse_request(entry.method, entry.path, field_of(entry.headers, b"content-type"), entry.body)
    return read if isinstance(read, InferenceRequest) else None


def _has_server_tools(request: InferenceRequest, body: bytes) -> bool:
    """Tell whether a server that gets the request may act by itself: web searches, code, MCP servers."""
    if request.api not in (Api.RESPONSES, Api.MESSAGES) or not (request.tools_json or b"mcp_servers" in body):
        return False
    if request.api is Api.MESSAGES and b'"mcp_servers"' in body:
        return True
    try:
        tools = msgspec.json.decode(request.tools_json or b"[]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    listed = tools if isinstance(tools, list) else []
    return any(not isinstance(tool, dict) or tool.get("type") not in _CLIENT_TOOLS for tool in listed)


def _any(globs: tuple[str, ...], text: str) -> bool:
    return any(_compiled(glob).match(text) for glob in globs)


@functools.lru_cache(maxsize=256)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob), re.DOTALL)
