"""What a process has used."""

import os
import subprocess
import sys
import time

import pytest

from mirrorgate.testing.bench.usage import cpu_nanoseconds, descendants, resident_bytes, shadow_processes, spent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's process clocks")


def test_a_child_belongs_to_the_tree() -> None:
    """It and its memory count until it has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(descendants(os.getpid()))
        assert resident_bytes(child.pid) > 0
        child.communicate(b"\n")
    assert child.pid not in descendants(os.getpid())


def test_a_shadow_process_is_known_by_its_command() -> None:
    """Among all that a gateway has started."""
    command = [sys.executable, "-c", "print(flush=True); input()", "-m", "mirrorgate.shadow"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # its command is there to be read once it runs
        assert child.pid in shadow_processes(os.getpid())
        child.communicate(b"\n")
    assert child.pid not in shadow_processes(os.getpid())


def test_work_shows_as_time_spent() -> None:
    """As much as the process's own clock says, and none for a process that has gone."""
    before = cpu_nanoseconds(os.getpid())
    own = time.process_time_ns()
    while time.process_time_ns() - own < 20_000_000:
        pass
    assert spent(before, cpu_nanoseconds(os.getpid())) >= 20_000_000
    assert spent({1: 5}, {}) == 0
