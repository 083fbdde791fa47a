"""The election: one leader at a time, whatever the clocks say, and a quick hand-over."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from mirrorgate.sources.kubernetes import leading
from mirrorgate.sources.kubernetes.api import Api, Unreachable
from mirrorgate.sources.kubernetes.leading import Leadership
from mirrorgate.testing.api_server import ApiServer
from mirrorgate.testing.in_loop import until


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def candidate(api: Api, name: str, clock: Clock) -> Leadership:
    """Make a candidate for the one lease of these tests."""
    return Leadership(api, "default", "lease", name, random.Random(1), monotonic=clock)


async def test_the_first_leads_and_the_second_waits(server: ApiServer, api: Api) -> None:
    """The second takes over when the record has not changed for its duration by the second's own clock."""
    first_clock, second_clock = Clock(), Clock()
    second_clock.now = 5.0  # clocks have nothing to do with each other
    first, second = candidate(api, "a", first_clock), candidate(api, "b", second_clock)
    assert await first.attempt()
    assert not await second.attempt()
    for _ in range(5):
        first_clock.now += 4
        second_clock.now += 4
        assert await first.attempt()
        assert not await second.attempt()
    second_clock.now += 14
    assert not await second.attempt()
    second_clock.now += 2
    assert await second.attempt()
    assert server.store.get("Lease", "lease")["spec"]["leaseTransitions"] == 1
    assert not await first.attempt(), "the first sees that it has been replaced"


async def test_a_leader_that_cannot_renew_steps_down_in_time(server: ApiServer, api: Api) -> None:
    """Before the fifteen seconds after which somebody else may lead."""
    clock = Clock()
    leader = candidate(api, "a", clock)
    await leader.attempt()
    server.away = True
    clock.now += 9
    with pytest.raises(Unreachable):
        await leader.attempt()
    assert leader.leads
    clock.now += 2
    assert not leader.leads


async def test_a_lease_that_is_given_back_is_free_at_once(server: ApiServer, api: Api) -> None:
    """A rolling restart has no fifteen seconds without a leader."""
    clock = Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    await first.attempt()
    assert not await second.attempt()
    await first.release()
    assert not first.leads
    assert server.store.get("Lease", "lease")["spec"]["holderIdentity"] == ""
    assert await second.attempt()
    await first.release()
    assert second.leads


async def test_of_two_at_once_one_wins(server: ApiServer, api: Api) -> None:
    """The version that is replaced decides: the slower one is told of a conflict and does not lead."""
    clock = Clock()
    first, second = candidate(api, "a", clock), candidate(api, "b", clock)
    await first.attempt()
    await first.release()

    def faster(path: str) -> None:
        server.before_write = lambda path: None
        lease = server.store.get("Lease", "lease")
        server.store.replace(
            ("coordination.k8s.io", "leases"),
            ("default", "lease"),
            {**lease, "spec": {**lease["spec"], "holderIdentity": "b"}},
            status=False,
        )

    server.before_write = faster
    assert not await first.attempt()
    assert not first.leads
    assert await second.attempt()


async def test_a_lease_of_a_strange_shape_ends_nothing(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of, and once it is gone there is a leader."""
    monkeypatch.setattr(leading, "_RETRY", 0.01)
    server.store.apply(
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lease"}, "spec": "x"}
    )
    leader = candidate(api, "a", Clock())
    running = asyncio.create_task(leader.run())
    await until(lambda: "not understood" in caplog.text)
    server.store.remove("Lease", "lease")
    await until(lambda: leader.leads)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
