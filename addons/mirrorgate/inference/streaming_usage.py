"""Find an answer's usage from its last bytes, without decoding the rest.

This runs in the proxy for every answer. Servers put usage at the end: into the last events of a stream, or behind
the choices of a JSON body. So a few kilobytes of tail are kept and searched once.
"""

from __future__ import annotations

import re
from collections import deque

from .completions import Usage

__all__ = ["Tail", "usage_of"]

_COUNT = re.compile(rb'(?<!\\)"(prompt|completion|input|output)_tokens"[ \t\r\n]*:[ \t\r\n]*(\d{1,15})(?![\d.eE])')
_CACHED = re.compile(rb'(?<!\\)"(?:cached_tokens|cache_read_input_tokens)"[ \t\r\n]*:[ \t\r\n]*(\d{1,15})(?![\d.eE])')
_REASONING = re.compile(rb'(?<!\\)"reasoning_tokens"[ \t\r\n]*:[ \t\r\n]*(\d{1,15})(?![\d.eE])')
_FIELD = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*\{')

_LONGEST = 4096
"""Usage is looked for in that many bytes behind its name; real ones have some 300."""


class Tail:
    """Keep the last pieces of a body, at least `limit` bytes of it where there are so many."""

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def push(self, piece: bytes) -> None:
        """Take the next piece; costs no copy unless the piece is larger than the limit."""
        if not piece:
            return
        if len(piece) > self._limit:
            piece = piece[-self._limit :]
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())

    def bytes(self) -> bytes:
        """Return what is kept, in order."""
        return b"".join(self._pieces)


def usage_of(tail: bytes) -> Usage | None:
    """Read the last usage in the tail of a JSON body or an event stream, `None` when there is none.

    Where the last events report it in parts (Anthropic's `message_delta` has the output only), the count that is
    missing there is `None`. Text of the model's cannot be mistaken for it, since quotes inside JSON strings are
    escaped. Never raises.
    """
    start = len(tail)
    while (start := tail.rfind(b'"usage"', 0, start)) >= 0:
        field = _FIELD.match(tail, start)
        if field is not None and tail[max(0, start - 1) : start] != b"\\":
            break
    else:
        return None
    window = tail[field.end() : field.end() + _LONGEST]
    counts = dict(reversed(_COUNT.findall(window)))  # of a name that is repeated, the first
    prompt = counts.get(b"prompt") or counts.get(b"input")
    completion = counts.get(b"completion") or counts.get(b"output")
    if prompt is None and completion is None:
        return None
    cached = _CACHED.search(window) if b"cache" in window else None
    reasoning = _REASONING.search(window) if b"reasoning" in window else None
    return Usage(
        None if prompt is None else int(prompt),
        None if completion is None else int(completion),
        int(cached[1]) if cached else None,
        int(reasoning[1]) if reasoning else None,
    )
