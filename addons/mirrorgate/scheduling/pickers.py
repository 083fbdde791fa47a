"""Pickers: they take one of the candidates that the filters left, by totals or by a rule of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from .endpoints import EndpointView
from .picks import PickState

__all__ = ["Picker", "draw_best", "least_request", "max_score", "random_choice", "round_robin"]


class Picker(Protocol):
    """Choose from at least one candidate: the row, and how it was chosen.

    *totals* has one number for each candidate, and is empty where the profile has no scorers.
    """

    def __call__(
        self, candidates: Sequence[EndpointView], totals: Sequence[float], state: PickState, rng: random.Random, /
    ) -> tuple[int, str]: ...


def max_score(
    candidates: Sequence[EndpointView], totals: Sequence[float], state: PickState, rng: random.Random, /
) -> tuple[int, str]:
    """Choose the highest total; equal ones by lot (`max-score-picker`)."""
    if not totals:
        return random_choice(candidates, totals, state, rng)
    best = max(totals)
    return draw_best([row for row, total in enumerate(totals) if total == best], best, rng)


def draw_best(ties: Sequence[int], best: float, rng: random.Random) -> tuple[int, str]:
    """Choose among the rows that have the highest total; nothing is drawn for one."""
    if len(ties) == 1:
        return ties[0], f"highest total, {best:.3f}"
    return ties[int(rng.random() * len(ties))], f"drawn from {len(ties)} with the highest total, {best:.3f}"


def least_request(
    candidates: Sequence[EndpointView], totals: Sequence[float], state: PickState, rng: random.Random, /
) -> tuple[int, str]:
    """Choose the less busy of two drawn at random (Envoy's LEAST_REQUEST with equal weights).

    The two are different ones, where Envoy may draw the same twice. Equally busy: the first drawn.
    """
    number = len(candidates)
    if number == 1:
        return 0, "the only candidate"
    first = int(rng.random() * number)
    second = int(rng.random() * (number - 1))
    if second >= first:
        second += 1
    few, many = candidates[first].in_flight, candidates[second].in_flight
    if many < few:
        return second, f"{many} in flight, the other of two drawn has {few}"
    return first, f"{few} in flight, the other of two drawn has {many}"


def round_robin(
    candidates: Sequence[EndpointView], totals: Sequence[float], state: PickState, rng: random.Random, /
) -> tuple[int, str]:
    """Choose the next in order (Envoy's ROUND_ROBIN)."""
    row = state.turn % len(candidates)
    state.turn += 1
    return row, f"turn {row + 1} of {len(candidates)}"


def random_choice(
    candidates: Sequence[EndpointView], totals: Sequence[float], state: PickState, rng: random.Random, /
) -> tuple[int, str]:
    """Choose by lot, all alike (Envoy's RANDOM)."""
    return int(rng.random() * len(candidates)), f"drawn from {len(candidates)}"
