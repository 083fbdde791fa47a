"""Steps are lines of JSON that give back every digit, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.comparison.steps import (
    Advanced,
    Basis,
    Dropped,
    Observed,
    decode_step,
    encode_step,
    identity_of,
    is_step,
)
from mirrorgate.comparison.verdict import VerdictPolicy

floats = st.floats(-1.0, 1.0)
seconds = st.none() | st.floats(0.0, 1e6)
observed = st.builds(
    Observed,
    ledger=st.text(max_size=9),
    epoch=st.integers(0, 1 << 50),
    number=st.integers(0, 1 << 50),
    mirror=st.text(max_size=9),
    sequence=st.integers(0, 1 << 50),
    id=st.text(max_size=9),
    at=st.floats(0, 1e10),
    conversation=st.none() | st.text(max_size=9),
    outcome=st.text(max_size=9),
    similarity=st.none() | st.floats(0, 1),
    losses=st.dictionaries(st.text(max_size=9), floats, max_size=4),
    latencies=st.dictionaries(st.text(max_size=9), st.tuples(seconds, seconds, seconds), max_size=3),
    scorer_failures=st.lists(st.text(max_size=9), max_size=2).map(tuple),
)


@given(observed)
def test_a_step_survives_its_line(step: Observed) -> None:
    """To the last digit; its line has no line break and begins as every step's does."""
    line = encode_step(step)
    assert is_step(line)
    assert b"\n" not in line
    assert decode_step(line) == step


@pytest.mark.parametrize(
    "step", [Dropped("l", 0, 1, "m", 2.0, {"queue_full": 3}), Advanced("l", 0, 1, "m", 2.0)], ids=["drop", "advance"]
)
def test_the_other_steps_survive_too(step: Dropped | Advanced) -> None:
    """What is not a pair is a line as well."""
    assert decode_step(encode_step(step)) == step


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"step":',
        b'{"step":"closed"}',
        b'{"step":"advanced","ledger":"l","epoch":0,"number":1,"mirror":"m","at":1,"schema":"other/v9"}',
        b'{"step":"advanced","ledger":"l","epoch":0,"number":-1,"mirror":"m","at":1}',
        b'{"step":"dropped","ledger":"l","epoch":0,"number":1,"mirror":"m","at":1,"reasons":{"x":-2}}',
        b'{"schema":"mirrorgate.exchange/v1"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_step_is_a_value_error(line: bytes) -> None:
    """Damaged lines, other versions, and numbers that cannot be."""
    with pytest.raises(ValueError, match=r".*"):
        decode_step(line)


def test_a_loss_outside_its_bound_is_refused() -> None:
    """The error rates depend on the bound, so that a line with another number is damage."""
    line = encode_step(Observed("l", 0, 1, "m", 1, "a", 1.0, None, "same", None, {"errors": 1.0}, {}))
    with pytest.raises(ValueError, match="<= 1"):
        decode_step(line.replace(b'"errors":1.0', b'"errors":1.5'))


def test_the_identity_changes_with_anything_and_not_with_order() -> None:
    """Two ways to write the same basis are the same basis."""
    policy = VerdictPolicy((Guardrail("errors", 0.005),))
    basis = Basis("m", "replacement", policy, {"a": 1, "b": {"c": 2, "d": 3}}, {"slo": {}})
    again = Basis("m", "replacement", policy, {"b": {"d": 3, "c": 2}, "a": 1}, {"slo": {}})
    assert identity_of(basis) == identity_of(again)
    assert msgspec.json.decode(msgspec.json.encode(basis), type=Basis) == basis
    others = [
        Basis("n", "replacement", policy, basis.subject, basis.rules),
        Basis("m", "equivalence", policy, basis.subject, basis.rules),
        Basis("m", "replacement", VerdictPolicy((Guardrail("errors", 0.006),)), basis.subject, basis.rules),
        Basis("m", "replacement", policy, {"a": 2}, basis.rules),
        Basis("m", "replacement", policy, basis.subject, {"slo": {"e2e": 1.0}}),
    ]
    assert len({identity_of(each) for each in (basis, *others)}) == 6
