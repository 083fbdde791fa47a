"""What other workers have, as values."""

from mirrorgate.admission.elsewhere import NOWHERE, Counts


def test_one_process_has_nothing_elsewhere() -> None:
    """The default adds nothing to any count."""
    assert Counts() == NOWHERE
