import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.completions import Broken
from mirrorgate.inference.inflating import inflate


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["gzip", "x-gzip", "deflate", "raw", ""]))
def test_pieces_are_decoded_in_their_places(data: bytes, size: int, kind: str) -> None:
    """There are as many pieces as came, whatever the cut, so that times stay with their bytes."""
    pack = {"deflate": zlib.compress, "raw": raw_deflate, "": bytes}.get(kind, gzip.compress)
    chunks = cut(pack(data), size)
    pieces, trouble = inflate(chunks, "deflate" if kind == "raw" else kind, 1000)
    assert b"".join(pieces) == data
    assert (len(pieces), trouble) == (len(chunks), Broken.NO)


def test_members_of_a_gzip_body_are_joined() -> None:
    """RFC 1952 allows several."""
    assert b"".join(inflate([gzip.compress(b"a") + gzip.compress(b"b")], "GZIP", 10)[0]) == b"ab"


@pytest.mark.parametrize(("room", "trouble"), [(1000, Broken.NO), (999, Broken.BAD_ENCODING)])
def test_output_is_bounded(room: int, trouble: Broken) -> None:
    """A body that just fits is whole, one byte more is a bomb."""
    pieces, found = inflate(cut(gzip.compress(b"x" * 1000), 3), "gzip", room)
    assert (len(b"".join(pieces)), found) == (room, trouble)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "nonsense"])
def test_other_encodings_come_back_as_they_are(encoding: str) -> None:
    """They are compared as bytes."""
    assert inflate([b"abc"], encoding, 10) == ([b"abc"], Broken.UNSUPPORTED_ENCODING)


@given(st.lists(st.binary(max_size=20), max_size=5), st.sampled_from(["gzip", "deflate"]))
def test_no_bytes_raise(chunks: list[bytes], encoding: str) -> None:
    """Damaged bodies are named, not thrown."""
    _, trouble = inflate(chunks, encoding, 100)
    assert trouble in (Broken.NO, Broken.BAD_ENCODING)
