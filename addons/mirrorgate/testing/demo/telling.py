"""How the demo looks: short lines, in colours where there is a terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .gateway import Comparison

__all__ = ["Teller", "comparison_table", "console_for", "drawing"]

_WIDTH = 116
_INDENT = "  "
_FONTS = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_STYLES = {"same": "green", "similar": "yellow", "different": "red"}


def console_for(file: Any = None, *, record: bool = False) -> Console:
    """Return a console that is no wider than reads well; without a terminal it does not fold at 80 columns."""
    console = Console(file=file, highlight=False, record=record)
    if not console.is_terminal or console.width > _WIDTH:
        console.width = _WIDTH
    return console


class Teller:
    """Prints the walk-through."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @property
    def width(self) -> int:
        """Characters of a line of `output`."""
        return self.console.width - len(_INDENT)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Rule(Text(text, style="bold"), align="left", style="dim"))

    def facts(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Print names, values and remarks below each other."""
        grid = Table.grid(padding=(0, 2))
        for name, value, remark in rows:
            grid.add_row(Text(_INDENT + name, style="dim"), Text(value), Text(remark, style="dim"))
        self.console.print(grid)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._print(Text(text))

    def command(self, text: str, where: str = "") -> None:
        """Print a command that somebody types."""
        self._print(Text.assemble((f"{where}$ ", "bold cyan"), (text, "cyan")))

    def output(self, text: str, where: str = "", *, most: int | None = None, remark: str = "", style: str = "") -> None:
        """Print what a command answers, `most` characters of it, and a remark behind it."""
        if most is not None and len(text) > most:
            text = text[: most - 1] + "…"
        self._print(Text.assemble((where, "bold cyan"), (text, style), (f"  {remark}" if remark else "", "dim")))

    def check(self, text: str) -> None:
        """Print something that has been verified."""
        self._print(Text.assemble(("✓ ", "bold green"), text))

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def _print(self, text: Text) -> None:
        for line in text.wrap(self.console, self.width):
            line.rstrip()
            self.console.print(Text(_INDENT) + line)


def drawing(console: Console, title: str) -> str:
    """Return what a recording console has printed as an SVG that fetches nothing."""
    return _FONTS.sub("", console.export_svg(title=title, unique_id="demo"))


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return the comparisons as a table, production's figure first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column(f"{_INDENT}time")
    table.add_column("answer")
    table.add_column("candidate is")
    for name in ("similarity", "TTFT ms", "E2E ms", "tokens"):
        table.add_column(name, justify="right")
    table.add_column("finish reason")
    for one in comparisons:
        style = _STYLES.get(one.outcome, "magenta")
        table.add_row(
            _INDENT + time.strftime("%H:%M:%S", time.localtime(one.at)),
            "stream" if one.primary["streamed"] else "whole",
            Text(one.outcome.replace("_", " "), style=style),
            "" if one.similarity is None else f"{one.similarity:.2f}",
            _pair(*(_milliseconds(leg["ttft"]) for leg in (one.primary, one.candidate))),
            _pair(*(_milliseconds(leg["e2e"]) for leg in (one.primary, one.candidate))),
            _pair(*(_tokens(leg) for leg in (one.primary, one.candidate))),
            _pair(*(_finish(leg) for leg in (one.primary, one.candidate))),
        )
    return table


def _pair(primary: str, candidate: str) -> Text:
    if not primary and not candidate:
        return Text("")
    differs = not primary.isdecimal() and primary != candidate
    return Text.assemble(primary or "–", (" / ", "dim"), (candidate or "–", "red" if differs else ""))


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def _tokens(leg: dict[str, Any]) -> str:
    usage = leg["usage"] or {}
    count = usage.get("completion_tokens")
    return "" if count is None else str(count)


def _finish(leg: dict[str, Any]) -> str:
    choices = leg["choices"]
    return str(choices[0]["finish_reason"] or "") if choices else ""
