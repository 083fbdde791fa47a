"""Identifiers: well-formed, and none twice."""

from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.identifiers import new_id


@given(st.integers())
def test_it_is_what_the_standard_library_makes_of_the_same_bits(seed: int) -> None:
    """A UUID of version 4, in its canonical form."""
    expected = uuid.UUID(int=random.Random(seed).getrandbits(128), version=4)
    assert new_id(random.Random(seed)) == str(expected)
