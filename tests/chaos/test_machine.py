"""The machine fails: full disks, no descriptors left, a shadow process that dies or stops, files that never rest."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.chaos.crowd import Ended, Told
from mirrorgate.testing.chaos.rig import ChaosRig, chaos_rig
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import write_manifests
from mirrorgate.testing.manifests import http_route, reference

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, seed: int) -> AsyncIterator[ChaosRig]:
    """One gateway for all, which gives a request's head two seconds."""
    options = {"gateway_header_timeout": "2", "shadow_queue_bytes": str(4 * 1024 * 1024)}
    async with chaos_rig(tmp_path_factory.mktemp("machine"), seed, options=options) as started:
        yield started


async def crowd(rig: ChaosRig, count: int = 100, padding: int = 0) -> list[Told]:
    """Ask often, in both shapes."""
    return await rig.tell(*(rig.ask(stream=number % 2 == 0, padding=padding) for number in range(count)))


async def restarted(rig: ChaosRig, times: float) -> None:
    """Wait until the shadow process has been started again so often, and is up."""

    async def there() -> bool:
        admin = rig.gateway.admin
        again = await admin.metric("mirrorgate_shadow_restarts_total")
        return again >= times and await admin.metric("mirrorgate_shadow_up") == 1

    await rig.gateway.admin.until(there, "the shadow process is not started again", timeout=60.0)


async def test_a_shadow_process_that_is_killed_under_load(rig: ChaosRig) -> None:
    """Three times: production's answers are whole, and nothing is judged twice."""
    for _ in range(3):
        before = await rig.gateway.admin.metric("mirrorgate_shadow_restarts_total")
        load = asyncio.create_task(crowd(rig, 150))
        await asyncio.sleep(rig.rng.random())
        os.kill(rig.gateway.shadow_pid(), signal.SIGKILL)
        assert {each.ended for each in await load} == {Ended.WHOLE}
        await restarted(rig, before + 1)
        await rig.books.balance(restarted=True)
    await crowd(rig, 20)
    await rig.books.balance(restarted=True)  # the new process has opened what it needs
    await crowd(rig, 20)
    await rig.books.balance()


async def test_a_shadow_process_that_stops_under_load(rig: ChaosRig) -> None:
    """What does not fit is dropped and counted; when it goes on, the rest is judged, each once."""
    stopped = rig.gateway.shadow_pid()
    os.kill(stopped, signal.SIGSTOP)
    try:
        told = await crowd(rig, 200, padding=60_000)
        dropped = await rig.gateway.admin.metric("mirrorgate_shadow_dropped_total", at="proxy", reason="queue_full")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert {each.ended for each in told} == {Ended.WHOLE}
    assert dropped > 0
    await rig.books.balance(memory=64)


async def test_a_disk_that_is_full_under_the_journal(rig: ChaosRig) -> None:
    """Records are lost and counted, production and comparisons go on, and so does the journal when there is room."""
    pid = rig.gateway.shadow_pid()
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    room = rig.books.journal.stat().st_size + 1000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        told = await crowd(rig, 60)

        async def lost() -> bool:
            return await rig.gateway.admin.metric("mirrorgate_journal_records_total", result="lost") > 0

        await rig.gateway.admin.until(lost, "no record is lost")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    assert {each.ended for each in told} == {Ended.WHOLE}
    await rig.books.balance()
    await crowd(rig, 20)
    await rig.books.balance()


async def test_descriptors_run_out(rig: ChaosRig) -> None:
    """Whoever cannot be served now is refused or waits; with descriptors again, everyone is served."""
    pid = rig.gateway.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = len(os.listdir(f"/proc/{pid}/fd")) + 6
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
    asks = [rig.ask() for _ in range(60)]
    load = asyncio.create_task(rig.tell(*asks, at_once=30))
    try:
        # Whoever asks the admin server meanwhile must not hold it up, either.
        await asyncio.wait([load], timeout=1)
        async with await Client.connect(rig.gateway.admin.port):
            await asyncio.wait([load], timeout=4)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert {each.ended for each in await load} <= {Ended.WHOLE, Ended.REFUSED}
    assert {each.status for each in await load} <= {200, 503}
    # A line a second, where asyncio by itself writes a thousand at once and holds every stream up for it.
    assert 0 < rig.gateway.process.text.count("OSError: [Errno 24] Too many open files") < 20
    assert {each.ended for each in await crowd(rig, 20)} == {Ended.WHOLE}
    await rig.books.balance()


async def test_files_that_change_a_hundred_times_a_second(rig: ChaosRig) -> None:
    """Good and bad: no request notices, and what was written last is what holds in the end."""
    path = rig.gateway.config
    more = http_route("more", reference("primary"))
    bad = http_route("more", reference("primary"), rule={"timeouts": {"request": "soon"}})
    load = asyncio.create_task(crowd(rig, 400))
    edits = 0
    while not load.done() or edits < 500:
        extra = rig.rng.choice(([], [more], [bad], [more | {"metadata": {"name": f"more-{edits}"}}]))
        if rig.rng.random() < 0.1:
            path.write_text("{", encoding="utf-8")  # not in one step, and not whole
        else:
            write_manifests(path, [*rig.objects, *extra])
        edits += 1
        await asyncio.sleep(0.01)
    assert {each.ended for each in await load} == {Ended.WHOLE}
    write_manifests(path, [*rig.objects, http_route("last", reference("primary"))])

    async def served() -> bool:
        [told] = await rig.tell(rig.ask("last"))
        return told.ended is Ended.WHOLE

    await rig.gateway.admin.until(served, "the last edit does not take effect", timeout=20.0)
    await rig.books.balance(memory=64)


async def test_heads_that_come_too_slowly(rig: ChaosRig) -> None:
    """A hundred connections that never finish a head are ended; others are served meanwhile."""
    clients = [await rig.gateway.connect() for _ in range(100)]
    for client in clients:
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: cal")
    assert {each.ended for each in await crowd(rig, 30)} == {Ended.WHOLE}
    for client in clients:
        head = await client.head()
        assert head.status == 408
        await client.closed()
        await client.close()
    await rig.books.balance()


async def test_a_disk_that_is_full_under_the_capture(tmp_path: Path, seed: int) -> None:
    """Captured exchanges are dropped and counted; production does not notice."""
    async with chaos_rig(tmp_path, seed, options={"gateway_capture": "/dev/full"}) as rig:
        assert {each.ended for each in await crowd(rig, 50)} == {Ended.WHOLE}
        await rig.books.balance()
        assert await rig.gateway.admin.metric("mirrorgate_capture_flows_total", result="written") == 0
        assert await rig.gateway.admin.metric("mirrorgate_capture_flows_total", result="disk") >= 50
