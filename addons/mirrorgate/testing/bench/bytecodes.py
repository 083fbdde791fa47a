"""How many bytecodes an operation takes: a figure that is the same on every machine, however busy.

`python -m mirrorgate.testing.bench.bytecodes` (`scripts/bench --micro`) prints them beside the kept ones, and ends with
1 when one has grown by more than `TOLERANCE`; `--keep` keeps them. They count the interpreter's work alone: what C code
does in one call (parsing HTTP or JSON) is one bytecode. They belong to a version of Python. The processor's own count
(`perf_event_open`) would tell all of it; virtual machines and containers rarely have it.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Final

import msgspec

from ..processes import PROJECT
from .cells import table
from .operations import OPERATIONS

__all__ = ["KEPT", "TOLERANCE", "bytecodes", "grown", "kept_counts", "main", "measured"]

KEPT: Final = PROJECT / "tests" / "benchmarks" / "bytecodes.json"
"""By version of Python, then by operation."""
TOLERANCE: Final = 0.1
"""Share by which an operation may grow."""
_WARM = 20
"""Repetitions that fill caches before anything is counted."""
_TIMED = 0.2
"""Seconds over which an operation is timed."""


def bytecodes(operation: Callable[[], object]) -> int:
    """Count what the interpreter executes in one call, in this thread's Python code and all that it calls.

    Raises ValueError where a debugger, a profiler and a coverage have taken every tool of `sys.monitoring`.
    """
    monitoring = sys.monitoring
    tool = next((number for number in (3, 4) if monitoring.get_tool(number) is None), None)
    if tool is None:
        raise ValueError("every tool of sys.monitoring is in use")
    count = 0

    def executed(code: CodeType, offset: int) -> None:
        nonlocal count
        count += 1

    monitoring.use_tool_id(tool, "bytecodes")
    collects = gc.isenabled()
    gc.disable()  # a collection may run a finaliser anywhere
    try:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, executed)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        operation()
    finally:
        # Freeing the tool leaves its events and its callback as they are.
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)
        if collects:
            gc.enable()
    return count


def measured() -> dict[str, int]:
    """Count every operation, in a process of its own whose strings hash to the same values every time."""
    command = [sys.executable, "-P", "-m", f"{__package__}.bytecodes", "--print"]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(PROJECT / "addons")}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
    return msgspec.json.decode(done.stdout, type=dict[str, int])


def grown(now: Mapping[str, int], kept: Mapping[str, int]) -> list[str]:
    """Return the operations that have grown by more than the tolerance, or were never counted."""
    return [name for name, count in now.items() if name not in kept or count > kept[name] * (1 + TOLERANCE)]


def kept_counts(path: Path = KEPT) -> dict[str, dict[str, int]]:
    """Read what is kept."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, int]]) if path.exists() else {}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="bytecodes", description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="keep these for this version of Python")
    parser.add_argument("--print", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.print:
        sys.stdout.write(msgspec.json.encode(_counted()).decode() + "\n")
        return 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    now, every = measured(), kept_counts()
    kept = every.get(version, {})
    over = grown(now, kept)
    if parsed.keep:
        KEPT.write_bytes(msgspec.json.format(msgspec.json.encode({**every, version: now}, order="sorted")) + b"\n")
        over = []
    rows = (
        [name, _told(name), f"{count:,}", f"{kept[name]:,}" if name in kept else "–", _timed(name)]
        for name, count in now.items()
    )
    sys.stdout.write(table([f"Python {version}", "what it does", "bytecodes", "kept", "µs"], rows) + "\n")
    for name in over:
        sys.stdout.write(f"{name} takes more bytecodes than {KEPT.relative_to(PROJECT)} has, or is not in it\n")
    return 1 if over else 0


def _counted() -> dict[str, int]:
    counts = {}
    for name, make in OPERATIONS.items():
        operation = make()
        for _ in range(_WARM):
            operation()
        counts[name] = bytecodes(operation)
    return counts


def _told(name: str) -> str:
    return (OPERATIONS[name].__doc__ or "").rstrip(".")


def _timed(name: str) -> str:
    """Return the least time of many calls, in microseconds: on a busy machine the others are somebody else's."""
    operation, least = OPERATIONS[name](), float("inf")
    operation()  # what it imports
    until = time.perf_counter() + _TIMED
    while (began := time.perf_counter()) < until:
        operation()
        least = min(least, time.perf_counter() - began)
    return f"{1e6 * least:.1f}"


if __name__ == "__main__":
    sys.exit(main())
