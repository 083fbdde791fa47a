"""How well an endpoint is prepared for a model."""

import pytest

from mirrorgate.scheduling.adapters import affinity
from mirrorgate.scheduling.endpoints import Load


@pytest.mark.parametrize(
    ("load", "rated"),
    [
        (None, 0.5),
        (Load(), 0.5),
        (Load(models=frozenset("m")), 1.0),
        (Load(max_lora=1, active_adapters=frozenset("m")), 1.0),
        (Load(max_lora=2, active_adapters=frozenset("x")), 0.8),
        (Load(max_lora=1, active_adapters=frozenset("x"), waiting_adapters=frozenset("m")), 0.6),
        (Load(max_lora=1, active_adapters=frozenset("x")), 0.0),
        (Load(max_lora=2, active_adapters=frozenset("x"), waiting_adapters=frozenset("x")), 0.8),
    ],
)
def test_affinity(load: Load | None, rated: float) -> None:
    """Active, room, waited for, full, unknown; one that is both active and waited for takes one place."""
    assert affinity(load, "m") == rated
