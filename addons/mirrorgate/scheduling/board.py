"""A destination's endpoints as picks see them, kept from one pick to the next and mended only where something changed.

Making a view of every endpoint for every request costs 400 us with 1,000 endpoints. Between two picks a scrape or two
has come in and some requests have begun or ended, so a handful of views differ. What changed is pulled, not pushed:
health values are replaced, never changed, so that comparing them by identity finds the new ones; `InFlight` keeps a
log of the endpoints whose counts changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress, count
from operator import is_not

from ..resources.endpoints import Address
from .endpoints import EndpointHealth, EndpointView, view_of
from .in_flight import InFlight

__all__ = ["Board", "largest_block"]


class Board:
    """The views of one destination's endpoints, in their order.

    `views` is replaced or mended by `refresh`; who keeps it beyond the next call asks for `shown`, which is never
    changed afterwards.
    """

    __slots__ = (
        "_blocks",
        "_ejected",
        "_health",
        "_keys",
        "_seen",
        "_shared",
        "addresses",
        "rows",
        "unhealthy",
        "views",
    )

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = addresses
        """What it was made for; other endpoints need another board."""
        self._keys = [str(address) for address in addresses]
        self.rows = {key: row for row, key in enumerate(self._keys)}
        self._health: list[EndpointHealth | None] = []
        self._ejected: frozenset[str] = frozenset()
        self._seen = 0
        self._shared = False
        self.views: list[EndpointView] = []
        self._blocks: int | None = 0
        self.unhealthy = 0
        """How many views are not healthy."""

    def refresh(
        self, health: Mapping[str, EndpointHealth], in_flight: InFlight, ejected: frozenset[str] = frozenset()
    ) -> Collection[int] | None:
        """Bring the views up to date and return the rows that changed, `None` for all of them."""
        found: list[EndpointHealth | None] = [*map(health.get, self._keys)]
        changed = in_flight.changed_since(self._seen)
        self._seen = in_flight.version
        before, self._ejected = self._ejected, ejected
        if not self.views or changed is None:
            self._renew(found, in_flight)
            return None
        rows = {self.rows[key] for key in changed if key in self.rows}
        if ejected is not before:
            rows.update(row for key in ejected ^ before if (row := self.rows.get(key)) is not None)
        if found != self._health:
            rows.update(compress(count(), map(is_not, found, self._health)))
        self._health = found
        if rows:
            self._mend(rows, in_flight)
        return rows

    def shown(self) -> Sequence[EndpointView]:
        """Return the views as they are now, for good."""
        self._shared = True
        return self.views

    @property
    def block_size(self) -> int:
        """The largest block of a KV cache that an endpoint reports, in tokens; 0 when none does."""
        if self._blocks is None:
            self._blocks = largest_block(self.views)
        return self._blocks

    def _renew(self, found: list[EndpointHealth | None], in_flight: InFlight) -> None:
        self._health = found
        self._shared = False
        self.views = [
            view_of(key, address, known, in_flight, self._ejected)
            for key, address, known in zip(self._keys, self.addresses, found, strict=True)
        ]
        self.unhealthy = sum(not view.healthy for view in self.views)
        self._blocks = None

    def _mend(self, rows: Collection[int], in_flight: InFlight) -> None:
        if self._shared:
            self.views = self.views.copy()
            self._shared = False
        views, health, addresses, keys = self.views, self._health, self.addresses, self._keys
        for row in rows:
            old = views[row]
            new = views[row] = view_of(keys[row], addresses[row], health[row], in_flight, self._ejected)
            if new.healthy is not old.healthy:
                self.unhealthy += 1 if old.healthy else -1
            if new.load is not old.load and _block(new) != _block(old):
                self._blocks = None


def largest_block(views: Sequence[EndpointView]) -> int:
    """Return the largest block of a KV cache that is reported, in tokens; 0 when none is."""
    return max(map(_block, views), default=0)


def _block(view: EndpointView) -> int:
    return 0 if view.load is None else view.load.block_size or 0
