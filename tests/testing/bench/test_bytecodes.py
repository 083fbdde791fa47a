"""Bytecodes are the same in every run, and no operation takes many more of them than it did."""

from __future__ import annotations

import sys

import pytest

from mirrorgate.testing.bench.bytecodes import TOLERANCE, bytecodes, grown, kept_counts, measured
from mirrorgate.testing.bench.operations import OPERATIONS

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def looped(times: int) -> int:
    total = 0
    for number in range(times):
        total += number
    return total


def test_a_count_is_what_is_executed() -> None:
    """Each turn of a loop takes as much as another, and every call as much as the last."""
    one, two, three = (bytecodes(lambda times=times: looped(times)) for times in (1, 2, 3))  # type: ignore[misc]
    assert one < two < three
    assert three - two == two - one
    assert bytecodes(lambda: looped(2)) == two


def test_what_fails_is_not_counted_for_ever() -> None:
    """The tool is free again."""

    def failing() -> None:
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            bytecodes(failing)
    assert sys.monitoring.get_tool(3) is None
    before = bytecodes(lambda: looped(2))
    assert bytecodes(lambda: looped(2)) == before


def test_growth_beyond_the_tolerance_is_told() -> None:
    """So is an operation that was never counted; one that has shrunk is not."""
    kept = {"a": 1000, "b": 1000, "c": 1000}
    assert grown({"a": 1000 + int(1000 * TOLERANCE), "b": 1000 + int(1000 * TOLERANCE) + 1, "c": 1, "d": 1}, kept) == [
        "b",
        "d",
    ]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_can_be_repeated(name: str) -> None:
    """It finds the same each time, and leaves nothing behind that would make the next one longer."""
    operation = OPERATIONS[name]()
    for _ in range(20):
        operation()
    assert len({bytecodes(operation) for _ in range(5)}) == 1


@pytest.mark.skipif(VERSION not in kept_counts(), reason=f"there are no counts of Python {VERSION}")
def test_no_operation_has_grown() -> None:
    """If one has, and for a reason, `scripts/bench --micro --keep` keeps the new counts."""
    now = measured()
    kept = kept_counts()[VERSION]
    assert grown(now, kept) == [], {name: (count, kept.get(name)) for name, count in now.items()}
    assert set(kept) == set(now)
