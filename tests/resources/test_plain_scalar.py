"""Tests of what plain scalars stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.plain_scalar import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("a", "a"),
        ("80", 80),
        ("-1", -1),
        ("+1", 1),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("-0x10", -16),
        ("0b101", 5),
        ("089", "089"),
        ("0x", "0x"),
        ("0b_", "0b_"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".", "."),
        ("1:30", "1:30"),
        ("2025-04-21T08:00:00Z", "2025-04-21T08:00:00Z"),
        ("2025-04-21", "2025-04-21"),
        ("127.0.0.1", "127.0.0.1"),
        (".inf", ".inf"),
        ("9" * 50, "9" * 50),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
    ],
)
def test_values_are_what_kubernetes_reads(text: str, value: object) -> None:
    """Times, sexagesimals and infinities are text; YAML 1.1's booleans are booleans."""
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@given(st.integers())
def test_integers(number: int) -> None:
    """In decimal and in every base, up to the size of any field of an API."""
    if abs(number) < 10**39:
        assert resolve(str(number)) == number
    if abs(number) < 2**60:
        assert [resolve(text) for text in (hex(number), oct(number), bin(number))] == [number] * 3


@given(st.text("0123456789xobeE._+-aFfny~"))
def test_no_text_raises(text: str) -> None:
    """Whatever looks like a number is one, or text."""
    assert isinstance(resolve(text), int | float | str | None)
