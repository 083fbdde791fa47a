"""Active health checks on the wire: one probe at a time for each endpoint, off the path of requests.

However many rules ask for the same check of the same endpoint, there is one prober. Probes that wait for a hung server
hold places of their own, so that they do not keep the endpoints that answer from being probed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress

from ..admission.checks import Outcome
from ..health import CheckTarget
from .grpc_probes import GrpcProbe
from .http_probes import HttpProbe
from .tcp_probes import TcpProbe

__all__ = ["Prober"]

logger = logging.getLogger(__name__)

_AT_ONCE = 64
"""Probes under way, and as many again at endpoints whose last one failed."""
_SHORTEST = 0.05
"""Seconds between two probes of an endpoint at least."""

Probe = HttpProbe | TcpProbe | GrpcProbe


class Prober:
    """Probes targets until they are taken away; tells `checked` of every outcome with the reason of a failure."""

    def __init__(self, checked: Callable[[CheckTarget, Outcome, str], None], rng: random.Random) -> None:
        self._checked = checked
        self._rng = rng
        self._tasks: dict[CheckTarget, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._failing_gate = asyncio.Semaphore(_AT_ONCE)

    def update(self, targets: Iterable[CheckTarget]) -> None:
        """Probe these and no others; those that stay keep their connection and their turn."""
        wanted = set(targets)
        for target in self._tasks.keys() - wanted:
            task = self._tasks.pop(target)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()
        for target in wanted - self._tasks.keys():
            task = asyncio.get_running_loop().create_task(self._follow(target), name=f"probe {target.address}")
            self._tasks[target] = task

    async def stop(self) -> None:
        """End every probe and close its connection."""
        self.update(())
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _follow(self, target: CheckTarget) -> None:
        check = target.check
        await asyncio.sleep(self._rng.random() * (check.initial_jitter or 0.0))
        probe = _probe_of(target)
        well = True
        try:
            while True:
                async with self._gate if well else self._failing_gate:
                    outcome, reason = await self._ask(probe, check.timeout)
                well = outcome is Outcome.PASSED
                try:
                    self._checked(target, outcome, reason)
                except Exception:
                    # Raised here it would end the probing of this endpoint.
                    logger.exception("a probe of %s could not be told", target.address)
                await asyncio.sleep(max(check.interval, _SHORTEST))
        finally:
            with suppress(Exception):
                await probe.close()

    async def _ask(self, probe: Probe, timeout: float) -> tuple[Outcome, str]:
        try:
            async with asyncio.timeout(timeout):
                return await probe.ask()
        except TimeoutError:
            await probe.close()
            return Outcome.SILENT, f"no complete answer in {timeout:g} s"
        except Exception as error:
            logger.exception("a probe went wrong")
            return Outcome.SILENT, f"internal error: {error!r}"


def _probe_of(target: CheckTarget) -> Probe:
    check, address = target.check, target.address
    if check.type == "HTTP" and check.http is not None:
        return HttpProbe(address, check.http)
    if check.type == "TCP" and check.tcp is not None:
        return TcpProbe(address, check.tcp)
    return GrpcProbe(address, None if check.grpc is None else check.grpc.service)
