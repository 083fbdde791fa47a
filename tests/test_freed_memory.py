"""Freed memory goes back to the system when nothing is under way, and not before."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from mirrorgate.freed_memory import FreedMemory

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")

_BURST = """
import sys
from pathlib import Path
from mirrorgate.freed_memory import FreedMemory

def resident():
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * 4 // 1024

memory = FreedMemory()
before = resident()
bodies, between = [], []
for _ in range(150):
    bodies.append(bytes([1]) * 1_000_000)
    between.append(bytearray(2000))
assert not memory.sweep(0.0, busy=True)
full = resident()
bodies.clear()
kept = resident()
first = memory.sweep(1.0, busy=True), memory.sweep(30.0, busy=True)
then = memory.sweep({then}, busy={busy})
after = resident()
print(full - before > 100, kept - before > 100, first, then, after - before < 20, memory.sweep(1000.0, busy=False))
"""


@glibc
@pytest.mark.parametrize(("busy", "then"), [(False, 31.0), (True, 61.0)])
def test_what_a_burst_of_bodies_has_left_is_returned(busy: bool, then: float) -> None:
    """In a process of its own, whose heap nobody else uses: at once when it idles, else after a minute."""
    program = _BURST.format(busy=busy, then=then)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == "True True (False, False) True True False".split(), done.stderr


def test_little_is_not_worth_looking_for() -> None:
    """Nothing is done while the process has not grown."""
    memory = FreedMemory()
    assert not memory.sweep(0.0, busy=False)
    assert not memory.sweep(1000.0, busy=True)
