"""Events: frozen, and of closed sets where they become labels."""

import dataclasses
import re
from typing import get_args

import pytest

from mirrorgate import events
from mirrorgate.events import Event, MirrorDropped, MirrorDropReason, MirrorSent


def test_an_event_does_not_change() -> None:
    """Every subscriber sees the same."""
    sent = MirrorSent("x", "c", "127.0.0.1:8000")
    with pytest.raises(dataclasses.FrozenInstanceError):
        sent.id = "y"  # type: ignore[misc]
    assert not hasattr(sent, "__dict__")


def test_every_kind_is_among_the_events() -> None:
    """What is declared here can be emitted, and is a value that equals its like."""
    declared = {kind for kind in vars(events).values() if dataclasses.is_dataclass(kind)}
    assert declared <= set(get_args(Event))
    assert MirrorDropped("x", "c", MirrorDropReason.PAUSED) == MirrorDropped("x", "c", MirrorDropReason.PAUSED)
    assert MirrorDropped.__hash__ is not None


@pytest.mark.parametrize("reason", MirrorDropReason)
def test_a_reason_is_fit_for_a_label(reason: MirrorDropReason) -> None:
    """Lower case and underscores, as its name is."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
    assert reason.value == reason.name.lower()
