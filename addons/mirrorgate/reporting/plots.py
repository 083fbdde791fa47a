"""What the page's script draws, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .report import ShadowReport

__all__ = ["plot_data"]


def _log10(log: float) -> float:
    return log / math.log(10.0)


def plot_data(shadow: ShadowReport) -> dict[str, object]:
    """Return what the page's script draws of a candidate."""
    document = shadow.document
    margins = {standing.name: standing.margin for standing in document.standings}
    return {
        "pairs": [point.pairs for point in shadow.course],
        "promote": _curves(shadow, "log_ni"),
        "reject": _curves(shadow, "log_rej"),
        "thresholds": {"promote": _log10(document.promote_at), "reject": _log10(document.reject_at)},
        "focus": {
            "name": document.guardrail,
            "margin": margins.get(document.guardrail or "", 0.0),
            "points": [(point.pairs, point.mean, point.low, point.high) for point in shadow.focus],
        },
        "slo": _slo(document.rules),
        "latency": {leg: report.curves for leg, report in shadow.legs.items()},
        "similarity": shadow.similarity,
        "noise_floor": shadow.noise_floor,
    }


def _slo(rules: Mapping[str, Any]) -> dict[str, float]:
    """Return the declared SLOs in seconds; what a journal says elsewhere in their place is none."""
    declared = rules.get("slo")
    if not isinstance(declared, dict):
        return {}
    return {name: float(value) for name, value in declared.items() if isinstance(value, float | int) and value > 0}


def _curves(shadow: ShadowReport, side: str) -> list[dict[str, object]]:
    """Return the evidence of the deciding guardrails in powers of ten; equal curves are one with several names."""
    found: dict[tuple[float, ...], list[str]] = {}
    for standing in shadow.document.standings:
        if standing.gating:
            values = tuple(round(_log10(getattr(point, side).get(standing.name, 0.0)), 4) for point in shadow.course)
            found.setdefault(values, []).append(standing.name)
    named = shadow.document.guardrail
    return [{"names": names, "values": list(values), "named": named in names} for values, names in found.items()]
