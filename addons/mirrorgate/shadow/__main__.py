"""The shadow process's entry, started by the proxy: `python -m mirrorgate.shadow DESCRIPTOR NICENESS`.

The supervisor of several workers starts it with a listening socket, and as a third word with the descriptor of a pipe:
the process ends when that does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Final

from .comparing import Comparer
from .process import ShadowProcess
from .shared_process import SharedShadowProcess
from .verdicts import VerdictSink

__all__ = ["main"]

_SWITCH_SECONDS: Final = 0.001
"""How long the judging thread may keep the interpreter while an answer's piece waits for its time stamp."""
_OOM_SCORE: Final = 500
"""When memory runs out the kernel takes this process before production's."""


def main() -> None:
    """Serve the socket that the proxy left open until the proxy closes it."""
    descriptor, niceness, *lifeline = (int(argument) for argument in sys.argv[1:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The proxy decides when this process ends: a supervisor that signals the whole group must not cut the drain.
        signal.signal(number, signal.SIG_IGN)
    _step_back(niceness)
    logging.basicConfig(level=logging.WARNING, format="mirrorgate shadow: %(levelname)s %(message)s")
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    with socket.socket(fileno=descriptor) as sock:
        sock.setblocking(False)
        asyncio.run(_serve(sock, *lifeline))


async def _serve(sock: socket.socket, lifeline: int | None = None) -> None:
    loop = asyncio.get_running_loop()
    run = uuid.uuid4().hex
    comparer = Comparer(time.time, VerdictSink(time.time, time.monotonic, run), run)
    if lifeline is None:
        await ShadowProcess(loop, sock, comparer).run()
        return
    shared = SharedShadowProcess(loop, sock, comparer)

    def supervisor_gone() -> None:
        loop.remove_reader(lifeline)
        shared.stop()

    loop.add_reader(lifeline, supervisor_gone)
    await shared.run()


def _step_back(niceness: int) -> None:
    """Leave CPU and memory to production, as far as the system lets us."""
    with contextlib.suppress(OSError):
        os.nice(niceness)
    score = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        if int(score.read_text()) < _OOM_SCORE:
            score.write_text(str(_OOM_SCORE))


if __name__ == "__main__":
    main()
