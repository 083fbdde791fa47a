"""What a replay needs to go on later: what it was asked, and which exchanges its journal has."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..shadow.journal_reading import files_of

__all__ = ["NOTHING_DONE", "Asked", "Done", "done_in", "prepare"]

_FILE: Final = "replay.json"
_SCHEMA: Final = b"mirrorgate.exchange/v1"


class Asked(msgspec.Struct, frozen=True, omit_defaults=False):
    """What decides about the evidence; another run of the same journal must be asked the same."""

    sources: list[str]
    to: str
    against: str
    selection: str
    policy: str
    rewrites: str
    repeat: int
    schema: str = "mirrorgate.replay/v1"


class _Named(msgspec.Struct):
    schema: str
    id: str


class Done:
    """Exchanges by a hash of 64 bits of their ids: eight bytes each. Of a billion, one in 10^10 is wrong."""

    def __init__(self, ids: Iterator[str]) -> None:
        found = array("Q", map(_hashed, ids))
        self._sorted = array("Q", sorted(found))

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, id: str) -> bool:
        wanted = _hashed(id)
        place = bisect_left(self._sorted, wanted)
        return place < len(self._sorted) and self._sorted[place] == wanted


def prepare(folder: Path, asked: Asked, *, resume: bool) -> Done:
    """Make the journal's folder ready, and return what an earlier run has compared.

    Raises ValueError when the folder holds another replay, or one that is not to be resumed; OSError when it cannot
    be written.
    """
    note = folder / _FILE
    holds = folder.is_dir() and (note.exists() or bool(files_of([folder])))
    if holds and not resume:
        raise ValueError(f"{folder} holds a journal; go on with --resume, or name another folder")
    if resume:
        try:
            before = msgspec.json.decode(note.read_bytes(), type=Asked)
        except FileNotFoundError:
            raise ValueError(f"{folder} holds no replay that could be resumed") from None
        except msgspec.MsgspecError as error:
            raise ValueError(f"{note} cannot be read: {error}") from error
        changed = [name for name in Asked.__struct_fields__ if getattr(before, name) != getattr(asked, name)]
        if changed:
            raise ValueError(
                f"{folder} was asked something else ({', '.join(changed)}); evidence of two questions is not added up"
            )
        return Done(done_in(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    note.write_bytes(msgspec.json.format(msgspec.json.encode(asked), indent=2) + b"\n")
    return NOTHING_DONE


def done_in(folder: Path) -> Iterator[str]:
    """Yield the ids of a journal's exchanges; lines that are none, or cut, are passed by."""
    decoder = msgspec.json.Decoder(_Named)
    for file in files_of([folder]):
        try:
            with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
                for line in stream:
                    if _SCHEMA not in line[:80]:
                        continue
                    try:
                        yield decoder.decode(line).id
                    except (msgspec.MsgspecError, UnicodeDecodeError):
                        continue
        except (OSError, EOFError, zlib.error):
            continue


def _hashed(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest())


NOTHING_DONE: Final = Done(iter(()))
