"""What a proxy is told that reads slowly."""

from __future__ import annotations

import asyncio
import socket

from mirrorgate.records import Compared, FromShadow
from mirrorgate.shadow.frames import proxy_decoder
from mirrorgate.shadow.session import Session


async def test_a_proxy_that_does_not_read_is_told_of_every_pair() -> None:
    """The records go first: a pair that it never heard of would count as lost when the process ends."""
    loop = asyncio.get_running_loop()
    theirs, ours = socket.socketpair()
    with theirs, ours:
        theirs.setblocking(False)
        ours.setblocking(False)
        session = Session(loop, ours, lambda _, frame: None, lambda _: None)
        session.begin()
        for number in range(50):
            session.send(Compared(f"{number}", "mirror", "same", 1.0, "", b'"%b"' % (b"x" * 1_000_000)))
        decoder, found = proxy_decoder(), list[FromShadow]()
        async with asyncio.timeout(30):
            while len(found) < 51:
                found += decoder.feed(await loop.sock_recv(theirs, 1 << 20))
        pairs = [message for message in found if isinstance(message, Compared)]
        assert [pair.id for pair in pairs] == [f"{number}" for number in range(50)]
        assert pairs[0].record
        assert not pairs[-1].record
        session.outbox.close()
        loop.remove_reader(ours.fileno())
