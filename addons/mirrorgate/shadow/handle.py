"""One exchange that was handed off: its upload's pieces and, at the end, the primary's answer."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from ..records import ExchangeFinished, Headers, RequestAborted, RequestChunk, RequestEnd, ToShadow

__all__ = ["FINISH_ROOM", "Handle", "Sender", "fitted"]

FINISH_ROOM: Final = 4096
"""Bytes reserved beside the answer's body: its head, trailers, numbers and the frame itself."""

_HEADERS_ROOM: Final = 3072
_TRAILERS_ROOM: Final = 512
_FIELD_COST: Final = 12
"""Msgpack's array and two byte strings around a header field."""
_PIECE_COST: Final = 14
"""Msgpack's header of a byte string and a time beside it."""


class Sender(Protocol):
    """What a handle needs of the channel."""

    def send(self, frame: ToShadow) -> bool: ...

    def settle(self, handle: Handle, frame: ToShadow, *, truncated: bool = False) -> None: ...

    def overrun(self) -> None: ...


class Handle:
    """What the proxy holds of a mirrored exchange. Each call is harmless after the end."""

    __slots__ = ("_channel", "_done", "_uploading", "id", "room")

    def __init__(self, id: str, room: int, uploading: bool, channel: Sender) -> None:
        self.id = id
        self.room = room
        """Bytes of the budget kept for the answer."""
        self._channel = channel
        self._uploading = uploading
        self._done = False

    def expire(self) -> None:
        """End without a word: the child that knew of this exchange is gone."""
        self._done = True

    def chunk(self, data: bytes) -> bool:
        """Pass a piece of a streamed upload on; false when it did not fit, which ends the mirror of this exchange."""
        if self._done or not self._uploading:
            return False
        if not data or self._channel.send(RequestChunk(self.id, data)):
            return True
        self._channel.overrun()
        self.abort("upload_overrun")
        return False

    def end(self) -> None:
        """Say that a streamed upload is complete."""
        if self._done or not self._uploading:
            return
        self._uploading = False
        if not self._channel.send(RequestEnd(self.id)):
            self._channel.overrun()
            self.abort("upload_overrun")

    def abort(self, reason: str) -> None:
        """Give the mirror of this exchange up: its legs are cancelled and nothing is compared."""
        if not self._done:
            self._done = True
            self._channel.settle(self, RequestAborted(self.id, reason))

    def finish(self, finished: ExchangeFinished) -> None:
        """Hand the primary's answer over, cut to its room, and give the rest of the room back."""
        if self._done:
            return
        self._done = True
        if self._uploading:
            self._channel.settle(self, RequestAborted(self.id, "upload_unfinished"))
            return
        frame = fitted(finished, self.room)
        self._channel.settle(self, frame, truncated=frame.truncated)


def fitted(finished: ExchangeFinished, room: int) -> ExchangeFinished:
    """Return the frame cut so that its encoding takes at most `room` bytes; `truncated` says whether it was cut."""
    left = room - FINISH_ROOM
    if sum(map(len, finished.chunks)) + _PIECE_COST * len(finished.chunks) <= left:
        return _with_short_head(finished)
    whole = 0
    for chunk in finished.chunks:
        cost = len(chunk) + _PIECE_COST
        if cost > left:
            break
        left -= cost
        whole += 1
    chunks, times = finished.chunks[:whole], finished.times[:whole]
    rest = finished.chunks[whole][: max(0, left - _PIECE_COST)]
    if rest:
        chunks.append(rest)
        times.extend(finished.times[whole : whole + 1])
    return _with_short_head(msgspec.structs.replace(finished, chunks=chunks, times=times, truncated=True))


def _with_short_head(finished: ExchangeFinished) -> ExchangeFinished:
    headers = _first_fields(finished.headers, _HEADERS_ROOM)
    trailers = _first_fields(finished.trailers, _TRAILERS_ROOM)
    if headers is finished.headers and trailers is finished.trailers:
        return finished
    return msgspec.structs.replace(finished, headers=headers, trailers=trailers)


def _first_fields(fields: Headers, room: int) -> Headers:
    """Return the fields that fit, in order, the same list when all do."""
    for index, (name, value) in enumerate(fields):
        room -= len(name) + len(value) + _FIELD_COST
        if room < 0:
            return fields[:index]
    return fields
