"""What a fault can be told, and what it cannot."""

from __future__ import annotations

import pytest

from mirrorgate.testing.model_server.faults import Fault, FaultError, FaultKind


def test_a_header_and_json_say_the_same() -> None:
    """Both spellings give the same fault."""
    wanted = Fault(FaultKind.RESET_MID_STREAM, after=5, seconds=0.1)
    assert Fault.parse("reset_mid_stream; after=5;seconds=0.1") == wanted
    assert Fault.parse({"kind": "reset_mid_stream", "after": 5, "seconds": 0.1}) == wanted
    assert Fault.parse(wanted) is wanted


@pytest.mark.parametrize(
    "text", ["explode", "slow; seconds=soon", "slow; sconds=1", "malformed; variant=none", "", "slow; times=x"]
)
def test_unknown_words_are_refused(text: str) -> None:
    """A kind, a name or a value that does not exist is an error, not a fault that never happens."""
    with pytest.raises(FaultError):
        Fault.parse(text)


def test_an_object_needs_a_kind() -> None:
    """Parameters alone are no fault."""
    with pytest.raises(FaultError, match="kind"):
        Fault.parse({"after": 3})
