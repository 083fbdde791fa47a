"""The seed of the chaos: CHAOS_SEED of the environment, drawn anew where a test is marked as chaos or soak, else 1."""

import os
import random

import pytest


@pytest.fixture(scope="module")
def seed(request: pytest.FixtureRequest) -> int:
    """Give a module its seed, which is printed."""
    given = os.environ.get("CHAOS_SEED")
    marked = any(request.node.get_closest_marker(name) for name in ("chaos", "soak"))
    drawn = int(given) if given else random.SystemRandom().randrange(10**6) if marked else 1
    print(f"CHAOS_SEED={drawn}")
    return drawn
