"""Read a journal back: folders or files, compressed or not, with whatever damage a crash has left in them.

A journal holds records of exchanges and the steps of the evidence. Records go to whoever counts and shows pairs, steps
to a `comparison.ledger_book.LedgerBook`, which comes to the verdict as it was live.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from ..comparison.steps import Step, decode_step, is_step
from .journal import ACTIVE, ROTATED
from .recording import SCHEMA

__all__ = ["Damaged", "Record", "StepLine", "files_of", "read"]

_LINE_LIMIT: Final = 256 * 1024 * 1024
"""A longer line is no record of ours."""
_LOOKS: Final = 10
"""How often a folder is looked at whose files are finished at that very moment."""


@dataclass(frozen=True, slots=True)
class Record:
    """One exchange and candidate, as `docs/journal.md` describes it."""

    value: dict[str, Any]
    file: Path
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of the evidence."""

    step: Step
    file: Path
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A place that holds no record: a line cut by a crash, a file that is cut off, a schema of another program."""

    file: Path
    line: int
    """Counted from 1; 0 when the file cannot be opened."""
    reason: str


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the journal's files in the order of their time; a file that is named is taken whatever its name.

    Of a finished file and its compressed form, which a crash can leave side by side, only the latter is returned.
    """
    files: list[Path] = []
    for path in paths:
        files.extend([*_finished(path), *_active(path)] if path.is_dir() else [path])
    return files


def read(paths: Iterable[Path]) -> Iterator[Record | StepLine | Damaged]:
    """Yield every record, step and place where one is lost. Never raises for what is in a file.

    A folder may be written and rotated meanwhile: what it held when its reading began is read, and once.
    """
    for path in paths:
        if path.is_dir():
            yield from _read_folder(path)
        else:
            yield from _read_file(path)


def _read_folder(folder: Path) -> Iterator[Record | StepLine | Damaged]:
    with contextlib.ExitStack() as held:
        finished, active = _standing(folder, held)
        for file in finished:
            yield from _read_file(file)
        for file, stream in active:
            yield from _read_file(file, stream)


def _standing(folder: Path, held: contextlib.ExitStack) -> tuple[list[Path], list[tuple[Path, IO[bytes] | None]]]:
    """Return the finished files, and the active ones open, which `held` closes: by its name one would be another later.

    Looked at again where a file was finished between the two looks, so that it is not in both or in neither.
    """
    for _ in range(_LOOKS):
        held.close()
        finished = _finished(folder)
        active = [(path, _held(path, held)) for path in _active(folder)]
        if {_plain(path) for path in _finished(folder)} == {_plain(path) for path in finished}:
            break
    return finished, active


def _held(path: Path, held: contextlib.ExitStack) -> IO[bytes] | None:
    """Open a file; `None` when that fails, which its reading will tell."""
    try:
        return held.enter_context(path.open("rb"))
    except OSError:
        return None


def _finished(folder: Path) -> list[Path]:
    names = {entry.name for entry in folder.iterdir()}
    return [folder / name for name in sorted(names) if ROTATED.fullmatch(name) and f"{name}.gz" not in names]


def _active(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if ACTIVE.fullmatch(entry.name))


def _plain(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _read_file(file: Path, held: IO[bytes] | None = None) -> Iterator[Record | StepLine | Damaged]:
    """Read a file, which may be `held` open already."""
    number = 0
    try:
        with _opened(file) if held is None else held as stream:
            while line := stream.readline(_LINE_LIMIT):
                number += 1
                if line.strip():
                    yield _parsed(line, file, number)
    except (OSError, EOFError, zlib.error) as error:
        yield Damaged(file, number + 1 if number else 0, str(error) or type(error).__name__)


def _opened(file: Path) -> IO[bytes] | gzip.GzipFile:
    if file.suffix == ".gz":
        return gzip.open(file, "rb")
    try:
        return file.open("rb")
    except FileNotFoundError:
        if not ROTATED.fullmatch(file.name):
            raise
        # Compressed since the folder was looked at.
        return gzip.open(file.with_name(f"{file.name}.gz"), "rb")


def _parsed(line: bytes, file: Path, number: int) -> Record | StepLine | Damaged:
    try:
        if is_step(line):
            return StepLine(decode_step(line), file, number)
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        cut = "" if line.endswith(b"\n") else "the line is cut off: "
        return Damaged(file, number, f"{cut}{error}")
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return Damaged(file, number, f"not a record of {SCHEMA}")
    return Record(value, file, number)
