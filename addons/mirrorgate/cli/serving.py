"""The gateway in this process, as a mitmproxy master with our addon."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mitmproxy import exceptions, master, options, optmanager

from ..wiring.addon import Gateway
from ..workers.seat import Seat
from .headless import HeadlessMaster

__all__ = ["serve"]


def serve(settings: Sequence[str], *, web: bool, seat: Seat | None) -> int:
    """Run until a signal ends it. Returns 0 after an orderly end.

    `settings` are OPTION=VALUE of mitmproxy's options; `seat` is what a worker shares with others.
    """
    try:
        asyncio.run(_serve(settings, web=web, seat=seat))
    except exceptions.OptionsError as error:
        print(f"mirrorgate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(settings: Sequence[str], *, web: bool, seat: Seat | None) -> None:
    opts = options.Options()
    running: master.Master
    if web:
        from mitmproxy.tools.web.master import WebMaster  # 10 MiB that nobody else needs

        running = WebMaster(opts, with_termlog=True)
    else:
        running = HeadlessMaster(opts)
    opts.update(server=False, mode=[])
    running.addons.add(Gateway(seat))
    folder = Path(opts.confdir).expanduser()  # noqa: ASYNC240 - nothing runs yet that could be held up
    optmanager.load_paths(opts, str(folder / "config.yaml"), str(folder / "config.yml"))
    opts.set(*settings)
    if seat is not None and seat.index:
        opts.set("gateway_status=false")  # one worker speaks for all
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, functools.partial(running.shutdown))
    if seat is not None:
        faulthandler.enable(2)  # says where a worker hangs that the supervisor ends
        seat.follow(running.shutdown)
    await running.run()
