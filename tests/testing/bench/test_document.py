"""The document about the benchmark."""

from mirrorgate.testing.bench.document import written
from mirrorgate.testing.bench.measures import Footprint, Measure, Spread
from mirrorgate.testing.bench.results import Results

SPREAD = Spread(0.001, 0.002)


def test_it_tells_costs_ratios_and_errors() -> None:
    """Microseconds beside ratios to what was measured with it; a failed run is named."""
    runs = [
        Measure(scenario="small", proxy="mirrorgate", round=0, window=1.0, requests=10, cpu=0.003, e2e=SPREAD),
        Measure(scenario="small", proxy="envoy", round=0, window=1.0, requests=10, cpu=0.001, errors=1234),
    ]
    text = written(Results(runs, "a machine"))
    assert "Measured on a machine." in text
    assert "- **small**: 600 B of JSON each way, 32 clients; one round\n" in text
    assert "| mirrorgate | 300 |" in text
    assert "| mirrorgate / envoy | 3.00 |" in text
    assert "| small | mirrorgate | 1.0 | 2.0 |" in text
    assert "- envoy, small, round 0: 1,234" in text
    assert "## Mirroring" not in text


def test_the_range_of_a_ratio_is_told() -> None:
    """Where there are rounds enough."""
    runs = [
        Measure(scenario="small", proxy=proxy, round=number, window=1.0, requests=10, cpu=cpu)
        for proxy, cpus in (("mirrorgate", (0.003, 0.001, 0.002)), ("envoy", (0.001,) * 3))
        for number, cpu in enumerate(cpus)
    ]
    text = written(Results(runs, "a machine"))
    assert "32 clients; 3 rounds" in text
    assert "| mirrorgate / envoy | 2.00 (1.00-3.00) |" in text


def test_mirroring_tells_the_processes_apart() -> None:
    """The shadow's time stands in a column of its own, and what was copied beside it."""
    mirror = {"window": 1.0, "requests": 10, "cpu": 0.001, "beside": 0.002, "mirrored": 9}
    text = written(Results([Measure(scenario="small", proxy="mirrorgate-mirror", round=0, **mirror)], "a machine"))
    assert "| mirrorgate-mirror | small | 100 | 200 | 90.0% |" in text


def test_a_proxy_stands_only_where_it_was_measured() -> None:
    """Not in the tables of other scenarios."""
    runs = [
        Measure(scenario="small", proxy="mirrorgate", round=0, window=1.0, requests=10, cpu=0.003),
        Measure(scenario="stream", proxy="envoy", round=0, window=1.0, requests=1, events=10, cpu=0.003),
    ]
    text = written(Results(runs, "a machine"))
    assert len([line for line in text.splitlines() if line.startswith("| envoy |")]) == 1
    assert "Workers" not in text
    assert "## Memory\n" not in text


def test_workers_are_told_by_their_cpu() -> None:
    """Two workers that take a quarter more for each request have an efficiency of 0.8."""
    runs = [
        Measure(scenario="small", proxy=name, round=0, window=1.0, requests=10, cpu=cpu)
        for name, cpu in (("mirrorgate", 0.004), ("mirrorgate-workers", 0.005))
    ]
    assert "| 2 | 500 | 0.80 | 10 |" in written(Results(runs, "a machine"))


def test_memory_is_told_by_what_takes_it() -> None:
    """MiB of the whole, KiB of each."""
    found = Footprint(
        proxy="envoy",
        idle=2 << 20,
        clients=1000,
        with_clients=(2 << 20) + (5000 << 10),
        streams=10,
        with_streams=8 << 20,
    )
    text = written(Results([], "a machine", [found]))
    assert "| proxy | idle, MiB | each of 1,000 clients, KiB | each of 10 streams, KiB |" in text
    assert "| envoy | 2 | 5.0 | 114.4 |" in text
