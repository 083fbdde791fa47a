"""`scripts/demo`: walks through both tutorials against real processes, and stays until Ctrl-C on a terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from ... import __version__
from ..admin_client import AdminError
from .breaking import breaking
from .errors import DemoError
from .gateway import RunningGateway, running_gateway
from .manifests import Manifests
from .mirroring import mirroring
from .model_servers import Fleet, Models, Role, fleet
from .telling import Teller, console_for, drawing
from .watching import watching

__all__ = ["main"]

FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 0 when every verification held, 1 when one did not, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Walk through both tutorials with real processes on this machine."
    )
    parser.add_argument("--once", action="store_true", help="end after the walk-through, also on a terminal")
    parser.add_argument(
        "--model",
        choices=[str(each) for each in Models],
        default=str(Models.FAKE),
        help="fake: a fake vLLM (default); smollm2: SmolLM2-135M on llama.cpp, a download of 130 MB the first time",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw what --once prints, for the README")
    parsed = parser.parse_args(arguments)
    once = parsed.once or parsed.svg is not None
    teller = Teller(console_for(record=parsed.svg is not None))
    try:
        asyncio.run(_demo(teller, Models(parsed.model), stay=teller.console.is_terminal and not once))
        if parsed.svg is not None:
            parsed.svg.write_text(drawing(teller.console, "scripts/demo"), encoding="utf-8")
    except asyncio.CancelledError:
        teller.console.print("\n  interrupted; everything that was started has ended", style="dim")
        return INTERRUPTED
    except (DemoError, AdminError) as error:
        teller.console.print(f"\n[bold red]✗ the demo failed:[/] {escape(str(error))}", soft_wrap=True)
        return FAILED
    return 0


async def _demo(teller: Teller, models: Models, *, stay: bool) -> None:
    began = time.monotonic()
    interruption = _Interruption()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorgate-demo-")))
        servers = await stack.enter_async_context(fleet(models))
        manifests = Manifests(folder, servers.ports)
        manifests.show("mirroring")
        gateway = await stack.enter_async_context(running_gateway(manifests.served))
        _introduce(teller, gateway, servers)
        await mirroring(teller, gateway, servers, manifests.verbatim())
        await _switch(gateway, manifests, "circuit-breaker")
        await breaking(teller, gateway, servers, manifests.verbatim())
        teller.blank()
        teller.check(f"both tutorials verified in {time.monotonic() - began:.0f} s, against real processes")
        if stay:
            await _switch(gateway, manifests, "mirroring")
            teller.heading("Live: a request every second, mirrored and compared")
            interruption.awaited = True
            await watching(teller, gateway, interruption.event)


def _introduce(teller: Teller, gateway: RunningGateway, servers: Fleet) -> None:
    """Say what runs, and where to look."""
    teller.heading(f"Mirrorgate {__version__}")
    what = "fake vLLM" if servers.models is Models.FAKE else "SmolLM2-135M on llama.cpp"
    ports = {role: " ".join(f":{server.port}" for server in servers.of(role)) for role in Role}
    teller.facts(
        (
            ("model servers", f"primary {ports[Role.PRIMARY]}   mirror {ports[Role.MIRROR]}", what),
            ("gateway", gateway.url, gateway.command),
            ("dashboard", gateway.admin_url, "also /exchanges /clusters /resources /metrics"),
            ("mitmweb", gateway.web_url, "every request as a flow"),
        )
    )


async def _switch(gateway: RunningGateway, manifests: Manifests, tutorial: str) -> None:
    """Put the other tutorial's manifests where the gateway reads them, and wait until it serves them."""
    generation = await gateway.admin.generation()
    manifests.show(tutorial)
    await gateway.applied(generation)


class _Interruption:
    """What Ctrl-C, or a signal to end, does: it cancels the walk-through once, and ends the waiting after it."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.awaited = False
        """Whether the demo has nothing else to do but to wait for it."""
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt)

    def _interrupt(self) -> None:
        # A second Ctrl-C must not cut the tidying up short: processes would stay behind.
        if not self.event.is_set() and not self.awaited and self._task is not None:
            self._task.cancel()
        self.event.set()


if __name__ == "__main__":
    sys.exit(main())
