"""The latest request head of a connection, by its bytes, so that the next like it is not parsed again.

A client sends the same head request after request, but for the length of its body. What llhttp and `heads` make of a
head depends on nothing but its bytes, so the same bytes, with another number where the length stands, are the same
head with another length. Only a request that comes whole in one read is recognised; everything else is parsed.
"""

from __future__ import annotations

import re

import msgspec

from .heads import HeadNotes, RequestHead

__all__ = ["RECENT", "HeadMemory"]

RECENT = 5.0
"""Seconds for which the head of a client's latest request is worth its memory, some KiB."""

_LONGEST = 2048
"""Bytes of a head that is kept, since an idle connection keeps it, too."""

_PATIENCE = 4
"""Heads in a row that were kept for nothing until no more are: a client that numbers its requests repeats none."""

_DIGITS = 15
"""Digits of a length that is read here."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)


class HeadMemory:
    """What one connection has sent last."""

    __slots__ = ("_after", "_before", "_digits", "_head", "_vain", "weary")

    def __init__(self) -> None:
        self._head: RequestHead | None = None
        self._before = b""
        """The head's bytes up to the number that is its length, all of them where it has none."""
        self._digits = b""
        self._after = b""
        self._vain = 0
        """Heads that were kept since one was recognised."""
        self.weary = False
        """Whether nothing more is kept, so that nobody need ask."""

    def recall(self, data: bytes) -> tuple[RequestHead, int] | None:
        """Return the head that these bytes begin with, and where its body begins, if they are one whole request with
        the head that is known; else `None`."""
        head, before, after = self._head, self._before, self._after
        if head is None or not data.startswith(before):
            return None
        begin = len(before)
        if not after:
            return (head, begin) if len(data) == begin else None
        end = data.find(after, begin + 1, begin + _DIGITS + len(after))
        if end < 0:
            return None
        digits, body = data[begin:end], end + len(after)
        if digits != self._digits:
            if not digits.isdigit() or len(data) - body != int(digits):
                return None
            head = self._head = _with_length(head, digits)
            self._digits = digits
        elif len(data) - body != head.content_length:
            return None
        self._vain = 0
        return head, body

    def keep(self, head: RequestHead, data: bytes) -> None:
        """Remember the head of a request that has come whole, alone, in `data`, if it is one that may be repeated."""
        shape = head.shape
        end = data.find(b"\r\n\r\n") + 4
        if shape is None or not shape.plain or not head.keep_alive or head.version != b"HTTP/1.1" or end > _LONGEST:
            return
        if len(data) - end != (head.content_length or 0):
            return  # what was found is not the end of this head
        before, digits, after = data[:end], b"", b""
        if shape.length >= 0:
            found = _LENGTH.search(data, 0, end)
            if found is None or found[1] != head.fields[shape.length][1]:
                return
            before, digits, after = data[: found.start(1)], found[1], data[found.end(1) : end]
        self._vain += 1
        if self._vain > _PATIENCE:
            self.weary = True
            self.forget()
            return
        self._head, self._before, self._digits, self._after = head, before, digits, after
        head.notes = HeadNotes()

    def forget(self) -> None:
        self._head, self._before, self._digits, self._after = None, b"", b"", b""


def _with_length(head: RequestHead, digits: bytes) -> RequestHead:
    """Return the head as it is with another length; what was worked out of it holds for either."""
    assert head.shape is not None
    place, fields = head.shape.length, head.fields
    fields = (*fields[:place], (fields[place][0], digits), *fields[place + 1 :])
    return msgspec.structs.replace(head, fields=fields, content_length=int(digits))
