"""Tests of the scalar types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mirrorgate.resources import scalars
from mirrorgate.resources.scalars import format_duration, parse_duration, parse_quantity

DECLARED = {"declared": True}


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True, context=DECLARED)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("500ms", 0.5), ("1h30m", 5400), ("1m1m", 120), ("99999h", 99999 * 3600), ("1h1m1s1ms", 3661.001)],
)
def test_durations_of_gep_2257(text: str, seconds: float) -> None:
    """Units add up; the same one may come twice."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "1.5s", "-1s", "1d", "100000s", "1s ", "1s1s1s1s1s", "s", "1 s", "1µs", "\u0661s"]
)
def test_what_is_no_duration(text: str) -> None:
    """Fractions, signs, days, six digits and five units are beyond GEP-2257."""
    assert parse_duration(text) is None
    assert not accepts(scalars.Duration, text)


@given(st.integers(0, 99999 * 3_600_000))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    """Writing and reading a duration changes nothing, to the millisecond."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_numbers_are_durations_for_code_only() -> None:
    """A manifest must give a unit; code gives seconds."""
    assert TypeAdapter(scalars.Duration).validate_python(1.5) == 1.5
    assert not accepts(scalars.Duration, 1.5)
    assert not accepts(scalars.Duration, True)
    assert TypeAdapter(scalars.Duration).dump_python(90.0, mode="json") == "1m30s"
    with pytest.raises(ValidationError):
        TypeAdapter(scalars.Duration).validate_python(float("inf"))


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        (scalars.Port, 1, True),
        (scalars.Port, 65535, True),
        (scalars.Port, 0, False),
        (scalars.Port, 65536, False),
        (scalars.Port, 80.0, False),
        (scalars.Weight, 0, True),
        (scalars.Weight, 1_000_001, False),
        (scalars.UInt32, 4_294_967_295, True),
        (scalars.UInt32, 4_294_967_296, False),
        (scalars.Group, "", True),
        (scalars.Group, "a.b-c.d", True),
        (scalars.Group, "A.b", False),
        (scalars.KindName, "Service", True),
        (scalars.KindName, "", False),
        (scalars.NamespaceName, "a-1", True),
        (scalars.NamespaceName, "a.b", False),
        (scalars.NamespaceName, "a" * 64, False),
        (scalars.Hostname, "*.example.com", True),
        (scalars.Hostname, "example.com", True),
        (scalars.Hostname, "*", False),
        (scalars.Hostname, "a.*.com", False),
        (scalars.Hostname, "Example.com", False),
        (scalars.Hostname, "example.com\n", False),
        (scalars.Hostname, "example.com:80", False),
        (scalars.PreciseHostname, "*.example.com", False),
        (scalars.HeaderName, "X-A", True),
        (scalars.HeaderName, "X A", False),
        (scalars.HeaderName, "X:A", False),
        (scalars.HeaderValue, "a b", True),
        (scalars.HeaderValue, "a\r\nb: c", False),
        (scalars.HeaderValue, "a\n", False),
        (scalars.HeaderValue, "", False),
        (scalars.LabelValue, "", True),
        (scalars.LabelValue, "-a", False),
        (scalars.IPText, "::1", True),
        (scalars.IPText, "127.0.0.1", True),
        (scalars.IPText, "localhost", False),
        (scalars.IntOrString, "http", True),
        (scalars.IntOrString, 80, True),
        (scalars.IntOrString, True, False),
        (scalars.IntOrString, 1.5, False),
        (scalars.Quantity, "32Ki", True),
        (scalars.Quantity, 1024, True),
        (scalars.Quantity, "32 KB", False),
        (scalars.Timestamp, "2025-04-21T08:00:00Z", True),
        (scalars.Timestamp, "2025-04-21T08:00:00", False),
        (scalars.Timestamp, "yesterday", False),
        (scalars.Timestamp, 3, False),
    ],
)
def test_limits_and_syntax(kind: Any, value: object, accepted: bool) -> None:
    """Each type accepts what the API server accepts and refuses what it refuses."""
    assert accepts(kind, value) is accepted


def test_addresses_are_canonical() -> None:
    """One address has one text."""
    assert TypeAdapter(scalars.IPText).validate_python("0:0:0:0:0:0:0:1") == "::1"


def test_times_are_aware_and_in_utc() -> None:
    """An offset is turned into UTC; a time of code is taken as it is."""
    wanted = datetime(2025, 4, 21, 8, tzinfo=UTC)
    adapter = TypeAdapter(scalars.Timestamp)
    assert adapter.validate_python("2025-04-21T10:00:00+02:00") == wanted
    assert adapter.validate_python(wanted) is wanted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("32Ki", 32768),
        ("1k", 1000),
        ("1.5Mi", 1572864),
        ("2e3", 2000),
        ("500m", 0.5),
        ("1Gi", 2**30),
        ("3G", 3000000000.0),
        ("1Ei", 2**60),
        ("+4", 4),
        ("7n", 7e-09),
    ],
)
def test_what_a_quantity_stands_for(text: int | str, value: float) -> None:
    """Binary and decimal suffixes, and powers of ten."""
    assert parse_quantity(text) == pytest.approx(value)


def test_what_is_no_quantity() -> None:
    """It has been refused where it was read; asked all the same, it raises."""
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity("1 Mi")
