import math
from typing import Any

import msgspec
import pytest

from mirrorgate.inference.request_body import RequestBody, decode_body, decoded, member, number, string, whole


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"", None),
        (b"7", 7),
        (b"1.5", 1.5),
        (b"1e999", math.inf),
        (b"9" * 5000, math.inf),
        (b"true", None),
        (b'"7"', None),
        (b"null", None),
        (b"[" * 5000 + b"]" * 5000, None),
    ],
)
def test_numbers(raw: bytes, value: float | None) -> None:
    """What no double holds is infinite, what is no number is absent."""
    assert number(msgspec.Raw(raw)) == value


def test_other_looks_give_what_is_there_or_nothing() -> None:
    """A value of another type reads as absent."""
    assert (string(msgspec.Raw(b'"a"')), string(msgspec.Raw(b"1")), string(msgspec.Raw(b""))) == ("a", None, None)
    assert (member(msgspec.Raw(b'{"a":1}'), "a"), member(msgspec.Raw(b"[1]"), "a")) == (1, None)
    assert (whole(None), whole(7.9)) == (None, 7)
    assert decoded(msgspec.Raw(b"[" * 100_000)) is None


@pytest.mark.parametrize(
    ("body", "model"), [(b"{}", None), (b'{"model":"a","x":"\\ud800"}', "a"), (b'{"model":"\\ud800"}', "\ufffd")]
)
def test_lone_surrogates_are_read(body: bytes, model: str | None) -> None:
    """A client's half emoji does not make its request unreadable."""
    assert decode_body(body).model == model


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":1,"x":"\\ud800"}', b'{"x":"\\u12"}'])
def test_other_faults_are_raised(body: bytes) -> None:
    """Repairing surrogates does not hide anything else."""
    with pytest.raises(msgspec.DecodeError):
        decode_body(body)


def test_absent_fields_are_empty() -> None:
    """Every field has a default."""
    empty: Any = RequestBody()
    assert empty.model is None
    assert not empty.messages
