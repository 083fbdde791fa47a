"""Names the test that closed its event loop over an open connection.

Such a connection is told of by the garbage collector, as a warning, and so as the failure of whichever test is running
then. Here it is closed with its loop and told of at the end of the run, under its own test's name.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

__all__ = ["LEFT_OPEN", "close_what_is_left_open"]

LEFT_OPEN: list[str] = []
"""Connections with their tests, one a line."""

_close = asyncio.SelectorEventLoop.close


def close_what_is_left_open() -> None:
    """From now on let every event loop that is closed close what is open in it."""
    asyncio.SelectorEventLoop.close = _closed  # type: ignore[method-assign, assignment]


def _closed(loop: Any) -> None:
    if not loop.is_closed() and not loop.is_running():
        for transport in list(getattr(loop, "_transports", {}).values()):
            sock = getattr(transport, "_sock", None)
            if sock is not None and not transport.is_closing():
                test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
                LEFT_OPEN.append(f"{test}: {sock} of {transport.get_protocol()!r}")
                transport._sock = None
                sock.close()
    _close(loop)
