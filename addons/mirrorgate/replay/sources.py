"""Find out what a source is, by its content rather than its name, and read it in bounded memory."""

from __future__ import annotations

import enum
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from ..shadow.journal_reading import files_of
from .batch_source import read_batch
from .captured import Item, Passed, Skip
from .flow_source import read_flows
from .gor_source import read_gor
from .har_source import read_har
from .journal_source import read_journal

__all__ = ["Kind", "Reading", "kind_of"]


class Kind(enum.StrEnum):
    """What a source is."""

    FLOWS = "mitmproxy flows"
    JOURNAL = "journal"
    HAR = "HAR"
    GOREPLAY = "GoReplay"
    BATCH = "OpenAI batch"
    EMPTY = "empty"


_HEAD: Final = 64 * 1024
_FLOW: Final = re.compile(rb"\d{1,12}:\d")
_GOR: Final = re.compile(rb"[123] \S+ \d+")
_JOURNAL: Final = re.compile(rb'\{\s*"schema"\s*:\s*"mirrorgate\.')
_BATCH: Final = re.compile(rb'^\s*\{[^\n]*"custom_id"')
_HAR: Final = re.compile(rb'^(\xef\xbb\xbf)?\s*\{\s*"log"')


def kind_of(path: Path) -> Kind:
    """Tell what a file or folder is. Raises OSError when it cannot be read, ValueError when it is nothing we know."""
    if path.is_dir():
        if not files_of([path]):
            raise ValueError(f"{path} is a folder without a journal's files (exchanges*.jsonl)")
        return Kind.JOURNAL
    head = b""
    with path.open("rb") as raw:
        stream = _inflated(raw)
        try:
            while len(head) < _HEAD and (piece := stream.read1(_HEAD)):
                head += piece
        except (EOFError, zlib.error) as error:
            # A compressed file that is cut off may begin well.
            if not head:
                raise ValueError(f"{path} is damaged: {error}") from error
    if not head:
        return Kind.EMPTY
    for pattern, kind in ((_FLOW, Kind.FLOWS), (_GOR, Kind.GOREPLAY), (_JOURNAL, Kind.JOURNAL), (_HAR, Kind.HAR)):
        if pattern.match(head):
            return kind
    if _BATCH.match(head):
        return Kind.BATCH
    raise ValueError(
        f"{path} is no capture that is known: mitmproxy flows, a journal, HAR, GoReplay, or an OpenAI batch's requests"
    )


class Reading:
    """The items of several sources in their order, and how far they are read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises OSError or ValueError as `kind_of` does, before anything is sent."""
        self.sources = [(path, kind_of(path)) for path in paths]
        self.total = sum(_size(path) for path in paths)
        """Bytes on the disk."""
        self._before = 0
        self._raw: BinaryIO | None = None

    @property
    def position(self) -> int:
        """Bytes read of `total`."""
        raw = self._raw
        try:
            return self._before + (raw.tell() if raw is not None else 0)
        except ValueError:  # closed between the look and the question
            return self._before

    def __iter__(self) -> Iterator[Item]:
        for path, kind in self.sources:
            try:
                yield from self._read(path, kind)
            except (OSError, EOFError, zlib.error) as error:
                yield Passed(Skip.DAMAGED, f"{path}: {error}")
            self._raw = None
            self._before += _size(path)

    def _read(self, path: Path, kind: Kind) -> Iterator[Item]:
        if kind is Kind.JOURNAL:
            yield from read_journal(path)
            return
        if kind is Kind.EMPTY:
            return
        readers = {
            Kind.FLOWS: read_flows,
            Kind.HAR: read_har,
            Kind.GOREPLAY: read_gor,
            Kind.BATCH: read_batch,
        }
        with path.open("rb") as raw:
            self._raw = raw
            yield from readers[kind](_inflated(raw))


def _inflated(raw: io.BufferedReader) -> io.BufferedReader:
    """Read through gzip where the content is gzip."""
    return io.BufferedReader(gzip.GzipFile(fileobj=raw)) if raw.peek(2)[:2] == b"\x1f\x8b" else raw


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in files_of([path]))
        return os.stat(path).st_size
    except OSError:
        return 0
