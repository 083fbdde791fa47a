"""Medians over the rounds, and ratios that are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import msgspec

from .measures import Footprint, Measure

__all__ = ["Figure", "Results"]

type Figure = Callable[[Measure], float | None]


class Results(msgspec.Struct, frozen=True):
    """All that was measured, and on what."""

    measures: list[Measure]
    machine: str
    footprints: list[Footprint] = []

    def rounds(self, scenario: str) -> int:
        """Return how many there were of a scenario."""
        return len({measure.round for measure in self.measures if measure.scenario == scenario})

    @property
    def proxies(self) -> list[str]:
        """Names, in the order in which they were measured first."""
        return list(dict.fromkeys(m.proxy for m in self.measures))

    @property
    def scenarios(self) -> list[str]:
        """Names, in the order in which they were measured first."""
        return list(dict.fromkeys(m.scenario for m in self.measures))

    def over(self, before: Results) -> Results:
        """Return these with what was measured before of other scenarios, and of memory if it was not measured now."""
        own = {(m.scenario, m.proxy) for m in self.measures}
        kept = [m for m in before.measures if (m.scenario, m.proxy) not in own]
        return Results([*kept, *self.measures], self.machine, self.footprints or before.footprints)

    def of(self, proxy: str, scenario: str) -> list[Measure]:
        """Return the runs of a scenario through a proxy, by round."""
        found = [m for m in self.measures if (m.proxy, m.scenario) == (proxy, scenario)]
        return sorted(found, key=lambda measure: measure.round)

    def median(self, proxy: str, scenario: str, figure: Figure) -> float | None:
        """Return the median of a figure over the rounds, `None` without any."""
        values = [value for m in self.of(proxy, scenario) if (value := figure(m)) is not None]
        return statistics.median(values) if values else None

    def difference(self, proxy: str, base: str, scenario: str, figure: Figure) -> float | None:
        """Return the median of the rounds' differences of a figure to the base's, `None` without a common round."""
        pairs = self._pairs(proxy, base, scenario, figure)
        return statistics.median(value - other for value, other in pairs) if pairs else None

    def ratio(self, proxy: str, base: str, scenario: str, figure: Figure) -> float | None:
        """Return the median of the rounds' ratios of a figure to the base's, `None` without a common round."""
        ratios = self.ratios(proxy, base, scenario, figure)
        return statistics.median(ratios) if ratios else None

    def ratios(self, proxy: str, base: str, scenario: str, figure: Figure) -> list[float]:
        """Return the ratios of a figure to the base's in the rounds that have both."""
        return [value / other for value, other in self._pairs(proxy, base, scenario, figure) if other]

    def _pairs(self, proxy: str, base: str, scenario: str, figure: Figure) -> list[tuple[float, float]]:
        bases = {m.round: figure(m) for m in self.of(base, scenario)}
        return [
            (value, other)
            for m in self.of(proxy, scenario)
            if (value := figure(m)) is not None and (other := bases.get(m.round)) is not None
        ]
