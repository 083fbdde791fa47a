"""Which replica writes statuses: a Lease of coordination.k8s.io, as client-go's leader election holds it.

No clock is compared with another's. A lease counts as expired when its record has not changed for its duration by
our own monotonic clock, so that clocks that differ by hours make no second leader (client-go, `leaderelection`).
A leader that cannot renew steps down before anyone else may take over. Two leaders for a moment would still do no
harm: every write of a status names the version that it replaces.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import time
from collections.abc import Awaitable, Callable

from .api import Api, ApiError, Object, Unreachable

__all__ = ["Leadership"]

logger = logging.getLogger(__name__)

_DURATION = 15.0
_RENEW_WITHIN = 10.0
"""Seconds without a successful renewal after which a leader leads no more; less than `_DURATION`."""
_RETRY = 2.0
_LONGEST_DURATION = 3600.0


class Leadership:
    """One candidate for one Lease. `leads` tells whether it is the leader now."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        rng: random.Random,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._metadata = {"name": name, "namespace": namespace}
        self._rng = rng
        self._monotonic = monotonic
        self._changed = changed
        self._renewed_at: float | None = None
        self._seen: object = None
        self._seen_at = 0.0
        self._complaint = ""

    @property
    def leads(self) -> bool:
        return self._renewed_at is not None and self._monotonic() - self._renewed_at < _RENEW_WITHIN

    async def run(self) -> None:
        """Acquire and renew until cancelled."""
        while True:
            led = self.leads
            try:
                await self.attempt()
                self._complaint = ""
            except (ApiError, Unreachable) as error:
                if str(error) != self._complaint:
                    logger.warning("the lease %s: %s", self._path, error)
                self._complaint = str(error)
            except Exception:
                # A lease of a shape that nobody of ours writes must not end the election in silence.
                logger.exception("the lease %s: not understood", self._path)
            if self.leads != led:
                logger.info("this replica %s statuses", "writes" if self.leads else "no longer writes")
                self._changed()
            await asyncio.sleep(_RETRY * self._rng.uniform(0.8, 1.2))

    async def attempt(self) -> bool:
        """Try once to acquire or renew. Whether this candidate leads. Raises ApiError and Unreachable."""
        began = self._monotonic()
        try:
            lease = await self._api.get(self._path)
        except ApiError as error:
            if error.status != 404:
                raise
            spec = self._spec(acquired=_now(), transitions=0)
            return await self._write(
                self._api.create, self._collection, {"metadata": self._metadata, "spec": spec}, began
            )
        spec = lease.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if self._seen != spec:
            self._seen, self._seen_at = spec, self._monotonic()
        ours = holder == self.identity
        if holder and not ours and self._monotonic() - self._seen_at < _duration(spec):
            self._renewed_at = None
            return False
        transitions = _number(spec.get("leaseTransitions"))
        acquired = str(spec.get("acquireTime") or _now()) if ours else _now()
        fresh = self._spec(acquired, transitions if ours else transitions + 1)
        return await self._write(self._api.replace, self._path, {**lease, "spec": {**spec, **fresh}}, began)

    async def release(self) -> None:
        """Give the lease back, so that another need not wait for it to expire. Raises ApiError and Unreachable."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        lease = await self._api.get(self._path)
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") == self.identity:
            given = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            await self._api.replace(self._path, {**lease, "spec": given})

    async def _write(
        self, write: Callable[[str, Object], Awaitable[Object]], path: str, lease: Object, began: float
    ) -> bool:
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}
        try:
            await write(path, body)
        except ApiError as error:
            if error.status != 409:
                raise
            self._renewed_at = None  # somebody else was faster
            return False
        self._renewed_at = began
        return True

    def _spec(self, acquired: str, transitions: int) -> Object:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(_DURATION),
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _duration(spec: Object) -> float:
    declared = _number(spec.get("leaseDurationSeconds"))
    return min(float(declared), _LONGEST_DURATION) if declared > 0 else _DURATION
