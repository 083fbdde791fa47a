"""The failure breaker: its table, its rates, and that no order of calls breaks the accounting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.failure_breaker import TRANSITIONS, FailureBreaker, Outcome, Pass, State, Trigger
from mirrorgate.resources.failure_breaker_policy import FailureBreakerPolicySpec

ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}
WELL, FAILED, SLOW = Outcome(False), Outcome(True), Outcome(False, True)


def breaker(**spec: Any) -> FailureBreaker:
    """Return a breaker that opens at half of four calls, waits 10 s and takes two probes."""
    settings = {"targetRefs": [ROUTE], "minimumCalls": 4, "openDuration": "10s", "permittedProbes": 2, **spec}
    return FailureBreaker(FailureBreakerPolicySpec.model_validate(settings))


def call(machine: FailureBreaker, outcome: Outcome, now: float = 0.0) -> bool:
    """Make one call; whether it passed."""
    given_pass = machine.acquire(now)
    if given_pass is not None:
        machine.record(given_pass, outcome, now)
    return given_pass is not None


def calls(machine: FailureBreaker, letters: str, now: float = 0.0) -> State:
    for letter in letters:
        call(machine, {"w": WELL, "f": FAILED, "s": SLOW}[letter], now)
    return machine.state


def test_the_table_is_closed_and_every_state_is_left_and_reached() -> None:
    """An operator's word may come in every state, and only it or its end leaves a forced one."""
    assert {target for target in TRANSITIONS.values()} == set(State)
    assert {state for state, _ in TRANSITIONS} == set(State)
    for state in (State.FORCED_OPEN, State.FORCED_CLOSED):
        leaving = {trigger for held, trigger in TRANSITIONS if held is state}
        assert leaving <= {Trigger.RELEASE, Trigger.FORCE_OPEN, Trigger.FORCE_CLOSE}
    assert not any(state is target for (state, _), target in TRANSITIONS.items())


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("fff", State.CLOSED),
        ("ffff", State.OPEN),
        ("wwff", State.OPEN),
        ("wwwf", State.CLOSED),
        ("wwwwwwww" + "ffff", State.CLOSED),
        ("wwwwwwww" + "fffff", State.OPEN),
        ("ssss", State.CLOSED),
    ],
)
def test_it_opens_at_the_rate_of_enough_calls(letters: str, state: State) -> None:
    """Half of the latest ten, of at least four; nothing is slow unless it is declared."""
    assert calls(breaker(window={"calls": 10}), letters) is state


@pytest.mark.parametrize(("letters", "state"), [("sssw", State.OPEN), ("ssww", State.CLOSED), ("ssfw", State.CLOSED)])
def test_slow_calls_have_a_rate_of_their_own(letters: str, state: State) -> None:
    """Three of four here."""
    assert calls(breaker(slowCall={"duration": "1s", "ratePercent": 75}), letters) is state


def test_it_waits_probes_and_closes_or_opens_again() -> None:
    """Nothing passes while it waits; then two probes, and by them it is judged."""
    machine = breaker()
    calls(machine, "ffff", 100.0)
    assert machine.acquire(109.9) is None
    assert machine.retry_after(101.5) == 9
    assert [call(machine, FAILED, 110.0), machine.state] == [True, State.HALF_OPEN]
    assert calls(machine, "f", 110.0) is State.OPEN
    assert machine.opened == 2
    assert machine.acquire(119.0) is None
    assert calls(machine, "ww", 120.0) is State.CLOSED
    assert calls(machine, "fff", 120.0) is State.CLOSED
    assert machine.refused == 2


def test_no_more_probes_pass_than_are_permitted() -> None:
    """One that says nothing gives its place to another."""
    machine = breaker()
    calls(machine, "ffff")
    first, second = machine.acquire(10.0), machine.acquire(10.0)
    assert first is not None
    assert second is not None
    assert machine.acquire(10.0) is None
    machine.cancel(first)
    machine.cancel(first)
    third = machine.acquire(10.0)
    assert third is not None
    assert machine.acquire(10.0) is None
    assert not machine.record(second, WELL, 11.0)
    assert machine.record(third, WELL, 11.0)
    assert machine.state is State.CLOSED


def test_what_ends_in_another_state_is_not_recorded() -> None:
    """Stragglers of the outage do not judge its end."""
    machine = breaker()
    late = [machine.acquire(0.0) for _ in range(5)]
    calls(machine, "ffff")
    calls(machine, "", 10.0)
    assert machine.passes(10.0)
    for straggler in late:
        assert straggler is not None
        assert not machine.record(straggler, FAILED, 10.0)
    assert calls(machine, "ww", 10.0) is State.CLOSED
    assert machine.rates(10.0) == (0, 0.0, 0.0)


def test_a_window_of_time_forgets() -> None:
    """What is older than ten seconds counts no more, in steps of one."""
    machine = breaker(window={"type": "Time", "duration": "10s"})
    calls(machine, "fff", 0.5)
    assert machine.rates(9.0) == (3, 100.0, 0.0)
    assert machine.rates(10.0)[0] == 0
    assert calls(machine, "f", 10.5) is State.CLOSED
    assert calls(machine, "fff", 11.0) is State.OPEN


@pytest.mark.parametrize(
    ("trigger", "state", "passes"),
    [(Trigger.FORCE_OPEN, State.FORCED_OPEN, False), (Trigger.FORCE_CLOSE, State.FORCED_CLOSED, True)],
)
def test_an_operators_word_holds_until_it_is_taken_back(trigger: Trigger, state: State, passes: bool) -> None:
    """Whatever fails, however long it takes, and over another specification."""
    machine = breaker()
    calls(machine, "ffff")
    assert machine.force(trigger, 1.0)
    assert not machine.force(trigger, 1.0)
    assert [call(machine, FAILED, now) for now in range(2, 100)] == [passes] * 98
    machine.configure(None)
    assert machine.state is state
    assert machine.force(Trigger.RELEASE, 100.0)
    assert machine.state is State.CLOSED
    assert not machine.force(Trigger.RELEASE, 100.0)


def test_another_specification_begins_anew_and_the_same_goes_on() -> None:
    """Without one, nothing is judged."""
    machine = breaker()
    calls(machine, "fff")
    machine.configure(breaker().spec)
    assert calls(machine, "f") is State.OPEN
    machine.configure(breaker(minimumCalls=5).spec)
    assert machine.state is State.CLOSED
    assert calls(FailureBreaker(None), "f" * 500) is State.CLOSED


_STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "well", "fail", "slow", "cancel", "wait", *Trigger]), st.integers(0, 30)),
    max_size=150,
)


@given(_STEPS, st.sampled_from(["Count", "Time"]))
def test_whatever_happens_it_keeps_to_its_table(steps: list[tuple[str, int]], window: str) -> None:
    """Every change of state is a row; probes never exceed what is permitted; what is open lets nothing pass."""
    machine = breaker(window={"type": window, "calls": 5, "duration": "10s"}, slowCall={"duration": "1s"})
    now, under_way = 0.0, list[tuple[Pass, State]]()
    for step, number in steps:
        before = machine.state
        if step == "begin":
            found = machine.acquire(now)
            assert (found is None) == (machine.state in (State.OPEN, State.FORCED_OPEN)) or (
                machine.state is State.HALF_OPEN
            )
            if found is not None:
                under_way.append((found, machine.state))
        elif step == "wait":
            now += number
        elif step in ("well", "fail", "slow", "cancel"):
            if under_way:
                held, _ = under_way.pop(number % len(under_way))
                if step == "cancel":
                    machine.cancel(held)
                else:
                    machine.record(held, {"well": WELL, "fail": FAILED, "slow": SLOW}[step], now)
                assert held.used
        elif step in (Trigger.FORCE_OPEN, Trigger.FORCE_CLOSE, Trigger.RELEASE):
            machine.force(Trigger(step), now)
        assert machine.state is before or any(
            target is machine.state for (state, _), target in TRANSITIONS.items() if state is before
        )
        total, failed, slow = machine.rates(now)
        assert 0 <= failed <= 100
        assert 0 <= slow <= 100
        assert total >= 0
        if machine.state is State.HALF_OPEN:
            assert 0 <= machine._probes <= 2
    machine.force(Trigger.FORCE_CLOSE, now)
    machine.force(Trigger.RELEASE, now)
    assert calls(machine, "ffff", now + 1000) is State.OPEN
    assert calls(machine, "ww", now + 1010) is State.CLOSED
