"""The document about the benchmark."""

from mirrorgate.testing.bench.document import written
from mirrorgate.testing.bench.measures import Measure, Spread
from mirrorgate.testing.bench.results import Results

SPREAD = Spread(0.001, 0.002)


def test_it_tells_costs_ratios_and_errors() -> None:
    """Microseconds beside ratios to what was measured with it; a failed run is named."""
    runs = [
        Measure(scenario="small", proxy="mirrorgate", round=0, window=1.0, requests=10, cpu=0.003, e2e=SPREAD),
        Measure(scenario="small", proxy="envoy", round=0, window=1.0, requests=10, cpu=0.001, errors=1234),
    ]
    text = written(Results(runs, "a machine"))
    assert "Measured on a machine, 1 rounds" in text
    assert "| mirrorgate | 300 |" in text
    assert "| mirrorgate / envoy | 3.00 |" in text
    assert "| small | mirrorgate | 1.0 | 2.0 |" in text
    assert "- envoy, small, round 0: 1,234" in text
    assert "## Mirroring" not in text


def test_mirroring_tells_the_processes_apart() -> None:
    """The shadow's time stands in a column of its own, and what was copied beside it."""
    mirror = {"window": 1.0, "requests": 10, "cpu": 0.001, "beside": 0.002, "mirrored": 9}
    text = written(Results([Measure(scenario="small", proxy="mirrorgate-mirror", round=0, **mirror)], "a machine"))
    assert "| mirrorgate-mirror | small | 100 | 200 | 90.0% |" in text
