"""What a person sees of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .playing import Player
from .sources import Reading
from .tallying import Tally

__all__ = ["Progress", "status_line"]

_EVERY = 0.25
_EVERY_PLAIN = 10.0
_LONG = 5.0
"""Seconds without anything to do from which one wonders whether it hangs."""
_STYLES = {"PROMOTE": "bold green", "HOLD": "yellow", "REJECT": "bold red"}


def status_line(tally: Tally, under_way: int, seconds: float, *, verdicts: bool = True, idle_for: float = 0.0) -> str:
    """Say where a run is, in one line."""
    parts = [f"{tally.sent} sent", f"{tally.compared} compared", f"{under_way} under way"]
    parts.append(f"{tally.compared / seconds:.1f}/s" if seconds > 0 else "-/s")
    parts.append(f"{tally.errors} errors")
    passed = tally.passed.total()
    parts += [f"{passed} passed by"] * bool(passed)
    parts += [f"{tally.lateness.late} late"] * bool(tally.lateness.late)
    parts += [f"{tally.dropped.total()} dropped"] * bool(tally.dropped.total())
    for standing in list(tally.verdicts.values())[:3] if verdicts else ():
        needed = f" (about {standing.pairs_needed} more pairs)" if standing.pairs_needed else ""
        parts.append(f"{standing.verdict}{needed}")
    if idle_for >= _LONG:
        parts.append(f"next in {idle_for:.0f} s by the pace (--speed or --concurrency goes faster)")
    return ", ".join(parts)


class Progress:
    """Shows a run on a console until it is closed."""

    def __init__(self, console: Console, player: Player, reading: Reading) -> None:
        self._console = console
        self._player = player
        self._reading = reading
        self._began = time.monotonic()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it from now on; needs a running event loop."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._live() if self._console.is_terminal else self._plain(), name="replay progress")
        try:
            yield
        finally:
            task.cancel()

    async def _live(self) -> None:
        with Live(self._rendered(), console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(_EVERY)
                live.update(self._rendered(), refresh=True)

    async def _plain(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_PLAIN)
            self._console.print(self._line().plain, soft_wrap=True, highlight=False)

    def _line(self) -> Text:
        player, seconds = self._player, time.monotonic() - self._began
        text = Text(status_line(player.tally, player.under_way, seconds, idle_for=player.idle_for))
        for word, style in _STYLES.items():
            text.highlight_words([word], style)
        return text

    def _rendered(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        total = max(1, self._reading.total)
        done = min(total, self._reading.position)
        grid.add_row(ProgressBar(total=total, completed=done, width=30), f"{done / total:.0%} read")
        outer = Table.grid()
        outer.add_row(grid)
        outer.add_row(self._line())
        return outer
