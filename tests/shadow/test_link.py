"""A link is one life of the child."""

import asyncio
import sys

from mirrorgate.shadow.child import ChildCommand
from mirrorgate.shadow.link import Link

WAITER = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.recv(99); s.recv(99); sys.exit(7)"


async def started(script: str) -> Link:
    """Start a child that runs a script."""
    link, child_end = Link.pair(lambda _: None)
    await link.start(command(script), child_end)
    return link


def command(script: str) -> ChildCommand:
    return ChildCommand((sys.executable, "-P", "-c", script))


async def test_a_child_that_ends_by_itself_is_reaped(tmp_path: object) -> None:
    """Closing our side makes it end; its status is known."""
    link = await started(WAITER)
    async with asyncio.timeout(30):
        await link.finish(20)
        assert await link.ended == "it closed its socket"
        assert await link.reap(10) == 7
    assert link.ready.is_set()
    link.end("again")


async def test_a_child_that_ignores_us_is_killed() -> None:
    """SIGKILL follows when patience ends."""
    link = await started("import time; time.sleep(1000)")
    async with asyncio.timeout(30):
        await link.finish(0.05)
        assert await link.ended == "stopped"
        assert await link.reap(0.05) == -9


async def test_what_a_link_sends_after_its_end_is_ignored() -> None:
    """Late frames do nothing."""
    link = await started("")
    async with asyncio.timeout(30):
        await link.ended
        link.send([b"late"])
        assert link.outbox.size == 0
        assert await link.reap(10) == 0
