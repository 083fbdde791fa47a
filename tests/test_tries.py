"""The tries of a request: the phases, what is retried for, and the places that are held meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.cluster import Cluster
from mirrorgate.admission.limits import Limits
from mirrorgate.errors import Refusal
from mirrorgate.routing.retrying import RetryPolicy, Trigger
from mirrorgate.tries import FAILURES, TRANSITIONS, Phase, Tries, answered_by

LEGAL = {("trying", "waiting"), ("trying", "over"), ("waiting", "trying"), ("waiting", "over")}


def cluster(**limits: Any) -> Cluster[Any, Any]:
    """Make a cluster's accounting."""
    return Cluster(Limits(**limits))


@pytest.mark.parametrize(("one", "other"), list(itertools.product(Phase, Phase)), ids=lambda phase: phase.value)
def test_only_the_tables_transitions_are_possible(one: Phase, other: Phase) -> None:
    """Any other is a bug, which raises and changes nothing."""
    tries = Tries(RetryPolicy(), phase=one)
    if (one.value, other.value) in LEGAL:
        tries.to(other)
        assert tries.phase is other
    else:
        with pytest.raises(ValueError, match="tries cannot go"):
            tries.to(other)
        assert tries.phase is one
    assert set(TRANSITIONS) == set(Phase)


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (200, (), ""),
        (409, (), "retriable-4xx"),
        (418, (), "retriable-status-codes"),
        (429, (), ""),
        (500, (), "5xx"),
        (501, (), "5xx"),
        (502, (), "5xx gateway-error"),
        (503, (), "5xx gateway-error"),
        (504, (), "5xx gateway-error"),
        (599, (), "5xx"),
        (101, (), ""),
        (200, ((b"GRPC-Status", b"14"),), "unavailable"),
        (200, ((b"grpc-status", b"1"),), "cancelled"),
        (200, ((b"grpc-status", b"4"),), "deadline-exceeded"),
        (200, ((b"grpc-status", b"8"),), "resource-exhausted"),
        (200, ((b"grpc-status", b"13"),), "internal"),
        (200, ((b"grpc-status", b"0"),), ""),
        (503, ((b"X-Envoy-Overloaded", b"true"),), ""),
    ],
)
def test_what_an_answer_is_retried_for(status: int, fields: tuple[tuple[bytes, bytes], ...], expected: str) -> None:
    """Envoy's meaning of each trigger; an overloaded proxy behind us is left alone, and a switch is no failure."""
    assert answered_by(status, fields, (418, 101)) == {Trigger(name) for name in expected.split()}


@pytest.mark.parametrize(
    ("refusal", "sent", "expected"),
    [
        (Refusal.CONNECT_FAILURE, False, "connect-failure reset reset-before-request 5xx gateway-error"),
        (Refusal.CONNECT_TIMEOUT, False, "connect-failure reset reset-before-request 5xx gateway-error"),
        (Refusal.UPSTREAM_CLOSED, True, "reset 5xx gateway-error"),
        (Refusal.UPSTREAM_CLOSED, False, "reset reset-before-request 5xx gateway-error"),
        (Refusal.UPSTREAM_PROTOCOL, True, "reset 5xx gateway-error"),
        (Refusal.PER_TRY_TIMEOUT, True, "reset 5xx gateway-error"),
        (Refusal.MAX_DURATION, True, "reset 5xx gateway-error"),
        (Refusal.REQUEST_TIMEOUT, True, ""),
        (Refusal.PENDING_OVERFLOW, False, ""),
        (Refusal.ACTIVE_OVERFLOW, False, ""),
        (Refusal.CLIENT_LEFT, True, ""),
    ],
)
def test_what_a_failure_is_retried_for(refusal: Refusal, sent: bool, expected: str) -> None:
    """Each trigger alone decides; an overflow and the request's own timeout are final."""
    for trigger in Trigger:
        tries, counts = Tries(RetryPolicy(triggers=(trigger,))), cluster()
        assert tries.failed(refusal, counts, sent=sent) is (trigger.value in expected.split()), trigger
        tries.end()
        assert counts.retries.active == 0


def test_tries_run_out() -> None:
    """After so many retries the last answer is the answer, flagged `URX`."""
    tries, counts = Tries(RetryPolicy(retries=2)), cluster()
    for _ in range(2):
        assert tries.answered(503, (), counts)
        assert (tries.phase, counts.retries.active) == (Phase.WAITING, 1)
        tries.next()
    assert not tries.answered(503, (), counts)
    assert (tries.count, tries.flag, tries.phase) == (3, "URX", Phase.OVER)
    numbers = counts.retries.counters
    assert (counts.retries.active, numbers.begun, numbers.limit_exceeded, numbers.success) == (0, 2, 1, 0)


def test_a_retry_that_helped_is_counted() -> None:
    """As a success, once; an answer at the first try is none."""
    tries, counts = Tries(RetryPolicy()), cluster()
    assert not tries.answered(200, (), counts)
    assert counts.retries.counters.success == 0
    tries = Tries(RetryPolicy())
    assert tries.failed(Refusal.CONNECT_FAILURE, counts, sent=False)
    tries.next()
    assert not tries.answered(200, (), counts)
    assert (counts.retries.counters.success, counts.retries.active, tries.flag) == (1, 0, "")


def test_a_failing_answer_to_the_last_try_is_no_success() -> None:
    """Where it is the last because the gateway is about to stop."""
    tries, counts = Tries(RetryPolicy()), cluster()
    assert tries.answered(503, (), counts)
    tries.next()
    tries.settle()
    assert not tries.answered(503, (), counts)
    assert counts.retries.counters.success == 0


def test_no_place_no_retry() -> None:
    """The answer stays what it was, flagged `UO`; the place of another is untouched."""
    counts = cluster(retries=1)
    one, other = Tries(RetryPolicy()), Tries(RetryPolicy())
    assert one.answered(503, (), counts)
    assert not other.answered(503, (), counts)
    assert (other.flag, other.phase, counts.retries.counters.overflow) == ("UO", Phase.OVER, 1)
    assert counts.retries.active == 1
    one.end()
    assert counts.retries.active == 0


def test_a_settled_try_is_the_last() -> None:
    """Not all of the request is kept, or the gateway leaves: whatever comes is the answer, without a flag."""
    tries, counts = Tries(RetryPolicy()), cluster()
    tries.abandon(counts)
    tries.abandon(counts)
    assert counts.retries.counters.abandoned == 1
    assert not tries.answered(503, (), counts)
    assert (tries.flag, tries.phase) == ("", Phase.OVER)
    assert not Tries(RetryPolicy()).settled


@given(st.lists(st.sampled_from(["503", "200", "refused", "late", "overflow", "next", "end", "settle"]), max_size=30))
def test_a_place_is_held_exactly_between_two_judgements(steps: list[str]) -> None:
    """In whatever order things happen, a place is held only while a retry waits or is under way."""
    tries, counts = Tries(RetryPolicy(retries=9, triggers=tuple(Trigger))), cluster(retries=1)
    for step in steps:
        if step == "end":
            tries.end()
        elif step == "settle":
            tries.settle()
        elif tries.phase is Phase.WAITING and step == "next":
            tries.next()
        elif tries.phase is Phase.TRYING and step in ("503", "200"):
            tries.answered(int(step), (), counts)
        elif tries.phase is Phase.TRYING and step != "next":
            refusals = {"refused": Refusal.CONNECT_FAILURE, "late": Refusal.PER_TRY_TIMEOUT}
            tries.failed(refusals.get(step, Refusal.ACTIVE_OVERFLOW), counts)
        retrying = tries.phase is Phase.WAITING or (tries.phase is Phase.TRYING and tries.count > 1)
        assert counts.retries.active == int(retrying)


def test_every_failure_that_is_retried_is_a_refusal_of_the_upstreams() -> None:
    """What the gateway decides by itself, such as an overflow, is in no row of the table."""
    assert set(FAILURES) == {
        Refusal.CONNECT_FAILURE,
        Refusal.CONNECT_TIMEOUT,
        Refusal.UPSTREAM_CLOSED,
        Refusal.UPSTREAM_PROTOCOL,
        Refusal.UPSTREAM_RESET,
        Refusal.UPSTREAM_REFUSED,
        Refusal.PER_TRY_TIMEOUT,
        Refusal.MAX_DURATION,
    }
