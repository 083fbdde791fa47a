"""Manifests in files: read them, and notice within a second when they change.

Changes are found by polling names, times, sizes and inodes of the tree four times a second. A thread does that, so that
a slow file system does not hold up the event loop, which is not even woken where nothing has changed. A poll of a
hundred files costs under a millisecond. Polling works on every file system, also on the network mounts and Kubernetes
volumes from which no notification comes.

A change counts when the tree has stood still for a moment and the contents are others than before. So an editor's
truncate and write, a rename over the old file, the `..data` swap of a ConfigMap volume, and `touch` all come out as
what they mean. Contents decide, times only hint.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Problem

__all__ = ["FileSource", "Reading"]

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE = 16 * 1024 * 1024
MAX_TOTAL = 64 * 1024 * 1024
MAX_FILES = 4096
MAX_DEPTH = 32

POLL = 0.25
"""Seconds between two looks at the tree."""
SETTLE = 0.1
"""Seconds for which a changed tree has to stand still."""
SETTLE_EMPTIED = 1.0
"""The same when a file has become empty: most often it is about to be filled again."""
MAX_SETTLE = 5.0
"""Seconds after which a tree that never stands still is read all the same."""
_RACY_NS = 2_000_000_000
"""Age under which a time stamp proves nothing: another write may fall into the same tick of the file system."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the texts in order, and what could not be read. With problems, the texts are not all."""

    files: tuple[tuple[str, str], ...]
    """File name, as it was given or found below a given folder, and text."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """One file of the tree at one moment."""

    path: str
    mark: tuple[int, ...]
    """Device, inode, size, and times of modification and change in ns."""

    @property
    def place(self) -> tuple[int, int]:
        return self.mark[0], self.mark[1]

    @property
    def size(self) -> int:
        return self.mark[2]


@dataclass(frozen=True, slots=True)
class _Tree:
    """What the given paths lead to at one moment."""

    files: tuple[_Found, ...]
    problems: tuple[Problem, ...]

    @property
    def newest(self) -> int:
        return max((max(file.mark[3:]) for file in self.files), default=0)

    def emptied(self, before: _Tree) -> bool:
        """Tell whether a file is empty that was not."""
        filled = {file.path for file in before.files if file.size}
        return any(not file.size and file.path in filled for file in self.files)


class FileSource:
    """Manifests in files and folders.

    A folder stands for every `*.yaml`, `*.yml` and `*.json` below it, in the order of their paths; names that begin
    with a dot are left out (editors' and volumes' own files). A file that is reached twice is read once. A path that
    is missing, and a folder without manifests, are problems: an emptied folder must not pass for a wish to serve
    nothing.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._last: Reading | None = None
        self._tree: _Tree | None = None

    def read(self) -> Reading:
        """Read everything now. Later changes are counted from here."""
        tree, reading = _read_all(self._paths)
        self._tree, self._last = tree, reading
        return reading

    async def changes(self) -> AsyncGenerator[Reading, None]:
        """Yield a reading whenever the contents, or what is wrong with them, differ from the last reading.

        Without an earlier `read`, the first comes at once. Ends only by being closed.
        """
        if self._last is None:
            yield await asyncio.to_thread(self.read)
        while True:
            await self._until_changed()
            stood = await self._settled()
            tree, reading = await asyncio.to_thread(_read_all, self._paths)
            if tree != stood and tree.emptied(self._tree or _Tree((), ())):
                continue  # it is being filled at this very moment
            different = reading != self._last
            self._tree, self._last = tree, reading
            if different:
                yield reading

    async def _until_changed(self) -> None:
        """Wait until the tree differs from the one last read. Raises what a look at it raises."""
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[None] = loop.create_future()
        left = threading.Event()
        # None of the executor's: a process that ends waits for those.
        threading.Thread(target=self._look, args=(loop, seen, left), name="manifests", daemon=True).start()
        try:
            await seen
        finally:
            left.set()

    def _look(self, loop: asyncio.AbstractEventLoop, seen: asyncio.Future[None], left: threading.Event) -> None:
        """Poll in a thread until there is something to tell, or nobody waits for it."""
        failure: Exception | None = None
        try:
            while not left.wait(POLL):
                if self._changed():
                    break
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(_tell, seen, failure)

    def _changed(self) -> bool:
        """Look whether the tree differs from the one last read, or was so young then that it cannot be told."""
        tree = _scan(self._paths)
        before = self._tree
        if before is None or tree != before:
            return True
        if abs(time.time_ns() - tree.newest) > _RACY_NS:
            return False
        # Young: what counts is the contents, and the half-written ones are for `_settled`.
        return _read_all(self._paths)[1] != self._last

    async def _settled(self) -> _Tree | None:
        """Wait until the tree stands still, and return it; `None` when it does not for too long."""
        before = self._tree or _Tree((), ())
        loop = asyncio.get_running_loop()
        start = since = loop.time()
        tree = await asyncio.to_thread(_scan, self._paths)
        while True:
            await asyncio.sleep(SETTLE / 2)
            seen = await asyncio.to_thread(_scan, self._paths)
            now = loop.time()
            if seen != tree:
                tree, since = seen, now
            if now - since >= (SETTLE_EMPTIED if tree.emptied(before) else SETTLE):
                return tree
            if now - start >= MAX_SETTLE:
                return None


def _tell(future: asyncio.Future[None], failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)


def _read_all(paths: Sequence[Path]) -> tuple[_Tree, Reading]:
    """Read the tree such as it is; one that changes meanwhile is read again, some times."""
    for _ in range(3):
        tree = _scan(paths)
        reading = _read(tree)
        if _scan(paths) == tree:
            break
    return tree, reading


def _read(tree: _Tree) -> Reading:
    texts: list[tuple[str, str]] = []
    problems = list(tree.problems)
    total = 0
    for file in tree.files:
        content = _content(file.path)
        if isinstance(content, Problem):
            problems.append(content)
            continue
        total += len(content)
        if total > MAX_TOTAL:
            message = f"the manifests are larger than {MAX_TOTAL >> 20} MiB together"
            problems.append(Problem(message, _shown(file.path)))
            break
        try:
            texts.append((_shown(file.path), content.decode("utf-8-sig")))
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problems.append(
                Problem(f"the file is not UTF-8: {error.reason}", _shown(file.path), line, hint="save it in UTF-8")
            )
    return Reading(tuple(texts), tuple(problems))


def _content(path: str) -> bytes | Problem:
    """Read a regular file's bytes, up to `MAX_FILE`."""
    try:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Problem("the path is not a regular file", _shown(path))
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        return Problem(f"the file cannot be read: {error.strerror or error}", _shown(path))
    if len(content) > MAX_FILE:
        return Problem(f"the file is larger than {MAX_FILE >> 20} MiB", _shown(path))
    return content


def _open(path: str, flags: int) -> int:
    """Open without waiting: a named pipe, put there since the scan, would wait for a writer for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _scan(paths: Sequence[Path]) -> _Tree:
    """Find the files that the given paths stand for."""
    files: dict[tuple[int, int], _Found] = {}
    problems: list[Problem] = []
    for given in paths:
        path = str(given)
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            problems.append(_unreachable(path, error))
            continue
        if stat.S_ISDIR(status.st_mode):
            number, known = 0, len(problems)
            for found in _walk(path, status, problems):
                number += 1
                if number > MAX_FILES:
                    hint = "is it the folder that was meant?"
                    problems.append(
                        Problem(f"the folder holds more than {MAX_FILES} manifests", _shown(path), hint=hint)
                    )
                    break
                files.setdefault(found.place, found)
            if not number and len(problems) == known:
                hint = "manifests end in .yaml, .yml or .json"
                problems.append(Problem("the folder holds no manifests", _shown(path), hint=hint))
        elif stat.S_ISREG(status.st_mode):
            found = _Found(path, _mark(status))
            files.setdefault(found.place, found)
        else:
            problems.append(Problem("the path is neither a regular file nor a folder", _shown(path)))
    return _Tree(tuple(files.values()), tuple(problems))


def _walk(root: str, status: os.stat_result, problems: list[Problem]) -> Iterator[_Found]:
    """Walk a folder in the order of paths, following links, each folder once."""
    seen = {(status.st_dev, status.st_ino)}

    def folder(path: str, depth: int) -> Iterator[_Found]:
        try:
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        except OSError as error:
            problems.append(_unreachable(path, error))
            return
        for name in names:
            below = os.path.join(path, name)
            try:
                status = os.stat(below)
            except OSError as error:
                if name.endswith(SUFFIXES):
                    problems.append(_unreachable(below, error))
                continue
            if stat.S_ISDIR(status.st_mode):
                place = (status.st_dev, status.st_ino)
                if place in seen:
                    continue
                seen.add(place)
                if depth >= MAX_DEPTH:
                    problems.append(Problem(f"the folder lies more than {MAX_DEPTH} levels deep", _shown(below)))
                    continue
                yield from folder(below, depth + 1)
            elif stat.S_ISREG(status.st_mode) and name.endswith(SUFFIXES):
                yield _Found(below, _mark(status))

    return folder(root, 1)


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _shown(path: str) -> str:
    """Write a path such that it can be printed: a name need not be UTF-8."""
    return path.encode("utf-8", "replace").decode("utf-8")


def _unreachable(path: str, error: OSError | ValueError) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem("the path does not exist", _shown(path))
    # The only ValueError of `os.stat`; its text differs between versions of Python.
    text = (error.strerror or str(error)) if isinstance(error, OSError) else "it contains a NUL"
    return Problem(f"the path cannot be read: {text}", _shown(path))
