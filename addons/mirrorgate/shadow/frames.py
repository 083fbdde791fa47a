"""Frames on the wire between proxy and shadow process: a length of four bytes, big-endian, then msgpack.

Each side opens with a preamble that names the protocol and a fingerprint of the frames' fields, so that a package
that was upgraded under a running proxy is noticed when the child is restarted, instead of being misread.
"""

from __future__ import annotations

import typing
import zlib
from typing import Final

import msgspec

from .. import records

__all__ = ["MAX_FRAME", "PREAMBLE", "FrameDecoder", "FrameError", "encode", "proxy_decoder", "shadow_decoder"]

MAX_FRAME: Final = 256 * 1024 * 1024
"""The largest frame in bytes, its length field excluded. A longer one is a bug or a corrupt stream."""

_MAGIC: Final = b"mirrorgate/1"
_LENGTH: Final = 4

_JOINED: Final = 16 * 1024
"""Up to this size the length is joined to the payload: a copy is cheaper than a second piece."""


class FrameError(Exception):
    """The other side does not speak this protocol; the connection is of no further use."""


def _fingerprint() -> int:
    """Return a checksum over the tag, the fields and the types of every frame."""
    parts: list[str] = []
    for union in (records.ToShadow, records.FromShadow):
        for kind in typing.get_args(union):
            info = msgspec.inspect.type_info(kind)
            parts.append(repr(info))
    return zlib.crc32("\n".join(parts).encode())


PREAMBLE: Final = _MAGIC + _fingerprint().to_bytes(4, "big")
"""The first bytes in both directions."""

_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: records.ToShadow | records.FromShadow) -> tuple[bytes, ...]:
    """Encode one frame as pieces to be written one after the other; a body is copied exactly once.

    Raises FrameError when the frame would exceed `MAX_FRAME`.
    """
    payload = _encoder.encode(message)
    size = len(payload)
    if size > MAX_FRAME:
        raise FrameError(f"a frame of {size} bytes exceeds the limit of {MAX_FRAME}")
    length = size.to_bytes(_LENGTH, "big")
    return (length + payload,) if size <= _JOINED else (length, payload)


class FrameDecoder[Message]:
    """Turns received bytes, cut anywhere, into messages.

    The preamble is expected first. After a FrameError the decoder is of no further use.
    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[Message], max_frame: int = MAX_FRAME) -> None:
        self._decoder = decoder
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._greeted = False

    @property
    def greeted(self) -> bool:
        """Whether the other side's preamble has arrived."""
        return self._greeted

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Take what has arrived and return the messages that it completes.

        Raises FrameError on a foreign preamble, a frame over the cap, or one that is no known message.
        """
        buffer = self._buffer
        buffer += data
        position = 0
        if not self._greeted:
            if not PREAMBLE.startswith(buffer[: len(PREAMBLE)]):
                raise FrameError("the other side speaks another version of the protocol")
            if len(buffer) < len(PREAMBLE):
                return []
            self._greeted = True
            position = len(PREAMBLE)
        messages: list[Message] = []
        with memoryview(buffer) as view:
            while len(view) - position >= _LENGTH:
                size = int.from_bytes(view[position : position + _LENGTH], "big")
                if size > self._max_frame:
                    raise FrameError(f"a frame of {size} bytes exceeds the limit of {self._max_frame}")
                end = position + _LENGTH + size
                if end > len(view):
                    break
                messages.append(self._decode(view[position + _LENGTH : end]))
                position = end
        del buffer[:position]
        return messages

    def _decode(self, payload: memoryview) -> Message:
        try:
            with payload:
                return self._decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"a frame cannot be read: {error}") from error


def proxy_decoder() -> FrameDecoder[records.FromShadow]:
    """Return a decoder for what the proxy receives."""
    decoder: msgspec.msgpack.Decoder[records.FromShadow] = msgspec.msgpack.Decoder(records.FromShadow)
    return FrameDecoder(decoder)


def shadow_decoder() -> FrameDecoder[records.ToShadow]:
    """Return a decoder for what the shadow process receives."""
    decoder: msgspec.msgpack.Decoder[records.ToShadow] = msgspec.msgpack.Decoder(records.ToShadow)
    return FrameDecoder(decoder)
