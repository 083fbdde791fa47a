"""Every option and every command as a document: `python -m mirrorgate.cli.reference > docs/options.md`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator

from ..wiring.options import MIB, OPTIONS
from .__main__ import COMMANDS

__all__ = ["markdown"]

_OPENING = """\
# Options and commands

This file is written by `python -m mirrorgate.cli.reference`; a test keeps it equal to the source.

## Options

They are mitmproxy options: `--set NAME=VALUE` with `mirrorgate run`, `mitmdump`, `mitmweb` and `mitmproxy`, or a line
of `~/.mitmproxy/config.yaml`. mitmproxy's own `stream_large_bodies` and `body_size_limit` bound what is buffered.
"""


def markdown() -> str:
    """Return the document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _OPENING
    yield "| option | default | meaning |"
    yield "| --- | --- | --- |"
    for option in OPTIONS:
        yield f"| `{option.name}` | {_shown(option.default)} | {_cell(option.help)} |"
    yield "\n## Commands"
    for name, (module, text) in COMMANDS.items():
        yield f"\n### mirrorgate {name}\n\n{text[0].upper()}{text[1:]}.\n"
        yield "| argument | meaning |"
        yield "| --- | --- |"
        yield from _arguments(name, module)


def _arguments(name: str, module: str) -> Iterator[str]:
    commands = argparse.ArgumentParser(prog="mirrorgate").add_subparsers()
    importlib.import_module(f"{__package__}.{module}").add_parser(commands)
    parser: argparse.ArgumentParser = commands.choices[name]
    for action in parser._actions:  # argparse tells of them in no other way
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else None
        value = metavar or (action.dest.upper() if action.nargs != 0 else "")
        title = ", ".join(action.option_strings) or action.dest.upper()
        if action.option_strings and value:
            title += f" {value}"
        text = (action.help or "") % {"default": action.default, "prog": "mirrorgate"}
        yield f"| `{title}` | {_cell(text)} |"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, int) and default >= MIB and default % MIB == 0:
        return f"{default // MIB} MiB"
    return f"`{default}`" if default or default == 0 else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(markdown())
