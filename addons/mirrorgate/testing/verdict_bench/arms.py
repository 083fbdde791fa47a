"""The servers that are compared: production, a second replica of it, healthy candidates, and one for each defect.

Two replicas of one model do not answer alike to the last word, since the kernels of real servers depend on what else
is in the batch: each departs on a twentieth of the prompts, each on prompts of its own. A twelfth of all requests
waits for its first token, one in a thousand fails, on every server alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model_server.behaviour import Behaviour, Defect
from ..model_server.faults import Fault, FaultKind
from .traffic import ADAPTERS, MODEL

__all__ = ["CONTROL", "DEFECTIVE", "HEALTHY", "PRIMARY", "SLO_E2E", "SLO_ITL", "SLO_TTFT", "Arm"]

SLO_TTFT, SLO_ITL, SLO_E2E = 0.5, 0.030, 1.5
"""Seconds. A twelfth of production's first tokens miss the first."""

_WAIT = Fault(FaultKind.SLOW, probability=1 / 12, seconds=0.5)
_FAILURE = Fault(FaultKind.ERROR_STATUS, probability=0.001)
_PRODUCTION = Behaviour(
    name="primary-0",
    models=(MODEL,),
    adapters=ADAPTERS,
    divergence=0.05,
    ttft=0.180,
    prefill=0.0005,
    itl=0.012,
    seed=1,
    faults=(_WAIT, _FAILURE),
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A server that may stand in for production."""

    name: str
    behaviour: Behaviour
    defect: Defect | None = None


PRIMARY = Arm("primary", _PRODUCTION)
CONTROL = Arm("control", replace(_PRODUCTION, name="primary-1", seed=2))
_CANDIDATE = replace(_PRODUCTION, name="candidate", seed=3)

HEALTHY = (
    Arm("the same model", _CANDIDATE),
    Arm("the same model but faster", replace(_CANDIDATE, ttft=0.144, itl=0.0096)),
    Arm("another sound model", replace(_CANDIDATE, personality="other")),
)
"""Candidates with nothing wrong; the last one answers otherwise, which only `replacement` mode allows."""

DEFECTIVE = tuple(Arm(defect.value, replace(_CANDIDATE, defects=frozenset({defect})), defect) for defect in Defect)
"""One candidate for each defect of the fake model server."""
