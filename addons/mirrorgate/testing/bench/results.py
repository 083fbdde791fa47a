"""Medians over the rounds, and ratios that are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import msgspec

from .measures import Measure

__all__ = ["Results"]

type Figure = Callable[[Measure], float | None]


class Results(msgspec.Struct, frozen=True):
    """All that was measured, and on what."""

    measures: list[Measure]
    machine: str

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len({measure.round for measure in self.measures})

    @property
    def proxies(self) -> list[str]:
        """Names, in the order in which they were measured first."""
        return list(dict.fromkeys(m.proxy for m in self.measures if m.round == 0))

    @property
    def scenarios(self) -> list[str]:
        """Names, in the order in which they were measured first."""
        return list(dict.fromkeys(m.scenario for m in self.measures if m.round == 0))

    def of(self, proxy: str, scenario: str) -> list[Measure]:
        """Return the runs of a scenario through a proxy, by round."""
        found = [m for m in self.measures if (m.proxy, m.scenario) == (proxy, scenario)]
        return sorted(found, key=lambda measure: measure.round)

    def median(self, proxy: str, scenario: str, figure: Figure) -> float | None:
        """Return the median of a figure over the rounds, `None` without any."""
        values = [value for m in self.of(proxy, scenario) if (value := figure(m)) is not None]
        return statistics.median(values) if values else None

    def ratio(self, proxy: str, base: str, scenario: str, figure: Figure) -> float | None:
        """Return the median of the rounds' ratios of a figure to the base's, `None` without a common round."""
        bases = {m.round: figure(m) for m in self.of(base, scenario)}
        ratios = [
            value / other
            for m in self.of(proxy, scenario)
            if (value := figure(m)) is not None and (other := bases.get(m.round))
        ]
        return statistics.median(ratios) if ratios else None
