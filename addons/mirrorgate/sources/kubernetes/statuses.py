"""The status writer: what the compiler says of each object, written into the cluster where it is not there yet.

Read, merge, write: the status subresource is replaced under the version that was read, so that nobody's entry is
lost, and a conflict means to read again. Only the leader writes, and only what differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...routing.conditions import Finding, Statuses, documents, false
from .api import Api, ApiError, Unreachable
from .cluster import ClusterSource
from .held import Held, Key, Refusal
from .kinds import Watched
from .merging import Writer, merge, named

__all__ = ["StatusWriter"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_AGAIN = 10.0
"""Seconds after which what could not be written is tried again."""
_EMPTY: dict[str, dict[str, object]] = {
    "HTTPRoute": {"parents": []},
    "BackendTLSPolicy": {"ancestors": []},
    "BackendTrafficPolicy": {"ancestors": []},
    "ShadowPolicy": {"ancestors": []},
    "FailureBreakerPolicy": {"ancestors": []},
    "TokenRateLimitPolicy": {"ancestors": []},
}
"""What is wanted of an object that is no longer any of ours."""


@dataclass(frozen=True, slots=True)
class _Task:
    watched: Watched
    key: Key
    held: Held
    wanted: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"{self.watched.path(self.held.version, self.key[0] or None)}/{self.key[1]}"


class StatusWriter:
    """Writes statuses while `leads` says so."""

    def __init__(self, api: Api, source: ClusterSource, controller_name: str, leads: Callable[[], bool]) -> None:
        self._api = api
        self._source = source
        self._controller_name = controller_name
        self._leads = leads
        self._statuses: Statuses | None = None
        self._gateways: Collection[Key] = ()
        self._wake = asyncio.Event()
        self._complaints: dict[str, str] = {}
        self.writes = 0
        """Statuses written."""

    def publish(self, statuses: Statuses) -> None:
        """Take the statuses of the running configuration."""
        self._statuses = statuses
        self._gateways = [(namespace, name) for kind, namespace, name in statuses if kind == "Gateway"]
        self.wake()

    def wake(self) -> None:
        """Look again, as after an election."""
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        again: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._wake.wait()
            self._wake.clear()
            again = None
            try:
                if self._statuses is not None and self._leads() and not await self.settle():
                    again = _AGAIN
            except Exception:
                # An object of a shape that no API server gives must not end the writing in silence.
                logger.exception("the statuses could not be written; they are tried again in %.0f s", _AGAIN)
                again = _AGAIN

    async def settle(self) -> bool:
        """Write everything that differs. Whether all of it could be written."""
        complete = True
        # In a thread: merging thousands of statuses takes longer than a token may wait.
        for task in await asyncio.to_thread(list, self._tasks()):
            if not self._leads():
                return True  # the next leader goes on
            try:
                await self._write(task)
                self._complaints.pop(task.path, None)
            except (ApiError, Unreachable) as error:
                complete = False
                if self._complaints.get(task.path) != str(error):
                    logger.warning("the status of %s %s: %s", task.watched.kind, "/".join(task.key), error)
                self._complaints[task.path] = str(error)
                if isinstance(error, Unreachable):
                    return False
        return complete

    def _tasks(self) -> Iterator[_Task]:
        """Yield what differs from what the informers have seen last."""
        statuses, now = self._statuses or {}, _now()
        for watched, key, held in self._source.holders():
            wanted = statuses.get((watched.kind, *key))
            if held.refusal is not None:
                wanted = self._refused(watched, key, held.refusal)
                if wanted is None:
                    continue  # what is said of it stays until it can be read again
            if watched.kind == "InferencePool" and wanted is not None and ("parents" in wanted) != watched.is_inference:
                continue  # a pool of the same name in the other group, which is not the one that is used
            task = _Task(watched, key, held, _EMPTY.get(watched.kind, {}) if wanted is None else wanted)
            if task.wanted and self._merged(task, held.status, now) is not None:
                yield task

    def _refused(self, watched: Watched, key: Key, refusal: Refusal) -> dict[str, object] | None:
        """Say of a route that cannot be read that it is not accepted; of other kinds nothing is said."""
        if watched.kind != "HTTPRoute":
            return None
        finding = Finding("UnsupportedValue", refusal.message)
        conditions = documents([false("Accepted", finding)], refusal.generation)
        ours = [
            ref for ref in refusal.parent_refs if named(ref, key[0])[1:4] in {("Gateway", *g) for g in self._gateways}
        ]
        entries = [
            {"parentRef": dict(ref), "controllerName": self._controller_name, "conditions": conditions} for ref in ours
        ]
        return {"parents": entries}

    async def _write(self, task: _Task) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                current = await self._api.get(task.path)
                if _generation(current) > _observed(task.wanted):
                    return  # changed since: the next compilation has more to say
                status = self._merged(task, current.get("status") or {}, _now())
                if status is None:
                    return
                await self._api.replace(f"{task.path}/status", {**current, "status": status})
                self.writes += 1
                return
            except ApiError as error:
                if error.status == 404:
                    return  # gone meanwhile
                if error.status != 409 or attempt == _ATTEMPTS - 1:
                    raise

    def _merged(self, task: _Task, observed: Mapping[str, Any], now: str) -> dict[str, Any] | None:
        # Nothing is taken away from where there is nothing: an object of somebody else's gets no empty list.
        if task.wanted in _EMPTY.values() and not any(observed.get(name) for name in task.wanted):
            return None
        if not observed and not any(task.wanted.values()):
            return None
        return merge(observed, task.wanted, Writer(self._controller_name, self._gateways), task.key[0], now)


def _generation(document: Mapping[str, Any]) -> int:
    value = (document.get("metadata") or {}).get("generation")
    return value if isinstance(value, int) else 0


def _observed(wanted: Mapping[str, Any]) -> float:
    """Return the generation that a status is about; endless when it says nothing of one."""
    entries = [wanted, *(entry for value in wanted.values() if isinstance(value, list) for entry in value)]
    found = [
        condition["observedGeneration"]
        for entry in entries
        if isinstance(entry, Mapping)
        for condition in entry.get("conditions") or ()
        if "observedGeneration" in condition
    ]
    return max(found, default=float("inf"))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
