"""A process is kept until it is told to end."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sys
from pathlib import Path

import pytest

from mirrorgate.testing.in_loop import until
from mirrorgate.workers.processes import Kept, Why

SLEEPER = "import signal; print('up', flush=True); signal.pause()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


async def lived(kept: Kept) -> None:
    """Wait until the process runs."""
    async with asyncio.timeout(30):
        await kept.started.wait()


async def test_what_dies_is_started_again_and_what_is_told_to_end_is_not() -> None:
    """Each life ends with a call, before the next begins."""
    ends: list[int | None] = []
    kept = Kept("sleeper", [sys.executable, "-c", SLEEPER], (), random.Random(1), ended=lambda: ends.append(kept.code))
    task = asyncio.get_running_loop().create_task(kept.run())
    await lived(kept)
    first = kept.pid
    kept.signal(signal.SIGKILL)
    await kept.gone(30)
    await lived(kept)
    assert kept.pid not in (first, None)
    assert (kept.restarts, ends) == ({Why.DIED: 1}, [-signal.SIGKILL])
    kept.end()
    kept.signal(signal.SIGTERM)
    await kept.gone(30)
    await task
    assert ends == [-signal.SIGKILL, -signal.SIGTERM]
    assert kept.pid is None
    kept.signal(signal.SIGTERM)


async def test_what_does_not_end_is_killed() -> None:
    """A worker that hangs does not keep the gateway from ending."""
    kept = Kept("deaf", [sys.executable, "-c", DEAF], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await lived(kept)
    kept.end()
    await kept.gone(0.01)
    await task
    assert kept.code == -signal.SIGKILL


HUNG = "import faulthandler, time; faulthandler.enable(2); open({ready!r}, 'w').close()\nwhile True: time.sleep(9)"


async def waiting(path: Path) -> None:
    """Wait until the process has come to where it hangs."""
    async with asyncio.timeout(30):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process
            await asyncio.sleep(0.01)


async def test_what_hangs_says_where_and_is_started_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGABRT lets it write its stack."""
    ready = tmp_path / "ready"
    kept = Kept("hung", [sys.executable, "-c", HUNG.format(ready=str(ready))], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await waiting(ready)
    await kept.abort()
    assert kept.process is not None
    assert kept.process.returncode == -signal.SIGABRT
    await lived(kept)
    assert kept.restarts == {Why.HUNG: 1}
    assert "Fatal Python error: Aborted" in capfd.readouterr().err
    kept.end()
    kept.signal(signal.SIGKILL)
    await task


async def stopped(pid: int) -> None:
    """Wait until the kernel holds a process: of two signals that wait for it, the lower one would come first."""
    stat = Path(f"/proc/{pid}/stat")
    async with asyncio.timeout(30):
        while stat.read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110, ASYNC240 - another process
            await asyncio.sleep(0.01)


async def test_what_is_stopped_and_hangs_is_killed() -> None:
    """What the kernel holds cannot write anything, and no core that would hold prompts; reasons are told apart."""
    kept = Kept("stopped", [sys.executable, "-c", SLEEPER], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await lived(kept)
    kept.signal(signal.SIGSTOP)
    first = kept.process
    assert first is not None
    await stopped(first.pid)
    ending = asyncio.get_running_loop().create_task(kept.abort())
    await asyncio.sleep(0)
    soft, hard = resource.prlimit(first.pid, resource.RLIMIT_CORE)
    assert soft == (1 if hard else 0)
    await ending
    assert first.returncode == -signal.SIGKILL
    await lived(kept)
    await kept.replace(30)
    await lived(kept)
    assert kept.restarts == {Why.HUNG: 1, Why.REPLACED: 1}
    kept.end()
    kept.signal(signal.SIGKILL)
    await task
    await kept.abort()
    assert kept.restarts.total() == 2


async def test_what_cannot_be_started_is_tried_again() -> None:
    """A program that is missing is a warning and a pause, not the end of the supervisor."""
    tried = asyncio.Event()
    kept = Kept("missing", ["/nonexistent/program"], (), random.Random(1), ended=tried.set)
    task = asyncio.get_running_loop().create_task(kept.run())
    async with asyncio.timeout(30):
        await tried.wait()
    kept.end()
    await task
    assert kept.pid is None


async def test_end_while_a_process_starts() -> None:
    """One that is being started when it is told to end hears of it, or nobody would ever tell it."""
    kept = Kept("sleeper", [sys.executable, "-c", SLEEPER], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await asyncio.sleep(0)  # it is being made, and not known yet
    assert kept.process is None
    kept.end()
    kept.signal(signal.SIGTERM)
    await kept.gone(0.01)
    async with asyncio.timeout(30):
        await task
    assert kept.code == -signal.SIGTERM


async def test_replacing_what_does_not_run() -> None:
    """A process between two lives is started anew in any case: there is no further restart to wait for."""
    kept = Kept("short-lived", [sys.executable, "-c", ""], (), random.Random(1))
    task = asyncio.get_running_loop().create_task(kept.run())
    await until(lambda: kept.restarts.total() == 1 and kept.pid is None)
    assert not await kept.replace(30)
    await until(lambda: kept.restarts.total() == 2)
    assert kept.restarts == {Why.DIED: 2}
    kept.end()
    await task
