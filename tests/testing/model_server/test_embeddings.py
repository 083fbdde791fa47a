"""Vectors: their length, their neighbours, their encodings."""

from __future__ import annotations

import base64
import math
import struct

import pytest

from mirrorgate.testing.model_server.api_errors import ApiError
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.embeddings import embed, embeddings


def cosine(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Return the cosine of two unit vectors."""
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_texts_that_share_words_are_near() -> None:
    """Unit length, nearer with common words, slightly off with quantisation noise."""
    behaviour = Behaviour()
    cat, kitten, tax = (embed(text, behaviour, 256) for text in ("a small cat", "a small kitten", "quarterly report"))
    assert math.isclose(cosine(cat, cat), 1.0)
    assert cosine(cat, kitten) > 0.4 > cosine(cat, tax)
    noisy = embed("a small cat", Behaviour(defects=frozenset({Defect.QUANTISATION_NOISE})), 256)
    assert 0.9 < cosine(cat, noisy) < 0.9999


def test_base64_holds_the_same_numbers() -> None:
    """As little-endian 32-bit floats."""
    plain = embeddings({"input": ["a", "b"]}, Behaviour(), "1", 0)
    packed = embeddings({"input": ["a", "b"], "encoding_format": "base64"}, Behaviour(), "1", 0)
    assert isinstance(plain, dict)
    assert isinstance(packed, dict)
    raw = base64.b64decode(packed["data"][1]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(plain["data"][1]["embedding"], abs=1e-6)


@pytest.mark.parametrize("body", [{}, {"input": 3}, {"input": []}, {"input": "a", "dimensions": 10**9}])
def test_a_wrong_request_is_an_error(body: dict[str, object]) -> None:
    """No input, an input of another type, absurd sizes."""
    assert isinstance(embeddings(body, Behaviour(), "1", 0), ApiError)
