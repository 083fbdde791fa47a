"""What a worker is told on its command line."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from mirrorgate.proxy.admin.sources import AdminSources
from mirrorgate.workers.asking import ask
from mirrorgate.workers.rows import Rows, allocate
from mirrorgate.workers.seat import Seat


def test_a_seat_survives_the_command_line() -> None:
    """What is written is read back, a comma in the path included."""
    seat = Seat(1, 4, 7, 8, 9, "/run/a,b/shadow")
    assert Seat.parse(str(seat)) == seat


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d,e,f"])
def test_anything_else_is_refused(text: str) -> None:
    """argparse turns the error into a usage message."""
    with pytest.raises(ValueError, match=r"unpack|literal"):
        Seat.parse(text)


async def test_a_worker_answers_the_supervisor(tmp_path: Path) -> None:
    """The inherited socket serves the admin pages; who reaches it counts as this machine."""
    path = str(tmp_path / "worker")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    seat = Seat(0, 1, -1, os.dup(listening.fileno()), -1, "")
    sources = AdminSources(ready=lambda: (False, "not yet"), metrics=lambda _: ("", iter(())), routes=lambda: {"r": 1})
    server = seat.admin_server(sources, "")
    server.start()
    try:
        ready = await ask(path, "/ready")
        routes = await ask(path, "/routes")
        assert ready is not None
        assert routes is not None
        assert (ready.status, ready.body) == (503, b"not yet\n")
        assert (routes.status, routes.body) == (200, b'{"r":1}')
    finally:
        await server.stop()
        listening.close()


async def test_an_orphan_is_told() -> None:
    """The pipe ends with the supervisor, whatever ends that."""
    ours, theirs = os.pipe()
    orphaned = asyncio.Event()
    Seat(0, 1, -1, -1, ours, "").follow(orphaned.set)
    await asyncio.sleep(0)
    assert not orphaned.is_set()
    os.close(theirs)
    async with asyncio.timeout(20):
        await orphaned.wait()
    os.close(ours)


async def test_a_worker_that_serves_beats() -> None:
    """The supervisor sees its heart in the memory that they share."""
    memory = allocate(2)
    Seat(1, 2, memory, -1, -1, "").beat()
    assert Rows(memory, 2, -1).beats() == [0, 1]
    os.close(memory)


def test_rows_are_the_workers_own() -> None:
    """A seat opens the memory as its worker."""
    memory = allocate(2)
    one, two = (Seat(index, 2, memory, -1, -1, "").open_rows().join("c") for index in range(2))
    assert one is not None
    assert two is not None
    one.tell(3, 0, 0)
    assert (one.active(), two.active()) == (0, 3)
    os.close(memory)
