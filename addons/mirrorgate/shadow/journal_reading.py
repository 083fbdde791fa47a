"""Read a journal back: folders or files, compressed or not, with whatever damage a crash has left in them.

A journal holds records of exchanges and the steps of the evidence. Records go to whoever counts and shows pairs, steps
to a `comparison.ledger_book.LedgerBook`, which comes to the verdict as it was live.
"""

from __future__ import annotations

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
        if not path.is_dir():
            files.append(path)
            continue
        names = {entry.name for entry in path.iterdir()}
        finished = [name for name in names if ROTATED.fullmatch(name) and f"{name}.gz" not in names]
        active = [name for name in names if ACTIVE.fullmatch(name)]
        files.extend(path / name for name in [*sorted(finished), *sorted(active)])
    return files


def read(paths: Iterable[Path]) -> Iterator[Record | StepLine | Damaged]:
    """Yield every record, step and place where one is lost. Never raises for what is in a file."""
    for file in files_of(paths):
        yield from _read_file(file)


def _read_file(file: Path) -> Iterator[Record | StepLine | Damaged]:
    number = 0
    try:
        with _opened(file) as stream:
            while line := stream.readline(_LINE_LIMIT):
                number += 1
                if line.strip():
                    yield _parsed(line, file, number)
    except (OSError, EOFError, zlib.error) as error:
        yield Damaged(file, number + 1 if number else 0, str(error) or type(error).__name__)


def _opened(file: Path) -> IO[bytes] | gzip.GzipFile:
    if file.suffix == ".gz":
        return gzip.open(file, "rb")
    return file.open("rb")


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
