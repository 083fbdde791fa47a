"""The outbox counts exactly, keeps order, and never waits."""

import asyncio
import socket

from mirrorgate.shadow.outbox import Outbox


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def test_everything_arrives_in_order_behind_a_slow_reader() -> None:
    """Far more than the kernel's buffer arrives whole and in order, and the count ends at zero."""
    ours, theirs = pair()
    with ours, theirs:
        loop = asyncio.get_running_loop()
        broken: list[OSError] = []
        outbox = Outbox(loop, ours, broken.append)
        sent = [bytes([i % 251]) * (i * 37 % 5000) for i in range(1500)]
        for piece in sent:
            outbox.put((piece, b"|"))
        total = sum(map(len, sent)) + len(sent)
        assert outbox.size == total
        got = bytearray()
        while len(got) < total:
            got += await loop.sock_recv(theirs, 65536)
        await outbox.drained()
        assert bytes(got) == b"".join(piece + b"|" for piece in sent)
        assert outbox.size == 0
        assert not broken
        outbox.close()


async def test_nothing_is_written_before_the_turn_ends() -> None:
    """The mirror's bytes leave after what production does in the same turn."""
    ours, theirs = pair()
    with ours, theirs:
        outbox = Outbox(asyncio.get_running_loop(), ours, lambda _: None)
        outbox.put((b"abc",))
        assert outbox.size == 3
        await outbox.drained()
        assert outbox.size == 0
        assert theirs.recv(10) == b"abc"
        outbox.close()


async def test_a_broken_socket_is_reported_once_and_forgets_its_bytes() -> None:
    """When the other side is gone, the owner hears of it once and later writes are ignored."""
    ours, theirs = pair()
    with ours:
        broken: asyncio.Queue[OSError] = asyncio.Queue()
        outbox = Outbox(asyncio.get_running_loop(), ours, broken.put_nowait)
        theirs.close()
        outbox.put((b"abc",))
        async with asyncio.timeout(5):
            assert isinstance(await broken.get(), BrokenPipeError)
        assert outbox.size == 0
        outbox.put((b"more",))
        assert outbox.size == 0
        await outbox.drained()
        assert broken.empty()


async def test_closing_wakes_who_waits_for_the_end() -> None:
    """A closed outbox is drained."""
    ours, theirs = pair()
    with ours, theirs:
        outbox = Outbox(asyncio.get_running_loop(), ours, lambda _: None)
        outbox.put((b"x" * 10_000_000,))
        waiter = asyncio.get_running_loop().create_task(outbox.drained())
        await asyncio.sleep(0)
        outbox.close()
        async with asyncio.timeout(5):
            await waiter
