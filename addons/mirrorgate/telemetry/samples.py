"""Values that are asked for at scrape time: breakers, loads, queues.

Whoever owns such a value gives `Metrics.register_gauges` a callable that returns `Sample`s. Nothing is kept between
two scrapes, so an endpoint that left is gone from the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .families import Tally
from .names import SPECS, Kind, Read

__all__ = ["Sample", "Source", "gather"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric whose `Spec.read` is `scrape`."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    """Exactly the labels of the `Spec`."""


Source = Callable[[], Iterable[Sample]]


def gather(sources: Iterable[Source], on_error: Callable[[str], None]) -> dict[str, Tally]:
    """Ask every source and return the samples as families by name.

    A source that raises loses what it had not said yet; a sample that the table does not know is left out. Both are
    reported to *on_error* (`source`, `sample`) and logged: a fault here never costs the rest of the scrape. Of two
    samples with the same labels the later one counts.
    """
    families: dict[str, Tally] = {}
    for source in sources:
        try:
            for sample in source():
                if not _put(families, sample):
                    on_error("sample")
        except Exception:
            on_error("source")
            logger.exception("A source of gauges failed; its values are missing from this scrape.")
    return families


def _put(families: dict[str, Tally], sample: Sample) -> bool:
    spec = SPECS.get(sample.name)
    if spec is None or spec.read is not Read.SCRAPE or spec.kind is Kind.HISTOGRAM:
        logger.error("%s is no metric that is read at scrape time.", sample.name)
        return False
    if len(sample.labels) != len(spec.labels):
        logger.error("%s has the labels %s, not %s.", sample.name, spec.labels, tuple(sample.labels))
        return False
    try:
        labels = tuple(str(sample.labels[label]) for label in spec.labels)
        value = float(sample.value)
    except (KeyError, TypeError, ValueError):
        logger.exception("A sample of %s is not usable.", sample.name)
        return False
    family = families.get(sample.name)
    if family is None:
        family = families[sample.name] = Tally(spec)
    family.set(labels, value)
    return True
