"""Faults: what is declared, and who is met by it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mirrorgate.resources.traffic_health import FaultInjection
from mirrorgate.routing.faults import Faults, compile_faults


def compiled(**raw: Any) -> Faults | None:
    return compile_faults(FaultInjection.model_validate(raw, by_alias=True, by_name=False))


def test_what_is_declared() -> None:
    """All requests unless a percentage says otherwise; what would change nothing is nothing."""
    assert compile_faults(None) is None
    assert compiled(abort={"httpStatus": 503}) == Faults(status=503, aborted=1.0)
    delay = {"fixedDelay": "1s", "percentage": 0.5}
    assert compiled(delay=delay, abort={"httpStatus": 503, "percentage": 0}) == Faults(1.0, 0.005, 503)
    assert compiled(delay={"fixedDelay": "0s"}) is None
    assert compiled(abort={"grpcStatus": 3}) is None


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.25, 2300, 2700), (1.0, 10000, 10000)])
def test_both_shares_are_drawn_by_themselves(share: float, least: int, most: int) -> None:
    """Of so many requests about so many wait, and of those the same share is aborted."""
    rng = random.Random(7)
    drawn = [Faults(1.0, share, 503, share).draw(rng) for _ in range(10_000)]
    assert least <= sum(delay == 1.0 for delay, _ in drawn) <= most
    assert least <= sum(status == 503 for _, status in drawn) <= most
    both = sum(delay == 1.0 and status == 503 for delay, status in drawn)
    assert abs(both - 10_000 * share * share) < 120
