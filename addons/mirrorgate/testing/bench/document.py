"""The document that tells what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .cells import count, mib, middle_of, ms, table, us
from .measures import Measure
from .paced_tables import paced, troubled
from .resource_tables import memory, workers
from .results import Results
from .scenarios import SCENARIOS, Unit

__all__ = ["written"]

_OPENING = """\
# Benchmark

What Mirrorgate costs, beside other proxies that do the same work in the same rounds. `scripts/bench` measures anew and
writes this page; `docs/performance.md` tells where the time goes and what was done about it.

Measured on {machine}. Figures are medians of the rounds. Every proxy is one process on one core, in front of a
server that answers at once; the clients have another core. A Mirrorgate that mirrors is two processes on that core;
figures are of the one that carries production, and "Mirroring" tells the other's. Mirrorgate routes to an InferencePool
with breaker, metrics, access log and the reading of the request's model on; its limit for shedding load is out of
reach. The others forward and do nothing else, without an access log; *envoy-model* is an Envoy that reads the request's
model as well, with its filter for that (`json_to_metadata`).
Times are CPU time, user and system, of the processes: load from elsewhere disturbs it much less than it disturbs
latency. A ratio is taken within a round, and the median of the rounds is shown, with their range where there are three.

![CPU of a request and of a streamed event](images/benchmark.svg)"""

_BASES = ("envoy", "envoy-model", "mitmdump", "litellm")
_MIRRORING = "-mirror"


def written(results: Results) -> str:
    """Return the document as Markdown. What has not been run is left out."""
    parts = [_OPENING.format(machine=results.machine)]
    for unit, title in ((Unit.REQUEST, "A request"), (Unit.EVENT, "A streamed event")):
        names = [name for name in results.scenarios if SCENARIOS[name].unit is unit and name != "paced"]
        if names:
            parts.append(f"## {title}")
            parts += [f"- **{name}**: {SCENARIOS[name].title}; {_rounds(results, name)}" for name in names]
            parts.append(_costs(results, names, unit))
            parts.append(_ratios(results, names, unit))
    if any(results.median(name, scenario, _beside) for name in results.proxies for scenario in results.scenarios):
        parts += ["## Mirroring", _MIRROR_TEXT, _mirrors(results)]
    for section in (paced, troubled, workers, memory):
        parts += section(results)
    if results.measures:
        parts += ["## Time and memory of each run", _TIME_TEXT, _times(results)]
    errors = [m for m in results.measures if m.errors]
    if errors:
        parts.append("## Errors")
        parts += [f"- {m.proxy}, {m.scenario}, round {m.round}: {m.errors:,}" for m in errors]
    return _joined(parts)


_MIRROR_TEXT = """\
Every request is copied to a second server. Mirrorgate's proxy process hands the exchange to its shadow process, which
sends the copy, reads its answer and compares the two; Envoy and nginx throw the copy's answer away."""

_TIME_TEXT = """\
Latency as the clients see it, with the proxy saturated where the scenario says nothing else: good for comparing, not
for planning. Memory is of the whole process tree after the run (PSS)."""


def _rounds(results: Results, scenario: str) -> str:
    number = results.rounds(scenario)
    return "one round" if number == 1 else f"{number} rounds"


def _costs(results: Results, scenarios: Sequence[str], unit: Unit) -> str:
    figure = _figure(unit)
    rows = (
        [name, *(us(results.median(name, each, figure)) for each in scenarios)]
        for name in results.proxies
        if any(results.of(name, each) for each in scenarios)
    )
    return table(["CPU, µs", *scenarios], rows)


def _ratios(results: Results, scenarios: Sequence[str], unit: Unit) -> str:
    figure = _figure(unit)

    def rows() -> Iterator[list[str]]:
        for ours in (name for name in results.proxies if name.startswith("mirrorgate")):
            for base in _BASES:
                base = base + _MIRRORING if ours.endswith(_MIRRORING) else base
                ratios = [results.ratios(ours, base, each, figure) for each in scenarios]
                if any(ratios):
                    yield [f"{ours} / {base}", *map(middle_of, ratios)]

    return table(["ratio", *scenarios], rows())


def _mirrors(results: Results) -> str:
    def rows() -> Iterator[list[str]]:
        for name in results.proxies:
            for scenario in results.scenarios:
                if results.median(name, scenario, _mirrored) is None:
                    continue
                own = _figure(SCENARIOS[scenario].unit)
                shadow = _beside_figure(SCENARIOS[scenario].unit)
                share = results.median(name, scenario, _mirrored)
                cells = (us(results.median(name, scenario, figure)) for figure in (own, shadow))
                yield [name, scenario, *cells, "–" if share is None else f"{share:.1%}"]

    return table(["proxy", "scenario", "proxy process, µs", "shadow process, µs", "copied"], rows())


def _times(results: Results) -> str:
    def rows() -> Iterator[list[str]]:
        for scenario in results.scenarios:
            for name in results.proxies:
                if not results.of(name, scenario):
                    continue
                cells = [
                    ms(results.median(name, scenario, lambda m: m.e2e.p50 if m.e2e else None)),
                    ms(results.median(name, scenario, lambda m: m.e2e.p99 if m.e2e else None)),
                    ms(results.median(name, scenario, lambda m: m.ttft.p50 if m.ttft else None)),
                    ms(results.median(name, scenario, lambda m: m.delay.p50 if m.delay else None)),
                    ms(results.median(name, scenario, lambda m: m.delay.p99 if m.delay else None)),
                    count(results.median(name, scenario, lambda m: m.requests / m.window)),
                    mib(results.median(name, scenario, lambda m: m.memory)),
                ]
                yield [scenario, name, *cells]

    head = ["scenario", "proxy", "E2E p50, ms", "p99", "TTFT p50", "event under way p50", "p99", "requests/s", "MiB"]
    return table(head, rows())


# Figures


def _figure(unit: Unit) -> Callable[[Measure], float | None]:
    return (lambda m: m.cpu_per_event) if unit is Unit.EVENT else (lambda m: m.cpu_per_request)


def _beside_figure(unit: Unit) -> Callable[[Measure], float | None]:
    def figure(measure: Measure) -> float | None:
        count = measure.events if unit is Unit.EVENT else measure.requests
        return measure.beside / count if count and measure.beside else None

    return figure


def _beside(measure: Measure) -> float | None:
    return measure.beside or None


def _mirrored(measure: Measure) -> float | None:
    """Return the share of answered requests that reached the shadow; those of the warm-up come on top."""
    if measure.mirrored is None or not measure.requests:
        return None
    return min(1.0, measure.mirrored / measure.requests)


def _joined(parts: Sequence[str]) -> str:
    """Join parts with blank lines between, except between the items of a list."""
    text = ""
    for before, part in zip(["", *parts], parts, strict=False):
        between = "" if not before else "\n" if before.startswith("- ") and part.startswith("- ") else "\n\n"
        text += between + part.strip()
    return text + "\n"
