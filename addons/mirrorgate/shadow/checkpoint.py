"""What survives the end of the process: one small file in the journal's folder, replaced whole.

Processes that share a folder each have a file of their own, held by a lock, so that no evidence is ever taken up by
two of them. A process whose gateway was killed still judges what it has for some seconds: its successor waits for its
file, instead of beginning without evidence beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

__all__ = ["Checkpoint"]

logger = logging.getLogger(__name__)

_SLOTS: Final = 64
"""Processes that may share a folder."""
_LARGEST: Final = 256 * 1024 * 1024
_PATIENCE: Final = 15.0
"""Seconds to wait for a process that has lost its gateway: longer than it lives on without."""
_LOOK: Final = 0.05


class Checkpoint:
    """Lines in a file. Used from one thread, written in another: a slow disk holds nothing up. No call raises."""

    def __init__(self, folder: Path, pause: Callable[[float], None] = time.sleep) -> None:
        self.folder = folder
        self._pause = pause
        self.working = False
        """Whether the disk took the last one."""
        self._lock = -1
        self._path: Path | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def load(self) -> list[bytes]:
        """Take a file that no other process holds, and return its lines; none when there is none.

        May wait some seconds for one whose process has lost its gateway.
        """
        try:
            path = self._own(_PATIENCE)
            self.working = True
            if path.stat().st_size > _LARGEST:
                raise OSError(f"{path} is too large to be ours")
            return path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            logger.warning("the checkpoint in %s cannot be read: %s", self.folder, error)
            return []

    @property
    def busy(self) -> bool:
        """Whether the last one is still being written."""
        return self._writing is not None and not self._writing.done()

    def save(self, lines: Iterable[bytes]) -> None:
        """Replace the file in the background; when the disk does not take it the former one stays."""
        self._writing = self._writer.submit(self._write, list(lines))

    def close(self) -> None:
        """Wait for what is being written, and let go of the file, which another process may take up then."""
        self._writer.shutdown(wait=True)
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
        self._lock, self._path = -1, None

    def _write(self, lines: list[bytes]) -> None:
        try:
            path = self._own()
            temporary = path.with_suffix(".tmp")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.writelines(line + b"\n" for line in lines)
                file.flush()
                # Without it the loss of the machine could leave an empty file in place of the former one.
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            if self.working:
                logger.warning("the checkpoint in %s cannot be written: %s", self.folder, error)
            self.working = False
        else:
            self.working = True

    def _own(self, patience: float = 0.0) -> Path:
        """Return the path that this process holds. Raises OSError when the folder allows none."""
        if self._path is not None:
            return self._path
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        until = time.monotonic() + patience
        for slot in range(_SLOTS):
            name = f".verdicts.{slot}" if slot else ".verdicts"
            while True:
                lock, orphaned = _locked(self.folder / f"{name}.lock")
                if lock is not None:
                    self._lock, self._path = lock, self.folder / f"{name}.json"
                    return self._path
                if not orphaned or time.monotonic() >= until:
                    break
                self._pause(_LOOK)
        raise OSError(f"{_SLOTS} other processes write into {self.folder}")


def _locked(path: Path) -> tuple[int | None, bool]:
    """Lock a file, which then names our gateway, and return its descriptor.

    `None` where another process holds it, and whether that one has lost its gateway. Raises OSError.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getppid()} {_namespace()}".encode(), 0)
    except BlockingIOError:
        gateway = os.pread(lock, 64, 0).decode("ascii", "replace")
        os.close(lock)
        return None, _is_over(gateway)
    except OSError:
        os.close(lock)
        raise
    return lock, False


def _namespace() -> str:
    """Return what tells apart where process numbers count; empty where they count everywhere."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _is_over(gateway: str) -> bool:
    """Say whether a process that a lock names has ended; one that cannot be looked for has not."""
    number, _, namespace = gateway.partition(" ")
    if not number.isdecimal() or namespace != _namespace():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
