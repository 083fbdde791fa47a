"""What several workers cost, and what is held in memory."""

from __future__ import annotations

from .cells import count, kib, mib, table, times_of, us
from .measures import Measure
from .results import Results

__all__ = ["memory", "workers"]

_ONE, _SEVERAL = "mirrorgate", "mirrorgate-workers"
_SCENARIO = "small"

_WORKERS_TEXT = """\
What `--workers 2` costs. Both workers share the core that one has to itself, so that requests a second do not tell how
a gateway scales with cores; the CPU time of a request does: what it takes more with two workers than with one is lost
to sharing listeners, limits and counters, and 1 is no loss."""

_MEMORY_TEXT = """\
What a proxy and its children hold (PSS) after some requests, for each client that idles behind an answered request, and
for each answer that is being streamed, with its connection to the server. Nothing is mirrored or captured."""


def workers(results: Results) -> list[str]:
    """Return the section about workers, nothing when they were not measured."""
    if not results.of(_ONE, _SCENARIO) or not results.of(_SEVERAL, _SCENARIO):
        return []
    rows = [
        [
            str(number),
            us(results.median(name, _SCENARIO, _cost)),
            times_of(results.ratio(_ONE, name, _SCENARIO, _cost)),
            count(results.median(name, _SCENARIO, lambda m: m.requests / m.window)),
        ]
        for number, name in ((1, _ONE), (2, _SEVERAL))
    ]
    head = ["workers", "CPU of a small request, µs", "efficiency", "requests/s on one core"]
    return ["## Workers", _WORKERS_TEXT, table(head, rows)]


def memory(results: Results) -> list[str]:
    """Return the section about memory, nothing when it was not measured."""
    if not results.footprints:
        return []
    rows = [[f.proxy, mib(f.idle), kib(f.per_client), kib(f.per_stream)] for f in results.footprints]
    first = results.footprints[0]
    head = ["proxy", "idle, MiB", f"each of {first.clients:,} clients, KiB", f"each of {first.streams:,} streams, KiB"]
    return ["## Memory", _MEMORY_TEXT, table(head, rows)]


def _cost(measure: Measure) -> float | None:
    return measure.cpu_per_request
