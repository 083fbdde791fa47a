"""Outlier detection: each rule of the table, and that no order of events breaks the accounting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.outliers import Cause, Ejection, Outliers, Return
from mirrorgate.resources.traffic_health import PassiveHealthCheck

TEN = [f"10.0.0.{n}:80" for n in range(10)]
A, B = "a:80", "b:80"


def detector(*endpoints: str, **settings: Any) -> Outliers:
    """Return a detector at second 0, with room for every ejection unless the settings say otherwise."""
    outliers = Outliers(PassiveHealthCheck(**{"max_ejection_percent": 100, **settings}), 0.0)
    outliers.retain(endpoints or (A, B))
    return outliers


def fail(outliers: Outliers, endpoint: str, times: int = 5, status: int = 500, now: float = 0.0) -> list[Ejection]:
    """Answer so many times with a status; return what was ejected."""
    return [change for _ in range(times) for change in outliers.answered(endpoint, status, now)]


@pytest.mark.parametrize(
    ("statuses", "causes"),
    [
        ([500] * 4, []),
        ([500] * 5, [Cause.CONSECUTIVE_5XX]),
        ([500, 500, 500, 500, 200, 500], []),
        ([500, 500, 500, 500, 429, 500], []),
        ([429] * 30, []),
        ([503] * 3, [Cause.CONSECUTIVE_GATEWAY_FAILURE]),
        ([502, 503, 504], [Cause.CONSECUTIVE_GATEWAY_FAILURE]),
        ([503, 503, 500, 503, 503], [Cause.CONSECUTIVE_5XX]),
        ([503, 503, 200, 503, 503], []),
    ],
)
def test_a_streak_of_errors_ejects(statuses: list[int], causes: list[Cause]) -> None:
    """Five of 5xx, three gateway errors; whatever is below 500 ends both, a plain 500 that of gateway errors."""
    outliers = detector(consecutive_gateway_errors=3)
    changes = [change for status in statuses for change in outliers.answered(A, status, 0.0)]
    assert [change.cause for change in changes] == causes
    assert outliers.ejected == ({A} if causes else frozenset())


def test_gateway_errors_count_by_themselves_only_where_it_is_declared() -> None:
    """They are 5xx all the same."""
    assert [change.cause for change in fail(detector(), A, 5, 503)] == [Cause.CONSECUTIVE_5XX]


@pytest.mark.parametrize(
    ("endpoints", "percent", "always", "failing", "ejected", "overflows"),
    [
        (2, 10, False, 1, 0, 1),
        (2, 10, True, 1, 1, 0),
        (2, 10, True, 2, 1, 1),
        (9, 10, False, 1, 0, 1),
        (10, 10, False, 1, 1, 0),
        (10, 10, False, 2, 1, 1),
        (20, 10, False, 3, 2, 1),
        (2, 50, False, 2, 1, 1),
        (1, 100, False, 1, 1, 0),
        (3, 100, False, 3, 3, 0),
        (10, 0, False, 2, 1, 1),
    ],
)
def test_no_more_are_ejected_than_the_policy_allows(
    endpoints: int, percent: int, always: bool, failing: int, ejected: int, overflows: int
) -> None:
    """The measured trap: 10 percent of fewer than ten endpoints is none; 0 stands for Envoy's own 10."""
    names = [f"e{n}:80" for n in range(endpoints)]
    outliers = detector(*names, max_ejection_percent=percent, always_eject_one_endpoint=always)
    for name in names[:failing]:
        fail(outliers, name)
    assert len(outliers.ejected) == ejected
    assert outliers.overflow == overflows
    assert outliers.detected[Cause.CONSECUTIVE_5XX] == failing
    assert outliers.enforced[Cause.CONSECUTIVE_5XX] == ejected


def test_it_returns_with_the_first_tick_after_its_time() -> None:
    """With 3 s between ticks and 10 s out, at 12 s; the streak begins anew."""
    outliers = detector(base_ejection_time=10.0)
    assert fail(outliers, A) == [Ejection(A, Cause.CONSECUTIVE_5XX, 10.0)]
    assert outliers.left(A, 4.0) == 6.0
    for now in (3.0, 6.0, 9.0):
        assert outliers.tick(now) == []
    assert outliers.tick(11.9) == []
    assert outliers.tick(12.0) == [Return(A)]
    assert outliers.ejected == frozenset()
    assert outliers.left(A, 12.0) is None
    assert fail(outliers, A, 4, now=12.0) == []


def test_each_ejection_is_longer_than_the_last_and_forgiven_in_time() -> None:
    """The base time once, twice, three times, never over 300 s; each quiet tick takes one off."""
    outliers = detector(base_ejection_time=100.0, interval=1.0)
    now, lengths = 0.0, []
    for _ in range(5):
        [ejection] = fail(outliers, A, now=now)
        lengths.append(ejection.seconds)
        now += ejection.seconds + 1.0
        assert outliers.tick(now) == [Return(A)]
    assert lengths == [100.0, 200.0, 300.0, 300.0, 300.0]
    for _ in range(4):
        now += 1.0
        outliers.tick(now)
    assert fail(outliers, A, now=now)[0].seconds == 100.0


@pytest.mark.parametrize("split", [False, True])
def test_no_answer_counts_by_its_origin(split: bool) -> None:
    """Without a split it is a 503 or, after a timeout, a 504; with one it has a streak that an answer ends."""
    outliers = detector(
        split_external_local_origin_errors=split, consecutive_gateway_errors=2, consecutive_local_origin_failures=3
    )
    changes = outliers.failed(A, 0.0) + outliers.failed(A, 0.0, timeout=True)
    assert [change.cause for change in changes] == ([] if split else [Cause.CONSECUTIVE_GATEWAY_FAILURE])
    if split:
        outliers.answered(A, 500, 0.0)
        assert outliers.failed(A, 0.0) + outliers.failed(A, 0.0) == []
        assert [change.cause for change in outliers.failed(A, 0.0)] == [Cause.CONSECUTIVE_LOCAL_ORIGIN_FAILURE]


@pytest.mark.parametrize(
    ("endpoints", "requests", "failures", "ejected"),
    [(5, 50, 43, True), (5, 50, 42, False), (4, 50, 50, False), (5, 49, 49, False)],
)
def test_a_share_of_failures_ejects_at_the_tick(endpoints: int, requests: int, failures: int, ejected: bool) -> None:
    """At the threshold, of five endpoints with fifty requests each in the interval; 43 of 50 are 86 percent."""
    names = TEN[:endpoints]
    outliers = detector(*names, failure_percentage_threshold=86, consecutive_5xx_errors=0)
    for name in names:
        for number in range(requests):
            outliers.answered(name, 500 if name == names[0] and number < failures else 200, 0.0)
    assert outliers.ejected == frozenset()
    changes = outliers.tick(3.0)
    assert [(c.endpoint, c.cause) for c in changes if isinstance(c, Ejection)] == (
        [(names[0], Cause.FAILURE_PERCENTAGE)] if ejected else []
    )
    assert outliers.tick(6.0) == []


def test_a_success_rate_far_below_the_others_ejects() -> None:
    """1.9 standard deviations below the mean, as Envoy has it on by default."""
    outliers = detector(*TEN, consecutive_5xx_errors=0)
    for name in TEN:
        for number in range(100):
            outliers.answered(name, 500 if name == TEN[3] and number % 2 else 200, 0.0)
    assert outliers.tick(3.0) == [Ejection(TEN[3], Cause.SUCCESS_RATE, 30.0)]


def test_an_active_check_that_passes_ends_an_ejection() -> None:
    """At once; for an endpoint that is in, nothing happens."""
    outliers = detector()
    fail(outliers, A)
    assert outliers.passed_check(A) == [Return(A)]
    assert outliers.passed_check(A) == []


def test_endpoints_that_leave_are_forgotten_and_those_that_stay_stay_out() -> None:
    """What is told of a stranger counts nowhere."""
    outliers = detector()
    fail(outliers, A)
    fail(outliers, B, 4)
    outliers.retain((A,))
    assert outliers.ejected == {A}
    outliers.retain((B,))
    assert outliers.ejected == frozenset()
    assert outliers.answered(A, 500, 0.0) == outliers.failed(A, 0.0) == []
    assert fail(outliers, B, 4) == []


_EVENTS = st.lists(
    st.tuples(st.sampled_from(["ok", "error", "fail", "timeout", "tick", "pass"]), st.integers(0, 9), st.floats(0, 40)),
    max_size=200,
)


@given(_EVENTS, st.integers(0, 100), st.booleans(), st.booleans())
def test_whatever_happens_the_counts_agree(
    events: list[tuple[str, int, float]], percent: int, always: bool, split: bool
) -> None:
    """Never more out than allowed, every ejection told once and ended once, and in the end all return."""
    outliers = detector(
        *TEN,
        max_ejection_percent=percent,
        always_eject_one_endpoint=always,
        split_external_local_origin_errors=split,
        consecutive_5xx_errors=2,
        consecutive_local_origin_failures=2,
    )
    now, out = 0.0, set[str]()
    for kind, number, later in events:
        now += later
        name = TEN[number]
        changes: list[Ejection | Return] = []
        if kind in ("ok", "error"):
            changes += outliers.answered(name, 200 if kind == "ok" else 500, now)
        elif kind in ("fail", "timeout"):
            changes += outliers.failed(name, now, timeout=kind == "timeout")
        elif kind == "tick":
            changes += outliers.tick(now)
        else:
            changes += outliers.passed_check(name)
        for change in changes:
            assert (change.endpoint in out) == isinstance(change, Return)
            out ^= {change.endpoint}
        assert outliers.ejected == out
        assert len(out) <= max((percent or 10) // 10, int(always))
    assert sum(outliers.enforced.values()) + outliers.overflow == sum(outliers.detected.values())
    for _ in range(2):
        now += 400.0
        outliers.tick(now)
    assert outliers.ejected == frozenset()


@pytest.mark.parametrize(
    ("setting", "status", "cause"),
    [
        ("consecutive_5xx_errors", 500, Cause.CONSECUTIVE_5XX),
        ("consecutive_gateway_errors", 503, Cause.CONSECUTIVE_GATEWAY_FAILURE),
        ("consecutive_local_origin_failures", 0, Cause.CONSECUTIVE_LOCAL_ORIGIN_FAILURE),
    ],
)
def test_a_number_that_is_lowered_below_a_streak_ejects(setting: str, status: int, cause: Cause) -> None:
    """A streak goes on over a reload, and is judged by the number of then; 0 is none."""
    settings = {"consecutive_5xx_errors": 0, "split_external_local_origin_errors": not status}
    outliers = detector(**{**settings, setting: 9})

    def go_on(times: int) -> list[Cause]:
        changes: list[Ejection] = []
        for _ in range(times):
            changes += outliers.answered(A, status, 0.0) if status else outliers.failed(A, 0.0)
        return [change.cause for change in changes]

    assert go_on(5) == []
    outliers.settings = PassiveHealthCheck(**{"max_ejection_percent": 100, **settings, setting: 0})
    assert go_on(1) == []
    outliers.settings = PassiveHealthCheck(**{"max_ejection_percent": 100, **settings, setting: 3})
    assert go_on(1) == [cause]
