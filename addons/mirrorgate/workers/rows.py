"""The counts of every worker's clusters in memory that all workers map: one writer for each word, sums on read.

A region for each worker: eight words (its version, its heartbeats, unused ones), then slots of eight words::

    key (hash of the cluster's name, 0 free, 1 given up) | active | pending | connections | retries | unused

Only a worker writes its region; the supervisor writes it while the worker is dead, to zero it. Slots are found by
linear probing within a region; positions found are kept until a version changes. A word is aligned and written by one
copy of eight bytes, so that no reader sees half of one. There is no lock that a dying worker could hold.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Final

import xxhash

__all__ = ["SLOTS", "Row", "Rows", "allocate"]

logger = logging.getLogger("mirrorgate")

SLOTS: Final = 4096
"""Clusters that a worker can share; more count for themselves."""
_WORDS: Final = 8
"""Of a slot, and of the head of a region: a cache line."""
_REGION: Final = _WORDS * (1 + SLOTS)
_FREE: Final = 0
_GIVEN_UP: Final = 1
_ACTIVE, _PENDING, _CONNECTIONS, _RETRIES = 1, 2, 3, 4
_BEATS: Final = 1
"""In the head of a region."""


def allocate(workers: int) -> int:
    """Return a descriptor of zeroed memory for so many workers; the pages are taken when they are first written."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mirrorgate-counts", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, workers * _REGION * 8)
    return descriptor


class Rows:
    """The memory as one worker, or the supervisor, sees it."""

    def __init__(self, descriptor: int, workers: int, own: int) -> None:
        """`own` is the worker's number; the supervisor's is -1."""
        self._memory = mmap.mmap(descriptor, workers * _REGION * 8)
        self._words = memoryview(self._memory).cast("q")
        self._own = own * _REGION
        self._others = [worker * _REGION for worker in range(workers) if worker != own]
        self._rows: dict[str, Row] = {}
        self._told = False

    def join(self, cluster: str) -> Row | None:
        """Take the cluster's slot in this worker's region; `None` when all are taken."""
        row = self._rows.get(cluster)
        if row is not None:
            return row
        key = _key(cluster)
        words = self._words
        for at in _probe(self._own, key):
            if words[at] in (_FREE, _GIVEN_UP):
                words[at + _ACTIVE] = words[at + _PENDING] = words[at + _CONNECTIONS] = words[at + _RETRIES] = 0
                words[at] = key
                words[self._own] += 1
                row = self._rows[cluster] = Row(words, key, at, self._others)
                return row
        if not self._told:
            self._told = True
            logger.warning("over %d clusters: the limits of further ones hold for each worker by itself", SLOTS)
        return None

    def leave(self, cluster: str) -> None:
        row = self._rows.pop(cluster, None)
        if row is not None:
            words, at = self._words, row.at
            words[at] = _GIVEN_UP
            words[at + _ACTIVE] = words[at + _PENDING] = words[at + _CONNECTIONS] = words[at + _RETRIES] = 0
            words[self._own] += 1
            row.part()

    def beat(self) -> None:
        """Count one more sign of life of this worker."""
        self._words[self._own + _BEATS] += 1

    def beats(self) -> list[int]:
        """Return how often each worker has beaten in this life; 0 before it serves."""
        return [self._words[region + _BEATS] for region in self._others]

    def clear(self, worker: int) -> None:
        """Zero the region of a worker that is dead: what it had under way ended with its sockets."""
        start = worker * _REGION
        version = self._words[start]
        self._memory[start * 8 : (start + _REGION) * 8] = bytes(_REGION * 8)
        self._words[start] = version + 1


class Row:
    """One cluster's place: `admission.elsewhere.Elsewhere`."""

    __slots__ = ("_key", "_others", "_places", "_version", "_words", "at")

    def __init__(self, words: memoryview, key: int, at: int, others: Sequence[int]) -> None:
        self._words = words
        self._key = key
        self.at = at
        """The slot in this worker's own region."""
        self._others = others
        self._version = -1
        self._places: list[int] = []

    def part(self) -> None:
        """Lead nowhere from now on: of what has left, the end of a last connection may still be told, and the slot may
        be another's by then."""
        self._words, self.at = memoryview(bytearray(8 * _WORDS)).cast("q"), 0
        self._others, self._places, self._version = (), [], 0

    def tell(self, active: int, pending: int, connections: int) -> None:
        words, at = self._words, self.at
        words[at + _ACTIVE] = active
        words[at + _PENDING] = pending
        words[at + _CONNECTIONS] = connections

    def tell_retries(self, retries: int) -> None:
        self._words[self.at + _RETRIES] = retries

    def active(self) -> int:
        return self._sum(_ACTIVE)

    def pending(self) -> int:
        return self._sum(_PENDING)

    def connections(self) -> int:
        return self._sum(_CONNECTIONS)

    def retries(self) -> int:
        return self._sum(_RETRIES)

    def _sum(self, word: int) -> int:
        words = self._words
        version = 0
        for region in self._others:
            version += words[region]
        if version != self._version:
            self._look(version)
        total: int = 0
        for place in self._places:
            total += words[place + word]
        return total

    def _look(self, version: int) -> None:
        """Find the cluster's slots in the other regions; a worker that has not used the cluster has none."""
        words, key = self._words, self._key
        self._places = []
        for region in self._others:
            for at in _probe(region, key):
                if words[at] == key:
                    self._places.append(at)
                if words[at] in (_FREE, key):
                    break
        self._version = version


def _key(cluster: str) -> int:
    """Return a positive number for a name; two names of one configuration meet by a chance of 2^-62 times pairs."""
    return (xxhash.xxh3_64_intdigest(cluster.encode()) >> 1) | 2


def _probe(region: int, key: int) -> range | list[int]:
    """Return the slots of a region in the order in which a key is looked for."""
    first, end = region + _WORDS * (1 + key % SLOTS), region + _REGION
    start = region + _WORDS
    return [*range(first, end, _WORDS), *range(start, first, _WORDS)]
