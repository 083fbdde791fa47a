"""A ledger changes by steps alone, and goes on from any of its states."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.comparison.ledger import Ledger
from mirrorgate.comparison.steps import Advanced, Basis, Dropped, Observed, Opened, decode_step, encode_step
from mirrorgate.comparison.verdict import Coverage, Decision, VerdictPolicy
from mirrorgate.comparison.verdict_document import document_of

BASIS = Basis("m", "replacement", VerdictPolicy((Guardrail("errors", 0.05),), min_pairs=20))

Move = tuple[str, float, str | None, float]

moves = st.lists(
    st.tuples(
        st.sampled_from(["pair", "pair", "pair", "client_left", "drop", "advance"]),
        st.sampled_from([-1.0, 0.0, 0.0, 1 / 3, 1.0]),
        st.sampled_from([None, "x", "y"]),
        st.floats(0.0, 40.0),
    ),
    max_size=40,
)


def steps_of(found: Sequence[Move]) -> list[Observed | Dropped | Advanced]:
    at = 1_000.0
    steps: list[Observed | Dropped | Advanced] = []
    for number, (kind, value, conversation, gap) in enumerate(found, 1):
        at += gap
        if kind == "drop":
            steps.append(Dropped("l", 0, number, "m", at, {"queue_full": 1, "process_died": number}))
        elif kind == "advance":
            steps.append(Advanced("l", 0, number, "m", at))
        else:
            losses = {"errors": value} if kind == "pair" else {}
            latencies = {"primary": (0.1, None, gap), "candidate": (value + 1.0, 0.01, 2.0)}
            failed = ("mine",) if value == 1.0 else ()
            steps.append(
                Observed(
                    "l", 0, number, "m", number, str(number), at, conversation, kind, 0.5, losses, latencies, failed
                )
            )
    return steps


def applied(steps: Sequence[Observed | Dropped | Advanced]) -> Ledger:
    ledger = Ledger("l", BASIS, 1_000.0)
    for step in steps:
        ledger.apply(step)
    return ledger


@given(moves, st.integers(0, 40))
def test_a_checkpoint_anywhere_changes_nothing(found: list[Move], cut: int) -> None:
    """Through its line and back, it goes on to the same document, last digit included."""
    steps = steps_of(found)
    straight = applied(steps)
    line = encode_step(applied(steps[:cut]).opened("r", 5.0))
    opened = decode_step(line)
    assert isinstance(opened, Opened)
    resumed = Ledger.restored(opened)
    for step in steps[cut:]:
        resumed.apply(step)
    assert document_of([resumed]) == document_of([straight])
    assert encode_step(resumed.opened("r", 5.0)) == encode_step(straight.opened("r", 5.0))


def test_what_a_ledger_counts() -> None:
    """Outcomes, drops, coverage, failures of scorers, latencies."""
    ledger = applied(steps_of([("pair", 1.0, None, 1.0), ("client_left", 0.0, None, 1.0), ("drop", 0.0, None, 1.0)]))
    assert ledger.coverage == Coverage(compared=1, unscored=1, dropped=4)
    assert ledger.outcomes == {"pair": 1, "client_left": 1}
    assert ledger.dropped == {"queue_full": 1, "process_died": 3}
    assert ledger.scorer_failures == {"mine": 1}
    assert ledger.latencies["primary"][1].count == 0
    assert ledger.latencies["candidate"][0].count == 2
    assert (ledger.number, ledger.since, ledger.updated) == (3, 1_000.0, 1_003.0)


def test_conversations_are_due_after_their_window() -> None:
    """Not before, and advancing closes them."""
    ledger = applied(steps_of([("pair", 1.0, "x", 10.0)]))
    assert (ledger.windows, ledger.tallies()["errors"].count) == (1, 0)
    assert not ledger.due(1_069.0)
    assert ledger.due(1_070.0)
    ledger.apply(Advanced("l", 0, 2, "m", 1_070.0))
    assert (ledger.windows, ledger.tallies()["errors"].count) == (0, 1)
    assert not ledger.due(1e12)


def test_a_decision_is_reached() -> None:
    """The ledger's decision is its judge's."""
    ledger = applied(steps_of([("pair", 0.0, None, 1.0)] * 200))
    assert ledger.decision is Decision.PROMOTE
    assert ledger.verdict().decision is Decision.PROMOTE


def test_another_life_has_its_own_epoch() -> None:
    """And the same evidence."""
    ledger = applied(steps_of([("pair", 0.0, None, 1.0)]))
    again = Ledger.restored(ledger.opened("r", 5.0), 7)
    assert (again.epoch, again.number, again.id) == (7, 1, "l")


def test_a_state_of_another_basis_is_refused() -> None:
    """Evidence is never carried over to what it was not gathered for."""
    opened = applied(steps_of([("pair", 0.0, None, 1.0)])).opened("r", 5.0)
    other = Basis("m", "replacement", replace(BASIS.policy, min_pairs=21))
    with pytest.raises(ValueError, match="not of this basis"):
        Ledger.restored(msgspec.structs.replace(opened, basis=other))
