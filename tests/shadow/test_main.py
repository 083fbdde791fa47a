"""The process's entry: it steps back for production and never outlives the proxy."""

import os
import select
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

from mirrorgate.records import ShadowReady
from mirrorgate.shadow.child import ChildCommand, start_child
from mirrorgate.shadow.frames import proxy_decoder


def test_the_process_runs_at_a_lower_priority_and_ends_at_the_end_of_its_socket() -> None:
    """Niceness and the kernel's choice of victim are raised; status 0 at the end."""
    ours, theirs = socket.socketpair()
    with ours:
        process = start_child(ChildCommand(niceness=3), theirs)
        ours.settimeout(60)
        (ready,) = proxy_decoder().feed(ours.recv(1000))
        assert ready == ShadowReady(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
        assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) >= 500
        assert (os.getsid(process.pid), os.getpgid(process.pid)) == (os.getsid(0), process.pid)
    assert process.wait(60) == 0


def test_the_child_ends_when_the_proxy_is_killed() -> None:
    """A proxy that dies without a word takes its shadow process with it."""
    script = textwrap.dedent("""
        import asyncio, random, sys
        from mirrorgate.records import Configure
        from mirrorgate.shadow.channel import ChannelOptions, ShadowChannel

        async def main():
            up = asyncio.Event()
            options = ChannelOptions(Configure("", 1, 0, 10))
            channel = ShadowChannel(options, lambda _: None, lambda *_: up.set(), random.Random())
            channel.start()
            await up.wait()
            print(channel.stats().pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    environment = ChildCommand().environment(os.environ)
    with subprocess.Popen([sys.executable, "-P", "-c", script], env=environment, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout is not None
        child = os.pidfd_open(int(proxy.stdout.readline()))
        try:
            proxy.kill()
            assert select.select([child], [], [], 60)[0] == [child]
        finally:
            os.close(child)
