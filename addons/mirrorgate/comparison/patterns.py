"""How long a regular expression may take at worst, so that a client's pattern cannot stop the comparison.

Python's `re` backtracks: `^(a+)+$` takes exponential time. The estimate here is crude and errs on the high side.
"""

from __future__ import annotations

import math
import re

__all__ = ["worst_cost"]

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<group>\()|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<loop>[*+]|\{\d*(?:,\d*)?\}|\?)[?+]?|.",
    re.DOTALL,
)
_COUNTED = re.compile(r"\{(\d*)(,?)(\d*)\}")


def worst_cost(pattern: str, length: int) -> float:
    """Estimate the steps that a search in a text of `length` characters takes at worst; infinity when unknown.

    Each variable quantifier multiplies by the lengths that it can take, each alternative by two, a search that is not
    anchored at the start by the length. A group that repeats is infinite, since what nests in it is what explodes.
    """
    cost = 1.0 if pattern.startswith("^") and "|" not in pattern else float(length + 1)
    closed = False
    for match in _TOKEN.finditer(pattern):
        loop = match["loop"]
        if loop is not None:
            if closed and loop != "?":
                return math.inf
            cost *= _lengths(loop, length)
        elif match["bar"] is not None:
            cost *= 2
        closed = match["close"] is not None
        if cost > 1e18:
            return math.inf
    return cost * (len(pattern) + 1)


def _lengths(loop: str, length: int) -> float:
    if loop in ("*", "+"):
        return length + 1.0
    if loop == "?":
        return 2.0
    counted = _COUNTED.fullmatch(loop)
    if counted is None:
        return math.inf
    low, comma, high = counted.groups()
    if len(low) > 6 or len(high) > 6:
        return math.inf
    if not comma:
        return 1.0
    most = int(high) if high else length
    return float(max(1, min(most, length) - int(low or 0) + 1))
