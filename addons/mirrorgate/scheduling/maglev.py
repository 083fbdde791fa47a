"""Maglev: a table from the hash of a key to an endpoint, even and stable (Eisenbud et al., NSDI 2016, section 3.4).

Each endpoint lists the table's places in an order of its own, and they take turns in claiming the next that is free:
every endpoint gets the same number of places, give or take one, and where one endpoint leaves or joins, nearly all
other places keep their owner. A table of 65,537 places takes about a tenth of a second to fill, so it is made when a
configuration is compiled and not while requests wait.

A key whose endpoint may not be picked now goes on to further places, by steps that depend on the key: then only the
keys of the endpoint that is out move, they spread over all others, and they come back when it does.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Sequence
from functools import lru_cache

import xxhash

__all__ = ["TABLE_SIZE", "MaglevTable", "hash_of", "table_of"]

TABLE_SIZE = 65_537
"""Envoy Gateway's default; places of a table are a prime number."""

_KEPT = 1024
"""Tables that are remembered, of 128 KiB each at the default size."""
_FREE = 0xFFFF
"""Stands in a place that nobody has claimed, so that there may be one endpoint fewer than this."""
_OFFSET, _SKIP = 0, 1
"""Seeds of the two hashes that make an endpoint's order."""


class MaglevTable:
    """Endpoints by places; immutable."""

    __slots__ = ("_endpoints", "_places", "size")

    def __init__(self, endpoints: Sequence[str], size: int) -> None:
        """`size` is made a prime number where it is none, and one that is larger than the number of endpoints."""
        self._endpoints = tuple(sorted(set(endpoints)))
        self.size = _prime_from(max(size, len(self._endpoints) + 1))
        self._places = _filled(self._endpoints, self.size)

    def endpoint(self, key: int, usable: Container[str]) -> str | None:
        """Return the usable endpoint of a hashed key; `None` where the table holds none that is usable."""
        size, places, endpoints = self.size, self._places, self._endpoints
        if not endpoints:
            return None
        step = 1 + (key >> 17) % (size - 1)
        place = key % size
        for _ in range(size):
            endpoint = endpoints[places[place]]
            if endpoint in usable:
                return endpoint
            place = (place + step) % size
        return None

    def shares(self) -> dict[str, int]:
        """Count each endpoint's places."""
        shares = dict.fromkeys(self._endpoints, 0)
        for place in self._places:
            shares[self._endpoints[place]] += 1
        return shares


@lru_cache(maxsize=_KEPT)
def table_of(endpoints: tuple[str, ...], size: int) -> MaglevTable:
    """Return the table of these endpoints, made once."""
    return MaglevTable(endpoints, size)


def hash_of(parts: Sequence[bytes]) -> int:
    """Hash the parts of a key to 64 bits."""
    digest = xxhash.xxh64()
    for part in parts:
        # With its length, so that no two lists of parts read alike.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.intdigest()


def _filled(endpoints: Sequence[str], size: int) -> array[int]:
    places = array("H" if len(endpoints) < _FREE else "I", [_FREE]) * size
    if not endpoints:
        return places
    names = [endpoint.encode() for endpoint in endpoints]
    following = [xxhash.xxh64_intdigest(name, _OFFSET) % size for name in names]
    skips = [xxhash.xxh64_intdigest(name, _SKIP) % (size - 1) + 1 for name in names]
    turns = range(len(endpoints))
    left = size
    while True:
        for index in turns:
            place, skip = following[index], skips[index]
            while places[place] != _FREE:
                place = (place + skip) % size
            places[place] = index
            following[index] = (place + skip) % size
            left -= 1
            if not left:
                return places


def _prime_from(number: int) -> int:
    """Return the first prime number from *number* on: every step through a table must reach all of its places."""
    number = max(number, 2)
    while any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        number += 1
    return number
