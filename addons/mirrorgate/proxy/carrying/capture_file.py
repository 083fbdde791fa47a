"""The file of a capture: flows in mitmproxy's format, each whole or not there.

Appends, since a restart must not cost what was captured before. A flow that a crash or a full disk has cut is taken
back, because whatever came after it could not be read. Used from one thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

__all__ = ["CaptureFile", "whole_length"]

_LONGEST_PREFIX: Final = 13
"""Digits of a length and the colon behind them; mitmproxy reads twelve digits."""
_DICT: Final = b"}"
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the file still is in its place."""


class CaptureFile:
    """Appends records to a path, in which `strftime` words such as `%Y-%m-%d` begin a new file when they change."""

    def __init__(
        self,
        path: str,
        now: Callable[[], float],
        write: Callable[[int, bytes], int] = os.write,
        truncate: Callable[[int, int], None] = os.ftruncate,
    ) -> None:
        """Open the file; missing folders are made.

        Raises OSError when it cannot be opened, and ValueError when it holds something else than flows: a mistyped
        name must not destroy a document.
        """
        self._template = str(Path(path).expanduser())
        self._now = now
        self._write = write
        self._truncate = truncate
        self._torn = False
        """Whether the beginning of a record that did not fit is still behind the last whole one."""
        self._look_at = 0.0
        self._descriptor = -1
        self._size = 0
        self._regular = True
        self._path = ""
        self._follow()

    def append(self, record: bytes) -> None:
        """Write one record; raises OSError or ValueError when it cannot, and then leaves nothing of it."""
        self._follow()
        self._take_back()
        done = 0
        try:
            while done < len(record):
                done += self._write(self._descriptor, record[done:] if done else record)
        except OSError:
            self._torn = bool(done) and self._regular
            self._take_back()
            raise
        self._size += len(record)

    def close(self) -> None:
        """Flush to the disk and close."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
            os.close(descriptor)

    def _take_back(self) -> None:
        """Remove the beginning of a record that did not fit; raises OSError while the disk refuses even that."""
        if self._torn:
            self._truncate(self._descriptor, self._size)
            self._torn = False

    def _follow(self) -> None:
        """Open the file of this moment, unless it is the one that is open."""
        now = self._now()
        path = datetime.fromtimestamp(now).astimezone().strftime(self._template)
        if path == self._path and self._descriptor >= 0 and not self._is_gone(now):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Prompts are in it: nobody else reads it. Non-blocking, so that a FIFO without a reader is an error now.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        try:
            status = os.fstat(descriptor)
            regular = stat.S_ISREG(status.st_mode)
            size = whole_length(descriptor, status.st_size) if regular else 0
            if size < status.st_size and regular:
                if not size and not _begins_like_flow(os.pread(descriptor, _LONGEST_PREFIX, 0)):
                    raise ValueError(f"{path} holds no flows; name another file for the capture")
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor, self._path, self._size, self._regular = descriptor, path, size, regular
        self._torn, self._look_at = False, now + _LOOK_SECONDS

    def _is_gone(self, now: float) -> bool:
        """Say whether the file was deleted or moved under us, looking once a second."""
        # A wait that is longer than ours is that of a clock that was set back.
        if not self._regular or 0.0 < self._look_at - now <= _LOOK_SECONDS:
            return False
        self._look_at = now + _LOOK_SECONDS
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True


def whole_length(descriptor: int, size: int) -> int:
    """Return how many bytes at the beginning of a file are whole records: `length:dictionary}`, one after the other."""
    at = 0
    while at < size:
        digits, colon, _ = os.pread(descriptor, _LONGEST_PREFIX, at).partition(b":")
        if not colon or not digits.isdigit():
            break
        end = at + len(digits) + 1 + int(digits)
        if end >= size or os.pread(descriptor, 1, end) != _DICT:
            break
        at = end + 1
    return at


def _begins_like_flow(head: bytes) -> bool:
    """Tell whether the beginning of a file may be that of a flow that was cut."""
    digits, colon, rest = head.partition(b":")
    return digits.isdigit() and (not colon or not rest or rest[:1].isdigit())
