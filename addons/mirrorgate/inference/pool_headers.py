"""The request headers by which a client, or a proxy before us, speaks to an InferencePool's picker.

Names of the Inference Extension and of llm-d (`pkg/epp/metadata/consts.go`), where llm-d's, the newer ones, win.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DEFAULT_FAIRNESS", "PoolHeaders", "pool_headers", "speaks_to_pools"]

DEFAULT_FAIRNESS = "default-flow"

_OBJECTIVE, _FAIRNESS, _TARGET = range(3)
_NAMES = {
    b"x-gateway-inference-objective": (_OBJECTIVE, False),
    b"x-llm-d-inference-objective": (_OBJECTIVE, True),
    b"x-gateway-inference-fairness-id": (_FAIRNESS, False),
    b"x-llm-d-inference-fairness-id": (_FAIRNESS, True),
    b"x-gateway-model-name-rewrite": (_TARGET, False),
    b"x-llm-d-model-name-rewrite": (_TARGET, True),
}
"""What each header sets, and whether it wins over its older name."""


@dataclass(frozen=True, slots=True)
class PoolHeaders:
    """What a request says of itself by header; empty values count as absent."""

    objective: str | None = None
    """The name of an InferenceObjective."""
    fairness: str = DEFAULT_FAIRNESS
    """Requests of one id share one turn in a queue."""
    target: str | None = None
    """The model to ask the server for, over what is declared."""


_NONE = PoolHeaders()


def speaks_to_pools(name: bytes) -> bool:
    """Tell whether a field of this name, in lower case, is one of them."""
    return name in _NAMES


def pool_headers(fields: Iterable[tuple[bytes, bytes]]) -> PoolHeaders:
    """Read the headers; of a name that is repeated the first value counts."""
    found: list[str | None] = [None, None, None]
    strong = [False, False, False]
    any_found = False
    for name, value in fields:
        if name[:2] not in (b"x-", b"X-"):
            continue
        known = _NAMES.get(name.lower())
        if known is None or not (text := value.decode("latin-1").strip()):
            continue
        slot, wins = known
        if found[slot] is None or (wins and not strong[slot]):
            found[slot], strong[slot] = text, wins
            any_found = True
    if not any_found:
        return _NONE
    return PoolHeaders(found[_OBJECTIVE], found[_FAIRNESS] or DEFAULT_FAIRNESS, found[_TARGET])
