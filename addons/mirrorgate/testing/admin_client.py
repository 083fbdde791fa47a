"""What a running gateway says of itself, asked over its admin server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from .clients import Answer, Client, WireError

__all__ = ["AdminClient", "AdminError"]

_POLL = 0.02


class AdminError(Exception):
    """The admin server does not answer, or does not come to say what was waited for."""


@dataclass(frozen=True, slots=True)
class AdminClient:
    port: int
    timeout: float = 30.0
    """Seconds for an answer, and for what is waited for."""

    async def get(self, path: str) -> Answer:
        """Return a page's answer, whatever it is. Raises `AdminError` when there is none."""
        try:
            async with await Client.connect(self.port, timeout=self.timeout) as client:
                return await client.request("GET", path, [("host", f"127.0.0.1:{self.port}")])
        except (OSError, WireError, TimeoutError) as error:
            raise AdminError(f"the admin server does not answer {path}: {error!r}") from error

    async def page(self, path: str) -> Any:
        """Return a page as JSON. Raises `AdminError` when it is not answered 200."""
        answer = await self.get(path)
        if answer.status != 200:
            raise AdminError(f"the admin server answers {path} with {answer.status}: {answer.body[:500]!r}")
        return answer.json()

    async def cluster(self, name: str) -> dict[str, Any]:
        """Return a cluster of `/clusters` by its name."""
        clusters = (await self.page("/clusters"))["clusters"]
        for cluster in clusters:
            if cluster["name"] == name:
                found: dict[str, Any] = cluster
                return found
        raise AdminError(f"there is no cluster {name}, only {[cluster['name'] for cluster in clusters]}")

    async def used(self, cluster: str) -> dict[str, int]:
        """Return what counts against a cluster's limits: `connections`, `pending` and `parallel`."""
        limits = (await self.cluster(cluster))["limits"]
        return {name: limit["used"] for name, limit in limits.items()}

    async def comparisons(self) -> list[dict[str, Any]]:
        """Return the latest comparisons, oldest first."""
        return list(reversed((await self.page("/exchanges"))["exchanges"]))

    async def generation(self) -> int:
        """Return how many configurations have taken effect."""
        return int((await self.page("/overview"))["generation"])

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels, 0 without any."""
        text = (await self.get("/metrics")).body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        )

    async def until(
        self, holds: Callable[[], Awaitable[bool]], complaint: str | Callable[[], str], timeout: float | None = None
    ) -> None:
        """Ask until something holds. Raises `AdminError` with the complaint when it does not in time."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                while True:
                    if await holds():
                        return
                    # Another process does not tell when its state changes: ask, and ask again.
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            raise AdminError(complaint if isinstance(complaint, str) else complaint()) from error
