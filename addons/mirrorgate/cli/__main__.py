"""`mirrorgate`: parses the command line and hands over to one command."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .. import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "run": ("running", "run the gateway"),
    "check": ("checking", "check a configuration and explain where requests go"),
    "replay": ("replaying", "send captured traffic to a candidate and compare"),
    "report": ("reporting", "read journals and say PROMOTE, HOLD or REJECT"),
    "doctor": ("doctoring", "say what is wrong with a running gateway"),
}
"""Command to its module and help. Only the module of the command that is asked for is imported: mitmproxy alone takes
a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 usage; `report` and `replay` have more."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="mirrorgate", description="An inference gateway that mirrors, compares and decides."
    )
    parser.add_argument("--version", action="version", version=f"mirrorgate {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in given if not word.startswith("-")), "")
    for name, (module, text) in COMMANDS.items():
        if name == asked:
            importlib.import_module(f"{__package__}.{module}").add_parser(commands)
        else:
            commands.add_parser(name, help=text)
    parsed = parser.parse_args(given)
    result: int = parsed.handler(parsed)
    return result


if __name__ == "__main__":
    sys.exit(main())
