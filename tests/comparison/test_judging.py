import random

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.comparison.judging import Judge, combined
from mirrorgate.comparison.verdict import Coverage, Decision, VerdictPolicy

POLICY = VerdictPolicy((Guardrail("errors", 0.05), Guardrail("refusal", 0.05)), min_pairs=20)


def test_a_healthy_candidate_is_promoted_and_a_broken_one_rejected() -> None:
    """The whole way from losses to a verdict."""
    good, bad = Judge(POLICY, "a"), Judge(POLICY, "a")
    for number in range(300):
        good.observe({"errors": 0.0, "refusal": 0.0}, float(number))
        bad.observe({"errors": 0.0, "refusal": float(number % 3 == 0)}, float(number))
    assert good.verdict().decision is Decision.PROMOTE
    assert (bad.verdict().decision, bad.verdict().guardrail) == (Decision.REJECT, "refusal")


def test_pairs_that_score_nobody_are_counted_and_change_nothing() -> None:
    """A client's leaving is not evidence; drops lower the coverage."""
    judge = Judge(POLICY, "a")
    judge.observe({}, 1.0)
    judge.drop(2)
    judge.observe({"errors": 0.0, "unknown": 1.0}, 2.0)
    assert judge.coverage == Coverage(compared=1, unscored=1, dropped=2)
    tallies = judge.tallies()
    assert (tallies["errors"].count, tallies["refusal"].count) == (1, 0)


def test_another_identity_starts_anew() -> None:
    """Evidence is never carried over to another model, parameter or policy."""
    judge = Judge(POLICY, "a")
    judge.observe({"errors": 1.0}, 1.0, "talk")
    judge.observe({"errors": 1.0}, 1.0)
    assert not judge.identify("a")
    assert judge.identify("b")
    assert judge.tallies()["errors"].count == 0
    judge.advance(1e9)
    assert judge.tallies()["errors"].count == 0
    assert judge.identify("b", VerdictPolicy((Guardrail("errors", 0.01),)))


def test_a_conversation_is_one_observation() -> None:
    """Ten turns that all fail weigh as one."""
    judge = Judge(POLICY, "a")
    for turn in range(10):
        judge.observe({"errors": 1.0}, float(turn), "talk")
    assert judge.tallies()["errors"].count == 0
    judge.advance(60.0)
    assert (judge.tallies()["errors"].count, judge.tallies()["errors"].total) == (1, 1.0)


def test_a_verdict_that_was_told_is_latched() -> None:
    """Turns of open conversations count to the coverage at once: what they complete is not taken back by a drop."""
    judge = Judge(POLICY, "a")
    judge.drop(400)
    for number in range(300):
        judge.observe({"errors": 0.0, "refusal": 0.0}, float(number) / 10)
    assert judge.verdict().decision is Decision.HOLD
    for number in range(100):
        judge.observe({"errors": 0.0, "refusal": 0.0}, 30.0, f"talk {number}")
    assert judge.verdict().decision is Decision.PROMOTE
    judge.drop(100)
    assert judge.verdict().decision is Decision.PROMOTE
    assert judge.decision == (Decision.PROMOTE, None)


losses = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.0, 1.0]), st.sampled_from([None, "x", "y"]), st.floats(0.0, 30.0)),
    max_size=50,
)


@given(losses, st.integers(0, 50))
def test_a_restart_anywhere_changes_nothing(pairs: list[tuple[float, str | None, float]], cut: int) -> None:
    """A checkpoint goes on to the same last digit, open conversations included."""
    straight, resumed = Judge(POLICY, "a"), Judge(POLICY, "a")
    at = 0.0
    for number, (value, key, gap) in enumerate(pairs):
        at += gap
        if number == cut:
            resumed, fitted = Judge.restored(POLICY, "a", resumed.encoded())
            assert fitted
        for judge in (straight, resumed):
            judge.observe({"errors": value}, at, key)
    assert straight.encoded() == resumed.encoded()
    assert straight.verdict() == resumed.verdict()


def test_checkpoints_that_do_not_fit_start_anew() -> None:
    """Another identity, another margin, or garbage."""
    judge = Judge(POLICY, "a")
    judge.observe({"errors": 1.0}, 1.0)
    stored = judge.encoded()
    for policy, identity, checkpoint in (
        (POLICY, "b", stored),
        (VerdictPolicy((Guardrail("errors", 0.01), Guardrail("refusal", 0.05))), "a", stored),
        (POLICY, "a", b"{"),
        (POLICY, "a", stored.replace(b'"count":1', b'"count":-1')),
    ):
        fresh, fitted = Judge.restored(policy, identity, checkpoint)
        assert not fitted
        assert fresh.tallies()["errors"].count == 0


def test_replicas_add_up() -> None:
    """The verdict over several judges is that of their summed evidence, in whatever order."""
    rng = random.Random(3)
    judges = [Judge(POLICY, "a") for _ in range(3)]
    for number in range(300):
        rng.choice(judges).observe({"errors": 0.0, "refusal": 0.0}, float(number))
    parts = [(judge.tallies(), judge.coverage) for judge in judges]
    verdict = combined(POLICY, parts)
    assert verdict == combined(POLICY, list(reversed(parts)))
    assert (verdict.decision, verdict.pairs, verdict.coverage.compared) == (Decision.PROMOTE, 300, 300)
    alone = judges[0]
    assert combined(POLICY, [(alone.tallies(), alone.coverage)]).standings == alone.verdict().standings
