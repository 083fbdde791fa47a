"""The parts of the benchmark."""

from mirrorgate.testing.bench.parts import HEALTHY, TROUBLED, Part, pairs_of
from mirrorgate.testing.bench.proxies import PROXIES
from mirrorgate.testing.bench.scenarios import SCENARIOS


def test_every_part_names_what_there_is() -> None:
    """Scenarios and proxies, these in their own order."""
    for part in Part:
        for scenario, names in pairs_of([part]).items():
            assert scenario in SCENARIOS
            assert names == tuple(name for name in PROXIES if name in names)


def test_what_two_parts_ask_for_is_run_once() -> None:
    """The proxies of both, in one scenario."""
    both = pairs_of([Part.PACED, Part.TROUBLE])
    assert list(both) == ["paced"]
    assert set(both["paced"]) == {"direct", "envoy", "envoy-mirror", *HEALTHY, *TROUBLED}


def test_memory_is_no_run() -> None:
    """It is measured by itself."""
    assert pairs_of([Part.MEMORY]) == {}
