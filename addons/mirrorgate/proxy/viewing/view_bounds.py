"""Bounds the view of mitmweb and the console in flows and bytes; by themselves they keep every flow for ever.

Only finished flows go, the oldest first. Sizes are counted as flows end, so that a request costs no look at the others.
"""

from __future__ import annotations

from mitmproxy import flow, http
from mitmproxy.addons.view import View

__all__ = ["ViewBounds", "size_of"]

_KEPT = 0.95
"""Of a bound is left when it is exceeded, so that trimming is rare."""
_FLOW_BYTES = 4096
"""A flow without its bodies (measured: about 3 KB)."""


def size_of(held: flow.Flow) -> int:
    """Return about how many bytes a flow holds."""
    if not isinstance(held, http.HTTPFlow):
        return _FLOW_BYTES
    response = held.response
    return (
        _FLOW_BYTES
        + len(held.request.raw_content or b"")
        + (0 if response is None else len(response.raw_content or b""))
    )


class ViewBounds:
    """Removes flows from a view. A bound of 0 is none."""

    def __init__(self, view: View, flows: int, size: int) -> None:
        self._view = view
        self._flows = flows
        self._size = size
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._patience = 0
        """Flows in the view up to which it is not looked at again: everything in it was under way."""
        view.sig_store_remove.connect(self._removed)
        view.sig_store_refresh.connect(self._refreshed)

    @property
    def total(self) -> int:
        """Bytes of the finished flows in the view."""
        return self._total

    def configure(self, flows: int, size: int) -> None:
        """Take other bounds."""
        self._flows, self._size, self._patience = flows, size, 0
        self._trim()

    def added(self) -> None:
        """Take note that the view has one flow more."""
        if self._flows and self._view.store_count() > max(self._flows, self._patience):
            self._trim()

    def ended(self, held: flow.Flow) -> None:
        """Take note that a flow has its final size, or another one than before."""
        if self._view.get_by_id(held.id) is None:
            return
        size = size_of(held)
        self._total += size - self._sizes.get(held.id, 0)
        self._sizes[held.id] = size
        if self._size and self._total > self._size:
            self._trim()

    def _trim(self) -> None:
        view = self._view
        flows = int(self._flows * _KEPT) if self._flows and view.store_count() > self._flows else view.store_count()
        size = int(self._size * _KEPT) if self._size and self._total > self._size else self._total
        for held in view.resolve("@all"):
            if view.store_count() <= flows and self._total <= size:
                break
            if not held.live:
                view.remove([held])  # one by one: the view announces the removal of several
        over = view.store_count() > flows
        self._patience = int(view.store_count() * (2 - _KEPT)) if over else 0

    def _removed(self, flow: flow.Flow) -> None:
        self._total -= self._sizes.pop(flow.id, 0)

    def _refreshed(self) -> None:
        """Count anew: the view was cleared, wholly or in part."""
        self._sizes = {id: size for id, size in self._sizes.items() if self._view.get_by_id(id) is not None}
        self._total = sum(self._sizes.values())
        self._patience = 0
