"""Real processes: ready, printed, ended, and never left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mirrorgate.testing.clients import Client
from mirrorgate.testing.processes import PROJECT, Process, ProcessError, free_port, gateway_command

pytestmark = pytest.mark.e2e

SERVER = str(PROJECT / "scripts" / "fake_model_server.py")


async def test_the_fake_server_runs_as_a_program(tmp_path: Path) -> None:
    """It says where it listens, answers, logs, and ends with 0 on SIGTERM."""
    log = tmp_path / "server.log"
    command = [sys.executable, SERVER, "--name", "a", "--ttft", "0", "--itl", "0", "--log", str(log)]
    async with Process(command) as process:
        line = await process.printed("listening on")
        port = int(line.rpartition(":")[2])
        await process.ready(port, "/health")
        async with await Client.connect(port) as client:
            answer = await client.request("POST", "/v1/completions", (), {"prompt": "hi"})
        assert answer.status == 200
        process.signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert log.read_text().endswith('"POST /v1/completions HTTP/1.1" 200 OK\n')


async def test_a_process_that_ends_early_shows_its_output() -> None:
    """The error has what it printed; so has a line that never comes."""
    async with Process([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"]) as process:
        with pytest.raises(ProcessError, match="no such thing"):
            await process.ready(free_port())
        with pytest.raises(ProcessError, match="no such thing"):
            await process.printed("ready")
        assert process.returncode == 3


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    """Nothing of its group outlives the test."""
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    hold = f"import time; held = open({str(fifo)!r}, 'w'); print('holding', flush=True); time.sleep(600)"
    program = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-c', {hold!r}])\n"
        "time.sleep(600)\n"
    )
    async with Process([sys.executable, "-c", program], grace=0.1) as process:
        await process.printed("holding")
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
    assert process.returncode == -signal.SIGKILL
    # The end of the pipe: nobody holds its other side any more.
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_the_commands_of_the_gateway() -> None:
    """The same options, whatever program carries them."""
    for program in ("mirrorgate", "mitmdump", "mitmweb"):
        command = gateway_command("config", 1, program=program, options={"gateway_port_offset": "5"})
        first = command.index("--set")
        assert command[first : first + 8] == [
            *("--set", "gateway_config=config"),
            *("--set", "gateway_admin=127.0.0.1:1"),
            *("--set", "gateway_overload_lag=0"),
            *("--set", "gateway_port_offset=5"),
        ]
