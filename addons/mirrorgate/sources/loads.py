"""Model servers' loads and health, kept fresh by scraping their metrics.

What a scrape means for the endpoint:

| the server                                      | healthy   | load                |
| ----------------------------------------------- | --------- | ------------------- |
| answers 200 with metrics that we know           | yes       | new                 |
| answers 200 with anything else, or too much     | yes       | none                |
| answers any other status below 500, or 501      | yes       | none: no metrics    |
| answers 5xx, breaks off, is not HTTP, is silent | a failure | the old until stale |
| cannot be connected to                          | a failure | the old until stale |

(501 is llama.cpp without `--metrics`, 503 llama.cpp while it loads its model.) A number of failures in a row, three
by default, make an endpoint unhealthy, so that one lost scrape does not take it out, and one good scrape makes it
healthy again. A load that is older than four intervals is no longer shown.

The event loop is production's, so scraping is bounded: by connections at once, by the size of an answer, and by
scrapes a second. Where there are more endpoints than that rate allows at the wanted interval, the interval grows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import Problem
from ..resources.endpoints import Address
from ..scheduling.endpoints import EndpointHealth, Load
from ..scheduling.model_metrics import parse_metrics
from .scrapes import Answer, ScrapeConnection, ScrapeError, TooLarge

__all__ = ["LoadScraper", "ScrapeSettings"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeSettings:
    """How loads are scraped. Times in seconds."""

    path: str = "/metrics"
    interval: float = 0.5
    """From the end of one scrape to the start of the next, give or take a tenth so that scrapes spread out."""
    timeout: float = 2.0
    """For connecting and the whole answer. A busy vLLM answers late, but not that late."""
    failures: int = 3
    """Failed scrapes in a row that make an endpoint unhealthy."""
    concurrency: int = 32
    """Scrapes under way at once; as many again for endpoints whose last one failed."""
    max_rate: float = 150.0
    """Scrapes a second over all endpoints; at 0.6 ms each, measured with vLLM's 50 KB, they take a tenth of a core."""
    max_body: int = 2 * 1024 * 1024
    """Bytes of an answer. vLLM's is 50 KB."""
    stale_intervals: float = 4.0
    """Intervals after which a load is too old to show."""
    too_large_backoff: float = 20.0
    """Intervals until an endpoint with too large an answer is asked again: reading it costs the most."""


class _Watched:
    """One endpoint that is scraped."""

    __slots__ = ("address", "connection", "key", "task")

    def __init__(self, key: str, address: Address, settings: ScrapeSettings) -> None:
        self.key = key
        self.address = address
        self.connection = ScrapeConnection(address, settings.path, settings.max_body)
        self.task: asyncio.Task[None] | None = None


def _same_place(new: Address | None, old: Address) -> bool:
    """Compare where two addresses lead; a Pod's labels may change without the server's being another."""
    return new is not None and (new.host, new.port) == (old.host, old.port)


class LoadScraper:
    """Scrapes a set of endpoints, each in a task of its own. All methods belong to the event loop's thread.

    *clock* gives seconds that never go back; `InFlight` must be given the same one's. *scraped* is called after every
    scrape with the endpoint's key and its health before and after.
    """

    def __init__(
        self,
        settings: ScrapeSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        scraped: Callable[[str, EndpointHealth, EndpointHealth], None] | None = None,
    ) -> None:
        self.settings = settings if settings is not None else ScrapeSettings()
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()
        self._scraped = scraped
        self._watched: dict[str, _Watched] = {}
        self._health: dict[str, EndpointHealth] = {}
        self._view: Mapping[str, EndpointHealth] = MappingProxyType(self._health)
        # Endpoints that hang hold their place until the timeout: they wait for each other, not the good ones for them.
        self._gate = asyncio.Semaphore(self.settings.concurrency)
        self._failing_gate = asyncio.Semaphore(self.settings.concurrency)
        self._running = False
        self._ending: set[asyncio.Task[None]] = set()

    def snapshot(self) -> Mapping[str, EndpointHealth]:
        """Give the health of every target.

        The values never change, they are replaced; the mapping is the live one, so that asking costs nothing.
        """
        return self._view

    @property
    def interval(self) -> float:
        """The interval that is kept: the wanted one, or as much longer as `max_rate` demands."""
        return max(self.settings.interval, len(self._watched) / self.settings.max_rate)

    def update(self, targets: Mapping[str, Address]) -> None:
        """Scrape these endpoints and no others. What stays keeps its health, its connection and its turn."""
        for key in [key for key, old in self._watched.items() if not _same_place(targets.get(key), old.address)]:
            self._drop(self._watched.pop(key))
            del self._health[key]
        for key, address in targets.items():
            if key not in self._watched:
                self._health[key] = EndpointHealth()
                watched = self._watched[key] = _Watched(key, address, self.settings)
                if self._running:
                    self._spawn(watched)

    def start(self) -> None:
        """Begin to scrape, each endpoint at once for the first time. Needs a running event loop."""
        if not self._running:
            self._running = True
            for watched in self._watched.values():
                self._spawn(watched)

    async def stop(self) -> None:
        """End every scrape and close every connection; the last known health stays readable."""
        self._running = False
        for watched in self._watched.values():
            self._drop(watched)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _spawn(self, watched: _Watched) -> None:
        loop = asyncio.get_running_loop()
        watched.task = loop.create_task(self._follow(watched), name=f"scrape {watched.key}")

    def _drop(self, watched: _Watched) -> None:
        task, watched.task = watched.task, None
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        watched.connection.close()

    async def _follow(self, watched: _Watched) -> None:
        """Scrape one endpoint for as long as it is a target."""
        try:
            while True:
                pause = self.interval * (0.9 + 0.2 * self._rng.random())
                before = self._health[watched.key]
                async with self._failing_gate if before.failures else self._gate:
                    health, factor = await self._scrape(watched, before)
                self._publish(watched.key, health)
                await asyncio.sleep(pause * factor)
        finally:
            watched.connection.close()

    async def _scrape(self, watched: _Watched, before: EndpointHealth) -> tuple[EndpointHealth, float]:
        """Ask once and judge the answer: the new health, and how many intervals to wait."""
        asked = self._clock()
        try:
            async with asyncio.timeout(self.settings.timeout):
                answer = await watched.connection.get()
            return self._judge(answer, before, asked), 1.0
        except TimeoutError:
            return self._failed(before, f"no complete answer in {self.settings.timeout:g} s"), 1.0
        except TooLarge as error:
            return self._without_load(str(error)), self.settings.too_large_backoff
        except ScrapeError as error:
            return self._failed(before, str(error)), 1.0
        except Exception as error:
            # A bug of ours must not end the endpoint's task and leave its health as it was for ever.
            logger.exception("scraping %s went wrong", watched.key)
            return self._failed(before, f"internal error: {error!r}"), 1.0

    def _judge(self, answer: Answer, before: EndpointHealth, asked: float) -> EndpointHealth:
        if answer.status == 200:
            sample = parse_metrics(answer.body.decode("utf-8", "replace"), asked)
            if isinstance(sample, Problem):
                return self._without_load(sample.message)
            return EndpointHealth(load=sample.load, at=self._clock())
        if answer.status < 500 or answer.status == 501:
            return self._without_load(f"{self.settings.path} answers {answer.status}")
        return self._failed(before, f"{self.settings.path} answers {answer.status}")

    def _without_load(self, why: str) -> EndpointHealth:
        return EndpointHealth(last_error=why, at=self._clock())

    def _failed(self, before: EndpointHealth, why: str) -> EndpointHealth:
        failures = before.failures + 1
        now = self._clock()
        return EndpointHealth(
            load=self._fresh(before.load, now),
            # One that was unhealthy stays so until a good scrape.
            healthy=before.healthy and failures < self.settings.failures,
            failures=failures,
            last_error=why,
            at=now,
        )

    def _fresh(self, load: Load | None, now: float) -> Load | None:
        """Keep a load that is not stale."""
        if load is None or now - load.at > self.settings.stale_intervals * self.interval:
            return None
        return load

    def _publish(self, key: str, health: EndpointHealth) -> None:
        before = self._health[key]
        self._health[key] = health
        if health.healthy and not before.healthy:
            logger.info("endpoint %s is healthy again", key)
        elif before.healthy and not health.healthy:
            logger.warning("endpoint %s is unhealthy: %s", key, health.last_error)
        if self._scraped is not None:
            try:
                self._scraped(key, before, health)
            except Exception:
                # Raised here it would end this endpoint's scraping.
                logger.exception("a subscriber to the health of %s went wrong", key)
