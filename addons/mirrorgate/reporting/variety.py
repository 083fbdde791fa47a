"""Which of the worst pairs come first where there is room for few."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparison.worst_pairs import WorstPair

__all__ = ["varied"]


def varied(pairs: Sequence[WorstPair]) -> list[WorstPair]:
    """Return the pairs with the first of each kind in front, so that one kind does not hide the others."""
    first = {pair.kind: pair for pair in reversed(pairs)}
    front = [pair for pair in pairs if first[pair.kind] is pair]
    return front + [pair for pair in pairs if first[pair.kind] is not pair]
