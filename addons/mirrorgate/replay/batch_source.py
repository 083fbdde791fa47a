"""OpenAI batch files: JSON Lines of requests, and with another file the answers that the batch got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from .captured import Captured, Item, Passed, Skip

__all__ = ["read_batch"]

_LINE: Final = 64 * 1024 * 1024


class _Line(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw = msgspec.Raw(b"{}")
    method: str = "POST"


_decoder = msgspec.json.Decoder(_Line)


def read_batch(stream: BinaryIO) -> Iterator[Item]:
    """Yield the requests of a batch's input file; they have no time and no answer."""
    while line := stream.readline(_LINE):
        if not line.strip():
            continue
        try:
            read = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield Passed(Skip.DAMAGED)
            continue
        path = read.url[read.url.find("/", read.url.index("//") + 2) :] if "://" in read.url else read.url
        yield Captured(
            id=read.custom_id,
            method=read.method.upper(),
            path=path if path.startswith("/") else f"/{path}",
            host="",
            headers=[(b"content-type", b"application/json")],
            body=bytes(read.body),
        )
