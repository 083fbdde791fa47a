"""The latest head of a connection, by its bytes, so that the next like it is not parsed again.

A client sends the same head request after request, but for the length of its body, and a server the same answer after
answer, but for its length and the time. What llhttp and `heads` make of a head depends on nothing but its bytes, so the
same bytes, with another number where the length stands or another date in the date's place, are the same head with
another length or date. Only a message that comes whole in one read is recognised; everything else is parsed.
"""

from __future__ import annotations

import re

import msgspec

from .heads import Fields, RequestHead, ResponseHead

__all__ = ["HeadMemory"]

_RECENT = 5.0
"""Seconds for which the head of a client's latest request is worth its memory, some KiB."""

_LONGEST = 2048
"""Bytes of a head that is kept, since an idle connection keeps it, too."""

_PATIENCE = 4
"""Heads in a row that were kept for nothing until no more are: who numbers its messages repeats none."""

_DIGITS = 15
"""Digits of a length that is read here."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)

_TIME = rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
_DATE = re.compile(rb"\r\ndate:[ \t]*(" + _TIME + rb")[ \t]*\r\n", re.IGNORECASE)
_IS_TIME = re.compile(_TIME).fullmatch
_TIME_SIZE = len(b"Sun, 06 Nov 1994 08:49:37 GMT")


class HeadMemory[H: (RequestHead, ResponseHead)]:
    """What one side of one connection has sent last."""

    __slots__ = ("_after", "_before", "_date", "_date_at", "_digits", "_head", "_places", "_vain", "weary")

    def __init__(self) -> None:
        self._head: H | None = None
        self._before = b""
        """The head's bytes up to the number that is its length, all of them where it has none."""
        self._digits = b""
        self._after = b""
        self._date_at = 0
        """Where in `_before` the date begins, 0 where none is known."""
        self._date = b""
        self._places = (-1, -1)
        """Of the length and the date among the fields."""
        self._vain = 0
        """Heads that were kept since one was recognised."""
        self.weary = False
        """Whether nothing more is kept, so that nobody need ask."""

    def recall(self, data: bytes) -> tuple[H, int] | None:
        """Return the head that these bytes begin with, and where its body begins, if they are one whole message with
        the head that is known; else `None`."""
        if self._date_at and not data.startswith(self._date, self._date_at):
            self._take_date(data[self._date_at : self._date_at + _TIME_SIZE])
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
            head = self._head = _with(head, self._places[0], digits, content_length=int(digits))
            self._digits = digits
        elif len(data) - body != head.content_length:
            return None
        self._vain = 0
        return head, body

    def keep(self, head: H, data: bytes, *, length: int, date: int = -1) -> bool:
        """Remember the head of a message that has come whole, alone, in `data`. Whether it is kept.

        `length` and `date` are their places among its fields, -1 where there is none. The caller answers for it that
        another length, or another date, means nothing else.
        """
        end = data.find(b"\r\n\r\n") + 4
        if end > _LONGEST or len(data) - end != (head.content_length or 0):
            return False  # or what was found is not the end of this head
        before, digits, after = data[:end], b"", b""
        if length >= 0:
            found = _LENGTH.search(data, 0, end)
            if found is None or found[1] != head.fields[length][1]:
                return False
            before, digits, after = data[: found.start(1)], found[1], data[found.end(1) : end]
        self._vain += 1
        if self._vain > _PATIENCE:
            self.weary = True
            self.forget()
            return False
        self._head, self._before, self._digits, self._after = head, before, digits, after
        self._date_at, self._date, self._places = 0, b"", (length, date)
        dated = _DATE.search(before) if date >= 0 else None
        if dated is not None and dated[1] == head.fields[date][1]:
            self._date_at, self._date = dated.start(1), dated[1]
        return True

    def fade(self, idle: float) -> None:
        """Take note that nothing has come for so many seconds."""
        if idle > _RECENT:
            self.forget()

    def forget(self) -> None:
        self._head, self._before, self._digits, self._after, self._date_at = None, b"", b"", b"", 0

    def _take_date(self, date: bytes) -> None:
        """Go on with another date, if it is one."""
        if self._head is None or _IS_TIME(date) is None:
            return
        at = self._date_at
        self._date = date
        self._before = self._before[:at] + date + self._before[at + _TIME_SIZE :]
        self._head = _with(self._head, self._places[1], date)


def _with[H: (RequestHead, ResponseHead)](head: H, place: int, value: bytes, **more: int) -> H:
    """Return a head with another value in one field; what else has been worked out of it holds for either."""
    fields: Fields = head.fields
    changed = (*fields[:place], (fields[place][0], value), *fields[place + 1 :])
    return msgspec.structs.replace(head, fields=changed, **more)
