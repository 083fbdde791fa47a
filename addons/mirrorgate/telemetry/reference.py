"""The table of metrics as a document: `python -m mirrorgate.telemetry.reference > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from .names import GROUPS, Kind, Read, Spec

__all__ = ["markdown"]

_OPENING = """\
# Metrics

This file is written by `python -m mirrorgate.telemetry.reference`; a test keeps it equal to the table in
`addons/mirrorgate/telemetry/names.py`.

`GET /metrics` on the admin port answers Prometheus text, or OpenMetrics where the Accept header asks for it. One
scrape has everything, the shadow process's figures included. Labels are bounded: routes, clusters, pools and endpoints
come from the configuration and leave with it; a model's name takes one of 200 places once the configuration declares
it or a server answered for it, and is `other` otherwise. `leg` is `primary`, `candidate` or `control`.

Columns: a metric *counted* moves with events; one that is *read* is asked of its owner at every scrape. Names of other
projects keep their own spelling, so that existing dashboards work: Envoy's counters therefore do not end in `_total`
and have no type in the text format. Beside these, `process_*` and `python_info` are prometheus_client's own.
"""


def markdown() -> str:
    """Return the document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _OPENING.rstrip("\n")
    for group, specs in GROUPS.items():
        yield f"\n## {group.value}\n"
        yield "| metric | type | labels | value | meaning |"
        yield "| --- | --- | --- | --- | --- |"
        yield from map(_row, specs)
    yield "\n## Buckets\n"
    yield "| upper bounds | histograms |"
    yield "| --- | --- |"
    by_bounds: dict[tuple[float, ...], list[str]] = {}
    for specs in GROUPS.values():
        for spec in specs:
            if spec.kind is Kind.HISTOGRAM:
                by_bounds.setdefault(spec.buckets, []).append(f"`{spec.name}`")
    for bounds, names in by_bounds.items():
        yield f"| {' '.join(f'{bound:.10g}' for bound in bounds)} | {', '.join(names)} |"


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    kind = "counter" if spec.kind is Kind.UNTYPED else spec.kind.value
    value = "counted" if spec.read is Read.EVENT else "read"
    return f"| `{spec.name}` | {kind} | {labels} | {value} | {spec.help.replace('|', '&#124;')} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
