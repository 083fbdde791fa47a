"""Undo a content encoding, piece by piece so that arrival times stay with their bytes, with bounded output."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from .completions import Broken

__all__ = ["inflate"]

_GZIP = 16 + zlib.MAX_WBITS


def inflate(chunks: Sequence[bytes], encoding: str, limit: int) -> tuple[list[bytes], Broken]:
    """Decode `gzip`, `deflate` or `identity` pieces into as many pieces, at most `limit` bytes in total.

    Returns the decoded pieces and what is wrong: `UNSUPPORTED_ENCODING` (the pieces come back as they are),
    `BAD_ENCODING` (what could be decoded comes back), or nothing. A stream that merely stops is not wrong here.
    `deflate` is read in both of its forms, with and without the zlib frame (RFC 9110, section 8.4.1.2).
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return list(chunks), Broken.NO
    if name not in ("gzip", "x-gzip", "deflate"):
        return list(chunks), Broken.UNSUPPORTED_ENCODING
    window = _GZIP if name != "deflate" else _deflate_window(chunks)
    decoder = zlib.decompressobj(window)
    result: list[bytes] = []
    room = limit
    for chunk in chunks:
        pieces: list[bytes] = []
        data = chunk
        while data:
            if decoder.eof:
                if window != _GZIP:
                    break
                decoder = zlib.decompressobj(window)
            try:
                # One byte beyond the room tells a body that just fits from one that does not.
                piece = decoder.decompress(data, room + 1)
            except zlib.error:
                result.append(b"".join(pieces))
                return result, Broken.BAD_ENCODING
            if len(piece) > room:
                result.append(b"".join(pieces) + piece[:room])
                return result, Broken.BAD_ENCODING
            pieces.append(piece)
            room -= len(piece)
            data = decoder.unconsumed_tail or decoder.unused_data
        result.append(b"".join(pieces))
    return result, Broken.NO


def _deflate_window(chunks: Sequence[bytes]) -> int:
    head = b""
    for chunk in chunks:
        head += chunk[:2]
        if len(head) >= 2:
            break
    head = head[:2]
    framed = len(head) == 2 and head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS
