"""Changing a behaviour from JSON."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.model_server.behaviour import Behaviour, BehaviourError, Canned, Defect, MetricsDialect
from mirrorgate.testing.model_server.faults import Fault, FaultKind


def test_values_are_converted_to_their_fields_types() -> None:
    """JSON has no tuples, enums or faults; a behaviour has."""
    changed = Behaviour().changed(
        {
            "ttft": 1,
            "models": ["a", "b"],
            "faults": ["slow", {"kind": "flood"}],
            "defects": "slow",
            "metrics_dialect": "sglang",
            "reported_kv_cache_usage": 1,
            "max_num_queued_reqs": None,
        }
    )
    assert changed.ttft == 1.0
    assert changed.models == ("a", "b")
    assert changed.faults == (Fault(FaultKind.SLOW), Fault(FaultKind.FLOOD))
    assert changed.has(Defect.SLOW)
    assert changed.metrics_dialect is MetricsDialect.SGLANG
    assert changed.reported_kv_cache_usage == 1.0
    assert changed.max_num_queued_reqs is None


@pytest.mark.parametrize(
    "changes",
    [{"tfft": 1}, {"ttft": "soon"}, {"faults": ["nope"]}, {"defects": ["nope"]}, {"canned": {"/": {}}}, {"seed": None}],
)
def test_what_it_does_not_have_is_refused(changes: dict[str, Any]) -> None:
    """A wrong name or value changes nothing and says which."""
    with pytest.raises(BehaviourError, match=next(iter(changes))):
        Behaviour().changed(changes)


def test_canned_answers_can_be_changed_by_code() -> None:
    """They are given as values, not as JSON."""
    assert Behaviour().changed({"canned": {"/a": Canned(204)}}).canned == {"/a": Canned(204)}
