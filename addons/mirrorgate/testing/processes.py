"""Real processes under test: started, waited for, and gone when the test is over, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .clients import Client, WireError

__all__ = ["PROJECT", "Process", "ProcessError", "free_port", "gateway_command"]

PROJECT = Path(__file__).resolve().parents[3]
"""The checkout: where `addons/`, `config/` and `scripts/` lie."""


class ProcessError(Exception):
    """A process ended, or did not get ready, when it should have served; the message has its output."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that the kernel found free.

    It may be taken before it is used; what can listen on port 0 by itself should.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def gateway_command(
    config: Path | str,
    admin_port: int,
    *,
    program: str = "mirrorgate",
    options: Mapping[str, str] | None = None,
    workers: int = 1,
    words: Sequence[str] = (),
) -> list[str]:
    """Return the command that runs the gateway: `mirrorgate run`, or `mitmdump` or `mitmweb` with the addon.

    `words` are further ones of `mirrorgate run`.
    """
    settings = {
        "gateway_config": str(config),
        "gateway_admin": f"127.0.0.1:{admin_port}",
        # Where the machine is busy with other tests the event loop is late, and nothing that a test sends may be shed.
        "gateway_overload_lag": "0",
    } | dict(options or {})
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    if program == "mirrorgate":
        return [sys.executable, "-m", "mirrorgate.cli", "run", *pairs, "--workers", str(workers), *words]
    launch = f"from mitmproxy.tools.main import {program}; {program}()"
    return [sys.executable, "-c", launch, "-n", "-s", str(PROJECT / "addons" / "gateway.py"), *pairs]


class Process:
    """A program in a process group of its own, whose output is kept.

    async with Process(gateway_command(folder, admin_port)) as process:
        await process.ready(admin_port)
        ...
    assert process.returncode == 0

    On leaving, the group gets SIGTERM, and after `grace` seconds SIGKILL.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | str | None = None,
        grace: float = 5.0,
    ) -> None:
        self.command = list(command)
        self.output: list[str] = []
        """Lines of stdout and stderr, in the order in which they came."""
        self.grace = grace
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT / "addons"),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; `None` while it runs."""
        return self._started().returncode

    @property
    def text(self) -> str:
        """The output so far."""
        return "\n".join(self.output)

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the process has not been started")
        return self._process

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
            limit=1024 * 1024,
        )
        loop = asyncio.get_running_loop()
        for name in ("stdout", "stderr"):
            stream = getattr(self._process, name)
            self._readers.append(loop.create_task(self._keep(stream), name=f"{name} of {self.command[0]}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> int:
        """End the process and everything in its group, and return its exit code."""
        process = self._started()
        try:
            if process.returncode is None:
                self.signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.grace):
                        await process.wait()
        finally:
            # The group, not the process: what it started must not outlive it either.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = await process.wait()
            # The output ends when the last of the group is gone. What left the group may hold it open: not waited for.
            _, pending = await asyncio.wait(self._readers, timeout=max(1.0, self.grace))
            for reader in pending:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            self._started().send_signal(number)

    async def wait(self, timeout: float = 30.0) -> int:
        """Wait for the process to end by itself, and return its exit code. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            code = await self._started().wait()
            await asyncio.gather(*self._readers)
            return code

    async def printed(self, wanted: str | Callable[[str], bool], timeout: float = 60.0) -> str:
        """Wait for a line that holds a text or fits a predicate, and return it.

        Raises `ProcessError` when the process ends before, or in time has not printed it.
        """
        fits = wanted if callable(wanted) else lambda line: wanted in line
        looked = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while looked < len(self.output):
                        looked += 1
                        if fits(self.output[looked - 1]):
                            return self.output[looked - 1]
                    if all(reader.done() for reader in self._readers):
                        raise ProcessError(f"{self.command} ended before it printed {wanted!r}:\n{self.text}")
                    await self._changed.wait()
        except TimeoutError as error:
            raise ProcessError(f"{self.command} has not printed {wanted!r}:\n{self.text}") from error

    async def ready(self, admin_port: int, path: str = "/ready", timeout: float = 60.0) -> None:
        """Wait until the admin server answers 200. Raises `ProcessError` with the output when it does not."""
        last = "nothing listens"
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if self.returncode is not None:
                        await asyncio.gather(*self._readers)
                        raise ProcessError(f"{self.command} exited with {self.returncode}:\n{self.text}")
                    try:
                        async with await Client.connect(admin_port, timeout=5.0) as client:
                            answer = await client.request("GET", path, [("host", f"127.0.0.1:{admin_port}")])
                        if answer.status == 200:
                            return
                        last = f"{answer.status} {answer.body.decode(errors='replace')}"
                    except (OSError, WireError, TimeoutError) as error:
                        last = str(error)
                    # Another process's listening socket tells nobody when it opens: ask, and ask again.
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise ProcessError(f"{self.command} is not ready ({last}):\n{self.text}") from error

    async def _keep(self, stream: asyncio.StreamReader) -> None:
        try:
            while line := await stream.readline():
                self.output.append(line.decode(errors="replace").rstrip("\n"))
                self._notify()
        finally:
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
