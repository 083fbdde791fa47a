"""How the shadow process is started: by exec of the proxy's own Python, with nothing of the proxy's but one socket.

The parent-death signal of Linux is not used: it is sent when the *thread* that started the child ends, and the child
is started from a worker thread. The child ends when its socket reaches its end, which the kernel sees to whatever
happens to the proxy.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PACKAGE_ROOT", "ChildCommand", "start_child"]

PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds the package, for the child's PYTHONPATH."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """What is executed; the number of the socket's descriptor is appended to it."""

    argv: tuple[str, ...] = (sys.executable, "-P", "-m", "mirrorgate.shadow")
    """`-P` keeps the working directory off `sys.path`, where a file could stand in for a module of the library."""
    niceness: int = 10
    """Added to the proxy's own: when the CPU is short, nine tenths of it are for production's tokens."""
    root: Path = PACKAGE_ROOT

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the child's environment: the proxy's, with the package's root in front of PYTHONPATH.

        A package that is installed is found without it, and with it every package beside ours would come before the
        standard library.
        """
        environment = dict(inherited)
        if self.root.name in ("site-packages", "dist-packages"):
            return environment
        parts = [str(self.root), *filter(None, [inherited.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(parts)
        return environment


def start_child(command: ChildCommand, child_end: socket.socket) -> subprocess.Popen[bytes]:
    """Start the child with `child_end` and close our copy of it; blocks until exec has happened (1 to 2 ms).

    It gets a process group, which a terminal's Ctrl-C does not reach, and no session: outside of containers Linux may
    weigh sessions before processes (sched_autogroup_enabled), and niceness counts within one only.

    Called from a worker thread. There is no `preexec_fn`, which is unsafe beside threads and would turn vfork into
    a fork that copies the proxy's page tables. Raises OSError when the process cannot be started.
    """
    try:
        descriptor = child_end.fileno()
        return subprocess.Popen(
            [*command.argv, str(descriptor), str(command.niceness)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            process_group=0,
            env=command.environment(os.environ),
        )
    finally:
        child_end.close()
