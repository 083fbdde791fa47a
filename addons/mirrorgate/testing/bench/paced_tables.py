"""What streams at the pace of tokens are held up by, without trouble and with it."""

from __future__ import annotations

from collections.abc import Iterator

from .cells import ms, table, times_of, us
from .measures import Measure
from .parts import HEALTHY, TROUBLED
from .proxies import PROXIES
from .results import Figure, Results

__all__ = ["paced", "troubled"]

_SCENARIO = "paced"
_DIRECT = "direct"

_PACED_TEXT = """\
256 streams of 20 events a second each. What a proxy adds to the time to the first event (TTFT) and to the time between
two events (ITL) is the difference to clients that ask the server itself, within a round. ITL is 50 ms where nobody is
late, so that what counts is its 99th percentile."""

_TROUBLE_TEXT = """\
The same streams, each mirrored to a shadow that never answers (`hang`), answers without end (`flood`), resets every
connection (`crash`), or whose process is killed four times a second (`kill`). The shadow process runs on the same core
here as production does; it has the lower priority. Ratios are to no shadow at all (`mirrorgate`)."""


def paced(results: Results) -> list[str]:
    """Return the section about what is added, nothing when it was not measured."""
    names = [name for name in PROXIES if results.of(name, _SCENARIO) and name not in TROUBLED]
    if _DIRECT not in names:
        return []

    def rows() -> Iterator[list[str]]:
        for name in names:
            cells = []
            for figure in (_ttft50, _ttft99, _itl50, _itl99):
                added = results.difference(name, _DIRECT, _SCENARIO, figure) if name != _DIRECT else None
                cells += [ms(results.median(name, _SCENARIO, figure)), ms(added)]
            yield [name, *cells, us(results.median(name, _SCENARIO, _cost))]

    head = [
        "proxy",
        "TTFT p50, ms",
        "added",
        "p99",
        "added",
        "ITL p50, ms",
        "added",
        "p99",
        "added",
        "CPU an event, µs",
    ]
    return ["## Streams at the pace of tokens", _PACED_TEXT, table(head, rows())]


def troubled(results: Results) -> list[str]:
    """Return the section about shadows in trouble, nothing when none was measured."""
    names = [name for name in (*HEALTHY, *TROUBLED) if results.of(name, _SCENARIO)]
    if not set(names) & set(TROUBLED):
        return []
    off = HEALTHY[0]

    def rows() -> Iterator[list[str]]:
        for name in names:
            ratios = [results.ratio(name, off, _SCENARIO, figure) for figure in (_rate, _e2e50, _e2e99)]
            times = [results.median(name, _SCENARIO, figure) for figure in (_ttft50, _ttft99, _itl99)]
            errors = sum(measure.errors for measure in results.of(name, _SCENARIO))
            cost = us(results.median(name, _SCENARIO, _cost))
            yield [name, *map(times_of, ratios), *map(ms, times), cost, f"{errors:,}"]

    head = ["shadow", "events a second", "E2E p50", "E2E p99", "TTFT p50, ms", "p99", "ITL p99, ms", "CPU an event, µs"]
    return ["## A shadow in trouble", _TROUBLE_TEXT, table([*head, "errors"], rows())]


# Figures


def _ttft50(measure: Measure) -> float | None:
    return measure.ttft.p50 if measure.ttft else None


def _ttft99(measure: Measure) -> float | None:
    return measure.ttft.p99 if measure.ttft else None


def _itl50(measure: Measure) -> float | None:
    return measure.itl.p50 if measure.itl else None


def _itl99(measure: Measure) -> float | None:
    return measure.itl.p99 if measure.itl else None


def _e2e50(measure: Measure) -> float | None:
    return measure.e2e.p50 if measure.e2e else None


def _e2e99(measure: Measure) -> float | None:
    return measure.e2e.p99 if measure.e2e else None


def _rate(measure: Measure) -> float | None:
    return measure.events / measure.window


_cost: Figure = lambda measure: measure.cpu_per_event or None  # noqa: E731 - 0 is no proxy at all
