"""What is told of streams at the pace of tokens."""

from mirrorgate.testing.bench.measures import Measure, Spread
from mirrorgate.testing.bench.paced_tables import paced, troubled
from mirrorgate.testing.bench.results import Results


def streamed(proxy: str, *, late: float = 0.0, rate: int = 5000, cpu: float = 0.1, errors: int = 0) -> Measure:
    """A run whose events come `late` seconds later than they could."""
    return Measure(
        scenario="paced",
        proxy=proxy,
        round=0,
        window=1.0,
        requests=80,
        events=rate,
        errors=errors,
        e2e=Spread(3.0 + late, 4.0 + late),
        ttft=Spread(0.001 + late, 0.002 + late),
        itl=Spread(0.05, 0.06 + late),
        cpu=cpu,
    )


def test_what_a_proxy_adds_is_told_beside_what_it_comes_to() -> None:
    """The server itself adds nothing and uses no CPU of a proxy."""
    runs = [streamed("envoy", late=0.003, cpu=0.2), streamed("mirrorgate-hang"), streamed("direct", cpu=0.0)]
    _, _, text = paced(Results(runs, "here"))
    rows = text.splitlines()[2:]
    assert rows == [
        "| direct | 1.0 | – | 2.0 | – | 50.0 | – | 60.0 | – | – |",
        "| envoy | 4.0 | 3.0 | 5.0 | 3.0 | 50.0 | 0.00 | 63.0 | 3.0 | 40.0 |",
    ]


def test_a_shadow_in_trouble_is_told_beside_none() -> None:
    """Ratios of what clients got, and what went wrong."""
    runs = [streamed("mirrorgate"), streamed("mirrorgate-hang", late=0.4, rate=4900, errors=3)]
    _, _, text = troubled(Results(runs, "here"))
    assert text.splitlines()[2:] == [
        "| mirrorgate | 1.00 | 1.00 | 1.00 | 1.0 | 2.0 | 60.0 | 20.0 | 0 |",
        "| mirrorgate-hang | 0.98 | 1.13 | 1.10 | 401 | 402 | 460 | 20.4 | 3 |",
    ]


def test_nothing_is_told_of_what_was_not_measured() -> None:
    """Neither section without its runs."""
    assert paced(Results([streamed("mirrorgate")], "here")) == []
    assert troubled(Results([streamed("mirrorgate"), streamed("mirrorgate-mirror")], "here")) == []
