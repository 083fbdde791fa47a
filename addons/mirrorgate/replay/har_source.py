"""HAR files (HTTP Archive 1.2), one entry at a time: browsers, proxies and mitmproxy's `save.har` write them."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from .captured import BODY_LIMIT, Captured, Item, Passed, Recorded, Skip

__all__ = ["read_har"]

_ENTRIES: Final = re.compile(r'"entries"\s*:\s*\[')
_PIECE: Final = 1 << 18
_BETWEEN: Final = re.compile(r"[\s,]*")


def read_har(stream: BinaryIO) -> Iterator[Item]:
    """Yield the entries in their order, in the memory of one entry."""
    for entry in _entries(stream):
        if isinstance(entry, Passed):
            yield entry
            continue
        try:
            yield _captured(entry)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            yield Passed(Skip.DAMAGED)


def _entries(stream: BinaryIO) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    text, found, wanted = "", False, 0
    reader = _decoded(stream)
    while True:
        piece = next(reader, "")
        text += piece
        if not found:
            begin = _ENTRIES.search(text)
            if begin is not None:
                found, text = True, text[begin.end() :]
        while found and (len(text) >= wanted or not piece):
            between = _BETWEEN.match(text)
            start = between.end() if between is not None else 0
            if text[start : start + 1] == "]":
                return
            try:
                entry, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                # The entry goes on in the next piece; it is tried again when there is twice as much.
                wanted = 2 * len(text)
                break
            yield entry
            text, wanted = text[end:], 0
        if not piece or len(text) > BODY_LIMIT:
            yield Passed(Skip.DAMAGED, "the archive ends within an entry" if found else "the archive has no entries")
            return


def _decoded(stream: BinaryIO) -> Iterator[str]:
    """Yield text; a character that is cut by the end of a read goes with the next."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    while piece := stream.read(_PIECE):
        yield decoder.decode(piece)
    tail = decoder.decode(b"", final=True)
    if tail:
        yield tail


def _captured(entry: dict[str, Any]) -> Item:
    request = entry["request"]
    url = urlsplit(request["url"])
    if url.scheme not in ("http", "https"):
        return Passed(Skip.NOT_HTTP)
    started = datetime.fromisoformat(entry["startedDateTime"].replace("Z", "+00:00")).timestamp()
    headers = _fields(request.get("headers"))
    posted = request.get("postData") or {}
    body = _content(posted.get("text"), posted.get("encoding"))
    if body is None and (request.get("bodySize") or 0) > 0:
        return Passed(Skip.NO_REQUEST_BODY)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # An archive has no ids: what was asked, and when, names an entry in every run.
    named = f"{entry['startedDateTime']} {request['method']} {request['url']}".encode() + (body or b"")
    return Captured(
        id=f"har-{hashlib.blake2b(named, digest_size=12).hexdigest()}",
        method=str(request["method"]).upper(),
        path=path,
        host=url.netloc.rpartition("@")[2],
        headers=headers,
        body=body or b"",
        started=started,
        answer=_recorded(entry),
    )


def _recorded(entry: dict[str, Any]) -> Recorded | None:
    response = entry.get("response") or {}
    status = int(response.get("status") or 0)
    content = response.get("content") or {}
    body = _content(content.get("text"), content.get("encoding"))
    if not 100 <= status < 600 or (body is None and (content.get("size") or 0) > 0):
        return None
    timings = entry.get("timings") or {}
    before = sum(_seconds(timings.get(name)) for name in ("blocked", "dns", "connect", "send"))
    finished = _seconds(entry.get("time"))
    # Archives keep bodies decoded, and no times of pieces.
    headers = [field for field in _fields(response.get("headers")) if field[0].lower() != b"content-encoding"]
    streamed = str(content.get("mimeType") or "").lower().startswith("text/event-stream")
    return Recorded(
        status=status,
        headers=headers,
        chunks=[body] if body else [],
        times=[finished] if body and finished and not streamed else [],
        upstream_started=before,
        head_at=before + _seconds(timings.get("wait")),
        finished=finished,
    )


def _fields(listed: object) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for each in listed if isinstance(listed, list) else []:
        name, value = (each["name"], each["value"]) if isinstance(each, dict) else each
        if not str(name).startswith(":"):  # HTTP/2's pseudo fields
            fields.append((str(name).encode("utf-8", "replace"), str(value).encode("utf-8", "replace")))
    return fields


def _content(text: object, encoding: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    if encoding == "base64":
        try:
            return base64.b64decode(text)
        except binascii.Error:
            return None
    return text.encode("utf-8", "surrogatepass")


def _seconds(milliseconds: object) -> float:
    """Return a duration; -1 stands for one that does not apply."""
    return max(0.0, float(milliseconds)) / 1000 if isinstance(milliseconds, int | float) else 0.0
