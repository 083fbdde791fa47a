"""The totals of a board's endpoints under the scorers of `gaie-v1`, kept from one pick to the next.

The scorers in `scorers` rate every candidate anew, which costs most of a millisecond with 1,000 endpoints. Here a view
that changed costs its own row; all rows are rated anew only when the longest or the shortest queue changes, by which
they are measured. What is found is to the last bit what the scorers find: the same operations on the same numbers in
the same order. A pick is explained by the scorers themselves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from .adapters import affinity
from .endpoints import EndpointView, Load

__all__ = ["Standings", "Weights"]

Weights = tuple[float, float, float, float]
"""Of queue, KV cache, prefix cache and LoRA affinity."""

_OUT = -1
"""Instead of the depth of a queue that takes no part."""
_BELOW = -math.inf

_MODELS = 16
"""Models whose adapters are rated in advance; over it the oldest makes room."""


class Standings:
    """Every healthy endpoint's total without the prompt's part, for any model. Rows are those of the views it was made
    of; one that is not healthy takes no part in any measure, and its total is below all others."""

    def __init__(self, weights: Weights, views: Sequence[EndpointView]) -> None:
        self._queue, self._cache, self._prefix, self._lora = weights
        self.renew(views)

    def renew(self, views: Sequence[EndpointView]) -> None:
        """Read all views."""
        self._healthy = [view.healthy for view in views]
        self._taking_part = sum(self._healthy)
        self._loads: list[Load | None] = [view.load if view.healthy else None for view in views]
        self._loaded = sum(load is not None for load in self._loads)
        self._adapters = sum(load is not None and load.max_lora > 0 for load in self._loads)
        self._depths: list[int | None] = [self._depth(view) for view in views]
        self._counts: dict[int, int] = {}
        for depth in self._depths:
            if depth is not None and depth != _OUT:
                self._counts[depth] = self._counts.get(depth, 0) + 1
        self._free: list[float | None] = [
            _free(load) if healthy else _BELOW for load, healthy in zip(self._loads, self._healthy, strict=True)
        ]
        self._by_model: dict[str, tuple[list[float], list[float]]] = {}
        self._measure_caches()
        self._rate()

    def mend(self, views: Sequence[EndpointView], rows: Collection[int]) -> None:
        """Read the views of these rows, which have changed."""
        if not rows:
            return
        if any(views[row].healthy is not self._healthy[row] for row in rows):
            self.renew(views)
            return
        rows = [row for row in rows if self._healthy[row]]
        loads = self._loads
        scraped: list[int] = []
        loaded = self._loaded
        for row in rows:
            new, old = views[row].load, loads[row]
            if new is not old:
                loads[row] = new
                scraped.append(row)
                self._loaded += (new is not None) - (old is not None)
                self._adapters += (new is not None and new.max_lora > 0) - (old is not None and old.max_lora > 0)
        if bool(loaded) is not bool(self._loaded):
            # What a queue's depth is has changed for all of them.
            self.renew(views)
            return
        for row in rows:
            self._count(row, self._depth(views[row]))
        for row in scraped:
            for model, (rated, _) in self._by_model.items():
                rated[row] = self._lora * affinity(loads[row], model)
        stale = bool(scraped) and self._read_caches(scraped)
        if stale or self._bounds != self._measure():
            self._rate()
            return
        for row in rows:
            base = self._base[row] = self._row(row)
            for rated, totals in self._by_model.values():
                if totals:
                    totals[row] = base + rated[row]

    def best(self, model: str | None, matched: Mapping[int, int], blocks: int) -> tuple[float, list[int]]:
        """Return the highest total and the rows that have it, in order.

        `matched` has the blocks of the prompt, of `blocks`, that the endpoints of these rows hold, at least one each.
        """
        rated, totals = self._of(model)
        highest = max(totals)
        if not matched:
            return highest, _rows(totals, highest)
        base, weight = self._base, self._prefix
        lifted: dict[int, float] = {}
        for row, run in matched.items():
            total = base[row] + weight * (run / blocks)
            lifted[row] = total if rated is None else total + rated[row]
        warmest = max(lifted.values())
        if warmest > highest:
            return warmest, sorted(row for row, total in lifted.items() if total == warmest)
        # What is lifted is above what it was, so that a row in `matched` is highest by its lifted total only.
        found = [row for row in _rows(totals, highest) if row not in lifted]
        return highest, sorted(found + [row for row, total in lifted.items() if total == highest])

    def _of(self, model: str | None) -> tuple[list[float] | None, list[float]]:
        """Return a model's weighted affinities, `None` where adapters do not matter, and the totals."""
        if model is None or not self._adapters:
            return None, self._base
        found = self._by_model.get(model)
        if found is None:
            if len(self._by_model) >= _MODELS:
                del self._by_model[next(iter(self._by_model))]
            weight = self._lora
            found = self._by_model[model] = ([weight * affinity(load, model) for load in self._loads], [])
        rated, totals = found
        if not totals:
            totals += [base + more for base, more in zip(self._base, rated, strict=True)]
        return found

    def _depth(self, view: EndpointView) -> int | None:
        if not view.healthy:
            return _OUT
        load = view.load
        if load is None:
            return None if self._loaded else view.in_flight
        return load.waiting + view.unseen

    def _count(self, row: int, new: int | None) -> None:
        old, self._depths[row] = self._depths[row], new
        if new == old:
            return
        counts = self._counts
        if old is not None:
            left = counts[old] - 1
            if left:
                counts[old] = left
            else:
                del counts[old]
        if new is not None:
            counts[new] = counts.get(new, 0) + 1

    def _measure(self) -> tuple[int, int, float]:
        """Return longest and shortest queue, and the mean where some are unknown."""
        counts = self._counts
        known = sum(counts.values())
        mean = 0.0
        if known < self._taking_part:
            mean = sum(depth * number for depth, number in counts.items()) / known
        return max(counts), min(counts), mean

    def _read_caches(self, rows: Collection[int]) -> bool:
        """Read the caches of these rows; tells whether other rows' scores change with them."""
        free, weight, mean = self._free, self._cache, self._free_mean
        unknown = None in free
        for row in rows:
            free[row] = _free(self._loads[row])
        if unknown or None in free or mean is None:
            self._measure_caches()
            return True
        for row in rows:
            share = free[row]
            assert share is not None
            self._caches[row] = weight * share
        return False

    def _measure_caches(self) -> None:
        """Rate every cache, by the mean where it is unknown; by nothing where all are."""
        known = [share for share in self._free if share is not None and share != _BELOW]
        mean = self._free_mean = sum(known) / len(known) if known else None
        weight = self._cache
        if mean is None:
            self._caches = [0.0 if share is None else share for share in self._free]
        else:
            self._caches = [weight * (mean if share is None else share) for share in self._free]

    def _rate(self) -> None:
        """Rate every row."""
        self._bounds = self._measure()
        most, least, mean = self._bounds
        spread = most - least
        weight = self._queue
        scores: dict[int | None, float] = dict.fromkeys(self._counts, weight)
        scores[None] = weight
        if spread:
            scores = {depth: weight * ((most - depth) / spread) for depth in self._counts}
            scores[None] = weight * ((most - mean) / spread)
        scores[_OUT] = 0.0
        self._scores = scores
        self._base = [scores[depth] + cache for depth, cache in zip(self._depths, self._caches, strict=True)]
        for _, totals in self._by_model.values():
            totals.clear()

    def _row(self, row: int) -> float:
        depth = self._depths[row]
        score = self._scores.get(depth)
        if score is None:
            assert depth is not None
            most, least, _ = self._bounds
            score = self._scores[depth] = self._queue * ((most - depth) / (most - least))
        return score + self._caches[row]


def _free(load: Load | None) -> float | None:
    return None if load is None or load.kv_usage is None else 1.0 - load.kv_usage


def _rows(totals: list[float], value: float) -> list[int]:
    if totals.count(value) == 1:
        return [totals.index(value)]
    return [row for row, total in enumerate(totals) if total == value]
