"""The guardrails: what a candidate must not worsen, by how much at most, and which of them decide."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["DEFAULT_MARGINS", "SCORER_MARGIN", "Guardrail", "GuardrailName", "Slo", "guardrails_of"]


class GuardrailName(enum.StrEnum):
    """The guardrails that come with Mirrorgate; users add scorers of their own."""

    ERRORS = "errors"
    BROKEN_STREAMS = "broken_streams"
    TRUNCATION = "truncation"
    REFUSAL = "refusal"
    EMPTINESS = "emptiness"
    REPETITION = "repetition"
    TOOL_CALLS = "tool_calls"
    JSON_SCHEMA = "json_schema"
    TTFT_SLO = "ttft_slo"
    ITL_SLO = "itl_slo"
    E2E_SLO = "e2e_slo"
    DIVERGENCE = "divergence"


DEFAULT_MARGINS: dict[str, float] = {
    GuardrailName.ERRORS: 0.005,
    GuardrailName.BROKEN_STREAMS: 0.005,
    GuardrailName.TRUNCATION: 0.02,
    GuardrailName.REFUSAL: 0.02,
    GuardrailName.EMPTINESS: 0.02,
    GuardrailName.REPETITION: 0.02,
    GuardrailName.TOOL_CALLS: 0.01,
    GuardrailName.JSON_SCHEMA: 0.01,
    GuardrailName.TTFT_SLO: 0.03,
    GuardrailName.ITL_SLO: 0.03,
    GuardrailName.E2E_SLO: 0.03,
    GuardrailName.DIVERGENCE: 0.03,
}
"""How much worse is still acceptable, in shares of all pairs."""

SCORER_MARGIN = 0.05
"""The margin of a user's own measure."""


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One measure with its margin."""

    name: str
    margin: float
    """In (0, 1)."""
    gating: bool = True
    """Whether it decides; one that does not is shown only."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What latency is acceptable, in seconds; `None` where none is declared."""

    ttft: float | None = None
    itl: float | None = None
    """Of the mean gap between the tokens of one answer."""
    e2e: float | None = None


_LATENCIES = {GuardrailName.TTFT_SLO: "ttft", GuardrailName.ITL_SLO: "itl", GuardrailName.E2E_SLO: "e2e"}


def guardrails_of(
    *,
    equivalence: bool,
    slo: Slo,
    control: bool,
    margins: Mapping[str, float] | None = None,
    disabled: Iterable[str] = (),
    scorers: Iterable[str] = (),
) -> tuple[Guardrail, ...]:
    """Return the guardrails that a policy asks for, in a fixed order.

    Latency guardrails exist only where an SLO is declared. Divergence exists only with a control arm, since without
    the noise floor nothing says how much is too much, and gates only in equivalence mode: another, better model must
    differ. `margins` has the user's own; `scorers` are the names of the user's measures.
    """
    off = set(disabled)
    own = dict(margins or {})
    found: list[Guardrail] = []
    for name in GuardrailName:
        latency = _LATENCIES.get(name)
        if name in off or (latency is not None and getattr(slo, latency) is None):
            continue
        if name is GuardrailName.DIVERGENCE and not control:
            continue
        gating = name is not GuardrailName.DIVERGENCE or equivalence
        found.append(Guardrail(name.value, own.get(name, DEFAULT_MARGINS[name]), gating))
    found += (Guardrail(name, own.get(name, SCORER_MARGIN)) for name in scorers if name not in off)
    return tuple(found)
