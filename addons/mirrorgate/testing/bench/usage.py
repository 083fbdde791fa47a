"""What a process and its descendants have used: CPU time in nanoseconds, resident memory in bytes. Linux only."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping

__all__ = ["cpu_nanoseconds", "descendants", "resident_bytes", "shadow_processes", "spent"]

_PROCESS_CLOCK = 2
"""The kind of a process's CPU clock that counts user and system time of all of its threads (`clock_getcpuclockid`)."""


def descendants(root: int) -> list[int]:
    """Return a process's id and those of all that it has started, directly or not, and that still run."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(_parent(int(name)), []).append(int(name))
    found: list[int] = []
    left = [root]
    while left:
        found.append(left.pop())
        left.extend(children.get(found[-1], ()))
    return found


def shadow_processes(root: int) -> list[int]:
    """Return the shadow processes of a gateway."""
    found = []
    for pid in descendants(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"mirrorgate.shadow" in file.read():
                found.append(pid)
    return found


def cpu_nanoseconds(root: int) -> dict[int, int]:
    """Return the CPU time that each process of a tree has used so far, by its id.

    The process clock is exact, where `/proc/PID/stat` counts in ticks of 10 ms.
    """
    times: dict[int, int] = {}
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            times[pid] = time.clock_gettime_ns((~pid << 3) | _PROCESS_CLOCK)
    return times


def spent(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """Return the nanoseconds between two readings. A process that ended between them is left out."""
    return sum(now - before.get(pid, 0) for pid, now in after.items())


def resident_bytes(root: int) -> int:
    """Return the private and the proportional share of the shared memory of a tree (PSS), or its RSS without that."""
    total = 0
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            total += _field(pid, "smaps_rollup", "Pss:") or _field(pid, "status", "VmRSS:")
    return total


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        stat = file.read()
    # The second field is the program's name, which may hold anything.
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _field(pid: int, file_name: str, name: str) -> int:
    try:
        with open(f"/proc/{pid}/{file_name}", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
