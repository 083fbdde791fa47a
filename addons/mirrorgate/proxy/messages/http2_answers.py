"""Answers over HTTP/2 whose frames are made beforehand, so that one costs putting a stream's number in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, Frame, HeadersFrame

from .http2_heads import response_fields

__all__ = ["WholeAnswer"]

_STREAM: Final = slice(5, 9)
"""Where a frame has the number of its stream (RFC 9113, 4.1)."""


class WholeAnswer:
    """One answer, for any stream of any connection.

    Its fields are literals that enter no dynamic table (RFC 7541, 6.2.3), or entries of the static one: they mean the
    same whatever was encoded before, and change nothing for what is encoded behind them.
    """

    def __init__(self, status: int, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """An empty body has no frame: the head ends the stream."""
        pairs = [NeverIndexedHeaderTuple(name, value) for name, value in response_fields(status, fields)]
        head = HeadersFrame(1, Encoder().encode(pairs))
        head.flags.add("END_HEADERS")
        frames: list[Frame] = [head]
        if body:
            frames.append(DataFrame(1, body))
        frames[-1].flags.add("END_STREAM")
        self.size = len(body)
        """What it takes of the client's windows."""
        self._between = _around_numbers(frames)

    def frames(self, number: int) -> bytes:
        """Return what is sent on a stream."""
        return number.to_bytes(4, "big").join(self._between)


def _around_numbers(frames: Sequence[Frame]) -> list[bytes]:
    """Return the bytes of frames in the pieces between which their streams' numbers stand."""
    pieces = [b""]
    for frame in frames:
        data = frame.serialize()
        pieces[-1] += data[: _STREAM.start]
        pieces.append(data[_STREAM.stop :])
    return pieces
