"""Events counted: the subscriber behind `/metrics`.

`Metrics.handle` turns one event into a few dictionary additions (`families`) and never raises; `render_pieces` writes
everything, together with what is asked for at scrape time (`samples`) and what else the registry holds.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from .. import __version__
from ..events import Event
from .exposition import OPEN_METRICS, content_type, foreign, pieces
from .families import Distribution, Family, Tally
from .labels import CappedLabel
from .names import SPECS, Kind, Read, Spec
from .samples import Source, gather
from .tallying import Tallying

__all__ = ["Metrics"]

logger = logging.getLogger(__name__)


class Metrics(Collector):
    """Every metric of one gateway, in a registry of its own.

    Args:
        registry: where this collector, and the process's own figures, are registered. Two gateways in one process
            need two registries; a second one in the same registry is a ValueError.
        mitmproxy: the version shown by `mirrorgate_build_info`.
        max_models: distinct values of the labels that hold a model's name.
        clock: Unix time.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        mitmproxy: str = "",
        max_models: int = 200,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry
        self.models = CappedLabel(max_models)
        self.families: dict[str, Family] = {
            name: _family(spec) for name, spec in SPECS.items() if spec.read is Read.EVENT or name == _BUILD
        }
        self._tallying = Tallying(self.families, self.models, clock)
        self._waiting: list[Event] = []
        self._settling = threading.RLock()
        self._sources: list[Source] = []
        self._rendering = False
        self.tally(_BUILD).set((__version__, platform.python_version(), mitmproxy), 1.0)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def handle(self, event: Event) -> None:
        """Take *event*, to be counted with those that come next: many exchanges alike cost little more than one."""
        self._waiting.append(event)
        if len(self._waiting) >= _TOGETHER:
            self.settle(wait=False)

    def settle(self, *, wait: bool = True) -> None:
        """Count what has come since. A fault in here is logged and counted; it never reaches an exchange.

        Who scrapes from another thread counts nothing twice; `wait` says whether to wait for that one, which the event
        loop does not.
        """
        if not self._waiting or not self._settling.acquire(blocking=wait):
            return
        try:
            events = self._waiting[:]
            del self._waiting[: len(events)]
            for count in self._tallying.work(events):
                try:
                    count()
                except Exception:
                    self._failed("event")
                    logger.exception("An event could not be counted")
        finally:
            self._settling.release()

    def register_gauges(self, source: Source) -> Callable[[], None]:
        """Ask *source* for samples at every scrape; the result, called, ends that."""
        self._sources.append(source)

        def leave() -> None:
            if source in self._sources:
                self._sources.remove(source)

        return leave

    def observe_loop_lag(self, seconds: float) -> None:
        """Count one measurement of `loop_lag`. It comes some times a second, so that no event waits for long."""
        self.settle(wait=False)
        self._tallying.loop_lag(seconds)

    def introduce_cluster(self, cluster: str) -> None:
        """Show a rule's counters at 0 before its first request, so that `rate()` and alerts see the first event."""
        self._tallying.introduce_cluster(cluster)

    def introduce_mirror(self, cluster: str) -> None:
        """Show a mirror's counters at 0 before its first request."""
        self._tallying.introduce_mirror(cluster)

    def forget_endpoints(self, endpoints: Collection[str]) -> int:
        """Remove the series of endpoints that left; return how many they were."""
        self.settle()
        return sum(family.forget("endpoint", endpoints) for family in self.families.values())

    def forget_clusters(self, clusters: Collection[str]) -> int:
        """Remove the series of rules and mirrors that are no longer declared; return how many they were."""
        self.settle()
        return sum(
            family.forget(label, clusters)
            for family in self.families.values()
            for label in ("cluster", "envoy_cluster_name")
        )

    def tally(self, name: str) -> Tally:
        """Return a counter or gauge. A name that is none is a KeyError, so that a typing error shows at once."""
        self.settle()
        family = self.families[name]
        if not isinstance(family, Tally):
            raise KeyError(name)
        return family

    def distribution(self, name: str) -> Distribution:
        """Return a histogram; KeyError as in `tally`."""
        self.settle()
        family = self.families[name]
        if not isinstance(family, Distribution):
            raise KeyError(name)
        return family

    def current(self) -> Iterator[Family]:
        """Yield all families in the order of the table, those of the sources asked anew."""
        overflow = self.tally("mirrorgate_label_overflow_total")
        overflow.set(("model",), float(self.models.overflowed))
        gathered = gather(tuple(self._sources), self._failed)
        for name in SPECS:
            family = gathered.get(name) or self.families.get(name)
            if family is not None:
                yield family

    def render(self, accept: str = "") -> bytes:
        """Return the whole exposition in the format that the Accept header asks for (text by default)."""
        return b"".join(self.render_pieces(accept)[1])

    def render_pieces(self, accept: str = "") -> tuple[str, Iterator[bytes]]:
        """Return the content type and the exposition in pieces of some hundred lines.

        Let the event loop run between two pieces. Series that appear meanwhile may be missing, and each family is
        consistent in itself at best, as with every Prometheus client.
        """
        kind = content_type(accept)
        return kind, self._pieces(open_metrics=kind == OPEN_METRICS)

    def describe(self) -> Iterable[Metric]:
        """Name our families to the registry, which refuses a second collector that has the same."""
        return [Metric(_base(spec), spec.help, _foreign_kind(spec)) for spec in SPECS.values()]

    def collect(self) -> Iterable[Metric]:
        """Yield our families to whoever collects from the registry; nothing while `render` writes them itself."""
        if self._rendering:
            return
        for family in self.current():
            metric = Metric(_base(family.spec), family.spec.help, _foreign_kind(family.spec))
            for name, labels, further, value in family.rows():
                named = dict(chain(zip(family.spec.labels, labels, strict=True), further))
                metric.add_sample(name, named, value)
            yield metric

    def _pieces(self, *, open_metrics: bool) -> Iterator[bytes]:
        for family in self.current():
            yield from pieces(family, open_metrics=open_metrics)
        self._rendering = True
        try:
            others = list(foreign(self.registry, open_metrics=open_metrics))
        finally:
            self._rendering = False
        yield from others
        if open_metrics:
            yield b"# EOF\n"

    def _failed(self, where: str) -> None:
        family = self.families["mirrorgate_telemetry_errors_total"]
        assert isinstance(family, Tally)
        family.add((where,))


_BUILD = "mirrorgate_build_info"

_TOGETHER = 256
"""Events that wait at most; counting as many takes well under a millisecond."""


def _family(spec: Spec) -> Family:
    return Distribution(spec) if spec.kind is Kind.HISTOGRAM else Tally(spec)


def _base(spec: Spec) -> str:
    return spec.name.removesuffix("_total") if spec.kind is Kind.COUNTER else spec.name


def _foreign_kind(spec: Spec) -> str:
    return "unknown" if spec.kind is Kind.UNTYPED else spec.kind.value
