"""The journal on disk: JSON Lines, one record a line, rotated by size, compressed, kept up to a number of bytes.

A record is written with one system call and is in the kernel's hands when `append` returns: the death of the process
loses nothing that was appended, and cuts at most the line that it was writing. Files are flushed to the disk when
they are rotated and closed, so that the loss of the machine costs the last seconds. A full or broken disk costs the
records of that time, which are counted; it never ends the process, and writing goes on when there is room again.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import logging
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

__all__ = ["ACTIVE", "ROTATED", "Journal", "Write"]

logger = logging.getLogger(__name__)

ACTIVE: Final = re.compile(r"exchanges(\.\d+)?\.jsonl")
"""Names of files that are being written. The number tells processes apart that share a folder."""
ROTATED: Final = re.compile(r"exchanges-\d{8}T\d{6}\.\d{6}Z(-\d+)?\.jsonl(\.gz)?")
"""Names of finished files; their order is the order of their time."""

_WRITERS: Final = 64
"""Processes that may share a folder."""
_RETRY_SECONDS: Final = 5.0
"""A journal that cannot be opened is tried again after this time."""
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the file still is in its folder."""

Write = Callable[[int, bytes], int]
"""`os.write`, or what stands in for it."""


class Journal:
    """Appends lines to a folder. Used from one thread; compression runs in another."""

    def __init__(
        self, folder: Path, max_bytes: int, keep_bytes: int, now: Callable[[], float], write: Write = os.write
    ) -> None:
        """`keep_bytes` bounds the finished files together, 0 keeps all; `now` is Unix time."""
        self.folder = folder
        self.max_bytes = max(1, max_bytes)
        self.keep_bytes = max(0, keep_bytes)
        self.written = 0
        """Records on disk since the start."""
        self.dropped = 0
        """Records that the disk did not take."""
        self.files = 0
        """How many files were begun or taken up since the start: it changes when another one is written."""
        self._now = now
        self._write = write
        self._descriptor = -1
        self._path = folder
        self._size = 0
        self._mended = True
        self._retry_at = 0.0
        self._look_at = 0.0
        self._failing = False
        self._compressor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal compression")

    def append(self, record: bytes, count: int = 1) -> bool:
        """Write one record, which must hold no line break; false when the disk did not take it. Never raises.

        `count` is what it adds to the numbers of records: 0 for lines that go with others.
        """
        line = record + b"\n"
        try:
            if self._descriptor < 0 and not self._open():
                return self._lost(count)
            if self._is_gone():
                self._close()
                if not self._open():
                    return self._lost(count)
            if self._size and self._size + len(line) > self.max_bytes:
                self._rotate()
            self._append(line)
        except OSError as error:
            return self._lost(count, error)
        self.written += count
        if self._failing:
            self._failing = False
            logger.warning("the journal in %s is written again; %d records were lost", self.folder, self.dropped)
        return True

    def close(self) -> None:
        """Flush and close the file; compression that has not begun is left to the next start."""
        self._close()
        self._compressor.shutdown(wait=False, cancel_futures=True)

    def wait_for_compression(self) -> None:
        """Block until every finished file is compressed and what is too much is deleted."""
        self._compressor.submit(lambda: None).result()

    def _append(self, line: bytes) -> None:
        if not self._mended:
            line = b"\n" + line
        done = 0
        try:
            while done < len(line):
                done += self._write(self._descriptor, line[done:] if done else line)
        except OSError:
            if done:
                self._take_back()
            raise
        self._size += len(line)
        self._mended = True

    def _take_back(self) -> None:
        """Remove the beginning of a line that did not fit, or see to it that the next one starts anew."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._mended = False
            with contextlib.suppress(OSError):
                self._size = os.fstat(self._descriptor).st_size

    def _lost(self, count: int, error: OSError | None = None) -> bool:
        self.dropped += count
        if error is not None and not self._failing:
            self._failing = True
            logger.warning(
                "the journal in %s cannot be written: %s; records are dropped until it can", self.folder, error
            )
        return False

    def _open(self) -> bool:
        """Open the first file of the folder that no other process writes; false while a failed try is recent."""
        now = self._now()
        # A wait that is longer than any of ours is that of a clock that was set back.
        if 0.0 < self._retry_at - now <= _RETRY_SECONDS:
            return False
        self._retry_at = now + _RETRY_SECONDS
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_WRITERS):
            path = self.folder / (f"exchanges.{number}.jsonl" if number else "exchanges.jsonl")
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_at(path, descriptor):
                    # Between our open and our lock its writer gave it its final name.
                    raise BlockingIOError
                self._size = os.fstat(descriptor).st_size
                self._mended = not self._size or os.pread(descriptor, 1, self._size - 1) == b"\n"
            except BlockingIOError:
                os.close(descriptor)
                continue
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor, self._path = descriptor, path
            self._retry_at = 0.0
            self.files += 1
            self._compressor.submit(self._tidy)
            return True
        raise OSError(f"{_WRITERS} other processes write into {self.folder}")

    def _is_gone(self) -> bool:
        """Say whether the file was deleted or moved under us, looking once a second."""
        now = self._now()
        if 0.0 < self._look_at - now <= _LOOK_SECONDS:
            return False
        self._look_at = now + _LOOK_SECONDS
        return not _is_at(self._path, self._descriptor)

    def _rotate(self) -> None:
        """Give the file its final name, compress it in the background, and begin another.

        A name that is taken gets a number. A file that is not in its place any more is left as it is. Raises OSError
        when the folder does not allow it.
        """
        moment = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        for number in range(1000):
            stem = f"exchanges-{moment}-{number}" if number else f"exchanges-{moment}"
            finished = self.folder / f"{stem}.jsonl"
            if not finished.exists() and not finished.with_suffix(".jsonl.gz").exists():
                break
        # Somebody may have moved it since the last look, and another process begun one of this name.
        if _is_at(self._path, self._descriptor):
            os.rename(self._path, finished)
        self._close()
        if not self._open():
            raise OSError("no new file could be begun")

    def _close(self) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1
        self._size = 0

    def _tidy(self) -> None:
        """Compress every finished file and delete the oldest beyond the limit. Runs in the other thread."""
        try:
            for path in sorted(self.folder.iterdir()):
                if path.name.endswith(".jsonl.gz.tmp") and ROTATED.fullmatch(path.name.removesuffix(".tmp")):
                    if not path.with_name(path.name.removesuffix(".gz.tmp")).exists():
                        path.unlink(missing_ok=True)
                elif ROTATED.fullmatch(path.name) and path.suffix == ".jsonl":
                    _compress(path)
            self._retain()
        except OSError as error:
            logger.warning("the journal in %s cannot be tidied: %s", self.folder, error)

    def _retain(self) -> None:
        if not self.keep_bytes:
            return
        finished = sorted(path for path in self.folder.iterdir() if ROTATED.fullmatch(path.name))
        total = 0
        for path in reversed(finished):
            total += path.stat().st_size
            if total > self.keep_bytes:
                path.unlink(missing_ok=True)


def _is_at(path: Path, descriptor: int) -> bool:
    """Say whether the open file is the one that its path leads to now."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _compress(path: Path) -> None:
    """Replace a file by its gzip; a crash leaves the file whole, beside at most a temporary one.

    One that another process compresses or still writes is passed by: two that write the same compressed file would
    leave a damaged one for a while, and for good if the slower one dies. When there is no room for the compressed file
    the plain one stays.
    """
    temporary = path.with_suffix(".jsonl.gz.tmp")
    try:
        # For writing, as the lock demands on network file systems.
        with path.open("r+b") as source:
            try:
                fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if _is_at(path, source.fileno()):
                _write_compressed(source, temporary)
                os.rename(temporary, path.with_suffix(".jsonl.gz"))
                path.unlink()
    except FileNotFoundError:
        # Another process that shares the folder compressed it, or the retention of one deleted it.
        temporary.unlink(missing_ok=True)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_compressed(source: IO[bytes], temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with (
        os.fdopen(descriptor, "wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as target,
    ):
        shutil.copyfileobj(source, target, 1 << 18)
        target.close()
        raw.flush()
        os.fsync(raw.fileno())
