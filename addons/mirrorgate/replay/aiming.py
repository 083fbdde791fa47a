"""Where a captured request is sent: one leg's target, whichever way it was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ..credentials import without_credentials, without_query_credentials
from ..inference.requests import InferenceRequest
from ..legs import LEG_HEADER
from ..records import Headers, Leg, Target
from ..routing.filters import apply
from ..routing.table import HeaderChanges
from .captured import Captured, Skip

__all__ = ["UNBOUNDED", "Aim", "Destination", "Rewrites", "replayed_fields"]

UNBOUNDED: Final = 1 << 30
"""How many of a cluster's legs may run at once, where the player itself is the bound."""

_NOT_REPLAYED: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
        b"content-length", b"expect", b"x-envoy-internal", LEG_HEADER,
    }
)  # fmt: skip
"""Fields of the captured connection rather than of the request, and the mark, which is ours to set."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One leg, with what ends its being in flight."""

    target: Target
    release: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Rewrites:
    """What is changed in the requests of one destination."""

    models: tuple[tuple[str | None, str], ...] = ()
    """Old and new name; `None` stands for any. The first that fits counts."""
    headers: HeaderChanges = field(default_factory=HeaderChanges)
    keep_credentials: bool = False

    def model(self, request: InferenceRequest | None) -> str | None:
        """Return the model to ask for, `None` to leave the body as it is."""
        if request is None:
            return None
        return next((new for old, new in self.models if old is None or old == request.model), None)


class Destination(Protocol):
    """Finds the legs of a request."""

    label: str
    """For a person."""

    def aims(self, entry: Captured, request: InferenceRequest | None, leg: Leg) -> list[Aim] | Skip:
        """Return at least one leg, or why there is none."""

    async def start(self) -> None:
        """Begin whatever finding endpoints needs."""

    async def stop(self) -> None:
        """End it."""


def replayed_fields(entry: Captured, rewrites: Rewrites, leg: Leg, host: str | None) -> tuple[Headers, str]:
    """Return the header fields and the request target of a leg; `host` replaces the captured one."""
    fields = [field for field in entry.headers if field[0].lower() not in _NOT_REPLAYED]
    path = entry.path
    if not rewrites.keep_credentials:
        fields, path = without_credentials(fields), without_query_credentials(path)
    if host is not None:
        fields = [field for field in fields if field[0].lower() != b"host"]
        fields.insert(0, (b"host", host.encode()))
    elif entry.host and not any(name.lower() == b"host" for name, _ in fields):
        fields.insert(0, (b"host", entry.host.encode("latin-1", "replace")))
    # What a user sets may be a credential of the destination's own; the mark stays last and ours.
    fields = [field for field in apply(rewrites.headers, fields) if field[0].lower() not in _NOT_REPLAYED]
    fields.append((LEG_HEADER, leg.value.encode()))
    return fields, path
