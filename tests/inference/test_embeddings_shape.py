import base64
import struct

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.embeddings_shape import read_vectors


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_both_encodings_give_the_same_vector(vector: list[float]) -> None:
    """base64 holds little-endian 32-bit floats."""
    packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    value = {"data": [{"embedding": vector}, {"embedding": packed}]}
    assert read_vectors(value) == (tuple(vector), tuple(vector))
