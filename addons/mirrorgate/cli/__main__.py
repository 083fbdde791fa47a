"""`mirrorgate`: parses the command line and hands over to one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from . import checking, replaying, reporting, running

__all__ = ["main"]

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 usage; `report` has more."""
    parser = argparse.ArgumentParser(
        prog="mirrorgate", description="An inference gateway that mirrors, compares and decides."
    )
    parser.add_argument("--version", action="version", version=f"mirrorgate {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running.add_parser(commands)
    checking.add_parser(commands)
    replaying.add_parser(commands)
    reporting.add_parser(commands)
    parsed = parser.parse_args(arguments)
    result: int = parsed.handler(parsed)
    return result


if __name__ == "__main__":
    sys.exit(main())
