"""Pairs of answers, made by the fake model servers in virtual time and reduced to what the rules look at.

Every request goes to every server at the same moment, as mirrored requests do, and each answer takes the way that it
takes in the shadow process: bytes, `AnswerReader`, `assemble`, `compare`, `losses_of`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ...comparison.guardrails import Slo
from ...comparison.losses import losses_of
from ...comparison.pairs import PairComparison, compare
from ...comparison.policy import ComparisonPolicy
from ...inference.apis import Api
from ...inference.completions import Completion
from ...inference.requests import InferenceRequest
from ...shadow.comparing import candidate_completion
from ..model_server.server import FakeModelServer
from .arms import CONTROL, PRIMARY, SLO_E2E, SLO_ITL, SLO_TTFT, Arm
from .diffy import differing_fields
from .traffic import PATH, Call
from .virtual_time import run
from .wire import ask, request_bytes

__all__ = ["SLO", "Sample", "measured", "sample_of"]

SLO = Slo(SLO_TTFT, SLO_ITL, SLO_E2E)
_INTERVAL = 0.1
"""Mean seconds between two requests, which come at random."""
_RULES = ComparisonPolicy()


@dataclass(frozen=True, slots=True)
class Sample:
    """One pair with its control."""

    losses: dict[str, float]
    """Differences by guardrail, the excess divergence among them."""
    raw: frozenset[str]
    """Fields in which candidate and primary differ, to Diffy."""
    noise: frozenset[str]
    """Fields in which control and primary differ."""
    status: int
    seconds: float
    """The candidate's end-to-end time."""


def measured(calls: Sequence[Call], arms: Sequence[Arm], seed: int) -> dict[str, list[Sample]]:
    """Send every call to every arm and return the samples by the arm's name, in the order of the calls."""
    return run(_measure(calls, arms, random.Random(f"arrivals {seed}")))


def sample_of(
    request: InferenceRequest,
    primary: Completion,
    again: tuple[PairComparison, frozenset[str]],
    candidate: Completion,
    slo: Slo,
) -> Sample:
    """Compare a candidate's answer with the primary's; `again` is what comparing the control's came to."""
    control, noise = again
    return Sample(
        losses_of(compare(primary, candidate, request, _RULES), slo, control=control),
        differing_fields(primary, candidate),
        noise,
        candidate.status,
        candidate.timing.e2e or 0.0,
    )


async def _measure(calls: Sequence[Call], arms: Sequence[Arm], rng: random.Random) -> dict[str, list[Sample]]:
    servers = [FakeModelServer(arm.behaviour) for arm in (PRIMARY, CONTROL, *arms)]
    found: list[list[Sample]] = [[] for _ in calls]

    async def one(index: int, call: Call) -> None:
        request = request_bytes(PATH, call.body)
        answers = await asyncio.gather(*(ask(server, request) for server in servers))
        primary, control, *candidates = (candidate_completion(Api.CHAT, answer) for answer in answers)
        again = compare(primary, control, call.request, _RULES), differing_fields(primary, control)
        found[index] = [sample_of(call.request, primary, again, candidate, SLO) for candidate in candidates]

    async with asyncio.TaskGroup() as group:
        for index, call in enumerate(calls):
            await asyncio.sleep(rng.expovariate(1 / _INTERVAL))
            group.create_task(one(index, call), name=f"call-{index}")
    return {arm.name: [row[column] for row in found] for column, arm in enumerate(arms)}
