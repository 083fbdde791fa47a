"""Lines to a file from a thread of its own, so that a slow or full disk costs lines and never a request.

The event loop appends to a bounded buffer; the thread writes what has gathered. Lines that find the buffer full are
dropped whole and counted. What a write leaves over (a full disk takes part of a batch) is kept and tried again, so
that a line in the file is whole or, when the file changed in between, ended by the next start of a line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import threading
from collections import deque
from time import monotonic

__all__ = ["LineWriter"]

logger = logging.getLogger(__name__)

_BATCH_SECONDS = 0.25
"""The thread waits this long for company after the first line: with every batch it takes the interpreter from the event
loop twice."""
_BATCH_BYTES = 1 << 20
"""Written at once; when as much waits, the thread waits for nothing."""
_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 1.0
"""How often the thread looks whether the file was renamed."""
_STDOUT = "-"
_LINE_FEED = 10


class LineWriter:
    """Appends lines to a file, or to standard output for `-`.

    Args:
        destination: path or `-`. A missing file is made with mode 0640; a missing folder is an error.
        max_buffered_bytes: lines beyond this many waiting bytes are dropped.
        batch_seconds: how long a line may wait for company.

    Raises:
        OSError: *destination* cannot be opened. A FIFO needs its reader first.
    """

    def __init__(
        self, destination: str, *, max_buffered_bytes: int = 8 * 1024 * 1024, batch_seconds: float = _BATCH_SECONDS
    ) -> None:
        self.written = 0
        """Lines that the operating system has taken."""
        self.dropped: dict[str, int] = {"buffer_full": 0, "torn": 0, "closed": 0}
        """Lines lost: no room, cut by a change of the file in the middle of a line, or left at the end."""
        self._path = destination
        self._limit = max_buffered_bytes
        self._batch_seconds = batch_seconds
        self._lines: deque[bytes] = deque()
        self._added = 0
        self._taken = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        """Set when a batch is complete, or no other will come."""
        self._reopen = False
        self._fault = False
        self._torn = False
        """Whether the last write ended inside a line."""
        self._pipe_full = False
        self._looked = monotonic()
        self._descriptor = self._open()
        self._fresh = self._ends_mid_line()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait. Two counters, each written by one thread, so that no lock is needed."""
        return self._added - self._taken

    def write(self, line: bytes) -> bool:
        """Hand over a line that ends in a line feed; return whether there was room. Never waits."""
        if self._closing.is_set():
            self.dropped["closed"] += 1
            return False
        if self._added - self._taken + len(line) > self._limit:
            self.dropped["buffer_full"] += 1
            return False
        self._added += len(line)
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()
        if self._added - self._taken >= _BATCH_BYTES and not self._hurry.is_set():
            self._hurry.set()
        return True

    def reopen(self) -> None:
        """Open the path anew before the next batch."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Write what is left for *timeout* seconds at most; the thread cannot hold the process back after that."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        left = b""
        while True:
            if not left:
                self._wake.wait()
            if self._added - self._taken < _BATCH_BYTES:
                self._hurry.wait(self._batch_seconds)
            if not self._closing.is_set():
                self._hurry.clear()
            self._wake.clear()
            left = self._change_file(left)
            left = self._put(left or self._take())
            if left:
                # A full disk or pipe: try again, as long as the process lives.
                if self._closed_while_waiting():
                    left = self._put(left)
                    self.dropped["closed"] += left.count(b"\n") + len(self._lines)
                    break
            elif self._closing.is_set() and not self._lines:
                break
            if self._lines:
                self._wake.set()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _closed_while_waiting(self) -> bool:
        """Wait for the reader of a full pipe to make room, or some time for a disk; tell whether to end."""
        if self._pipe_full and not self._closing.is_set():
            self._pipe_full = False
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(_RETRY_SECONDS * 1000)
            return self._closing.is_set()
        return self._closing.wait(_RETRY_SECONDS)

    def _take(self) -> bytes:
        """Take some whole lines."""
        lines: list[bytes] = []
        size = 0
        while self._lines and size < _BATCH_BYTES:
            line = self._lines.popleft()
            lines.append(line)
            size += len(line)
        return b"".join(lines)

    def _put(self, batch: bytes) -> bytes:
        """Write *batch* and return what could not be written."""
        view = memoryview(batch)
        try:
            if view and self._fresh:
                os.write(self._descriptor, b"\n")
                self._fresh = False
            while view:
                count = os.write(self._descriptor, view)
                self._taken += count
                self.written += bytes(view[:count]).count(b"\n")
                self._torn = bool(count) and view[count - 1] != _LINE_FEED
                view = view[count:]
        except BlockingIOError:
            self._pipe_full = True
            return bytes(view)
        except OSError as error:
            if not self._fault:
                self._fault = True
                logger.error(
                    "The access log %s cannot be written (%s); lines wait, then are dropped.", self._path, error
                )
            return bytes(view)
        if self._fault and batch:
            self._fault = False
            logger.warning("The access log %s is written again.", self._path)
        return b""

    def _change_file(self, left: bytes) -> bytes:
        """Follow a rename or `reopen`; return what is left, less the rest of a line that began in the old file."""
        now = monotonic()
        if not self._reopen and (now - self._looked < _LOOK_SECONDS or not self._moved()):
            return left
        self._looked, self._reopen = now, False
        if self._path == _STDOUT:
            return left
        try:
            descriptor = self._open()
        except OSError as error:
            logger.error("The access log %s cannot be opened anew (%s); lines go to the old file.", self._path, error)
            return left
        same = os.path.sameopenfile(descriptor, self._descriptor)
        os.close(self._descriptor)
        self._descriptor = descriptor
        if same:
            return left
        self._fresh = self._ends_mid_line()
        if left and self._torn:
            self._torn = False
            cut = left.index(b"\n") + 1
            self._taken += cut
            self.dropped["torn"] += 1
            return left[cut:]
        return left

    def _moved(self) -> bool:
        self._looked = monotonic()
        if self._path == _STDOUT:
            return False
        try:
            there, here = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _open(self) -> int:
        if self._path == _STDOUT:
            return os.dup(1)
        # Non-blocking, so that a FIFO without a reader is an error now instead of a wait without end.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self._path, flags, 0o640)

    def _ends_mid_line(self) -> bool:
        """Tell whether the file's last byte is no line feed: a crash cut the line before ours."""
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_size or self._path == _STDOUT:
            return False
        try:
            with open(self._path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False
