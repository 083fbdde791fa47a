"""The order in which matches are tried: one sort key for the Gateway API's precedence.

Gateway API v1, `HTTPRouteRule.matches`, over all rules of all routes that are attached to one listener:
hostname, path, method, headers, query parameters, then the oldest route, its name, the rule and the match.
"""

from __future__ import annotations

from datetime import datetime

from .hostnames import specificity
from .paths import bare_prefix
from .table import Match, PathKind, PathMatch

__all__ = ["Age", "Precedence", "age_of", "precedence"]

Age = tuple[int, float, int, str]
Precedence = tuple[tuple[int, int], tuple[int, int], bool, int, int, Age, int, int]

_PATH_RANK = {PathKind.EXACT: 0, PathKind.REGEX: 1, PathKind.PREFIX: 2}
"""Where a regular expression stands is left to implementations; ours stands between the other two."""


def age_of(created: datetime | None, position: int, namespace: str, name: str) -> Age:
    """Return the sort key of an object's age: oldest first, then `namespace/name`.

    Objects from files have no `creationTimestamp`; they come after those that have one, in the order of the files
    (`position`), which is the order in which `kubectl apply` would have created them.
    """
    if created is None:
        return (1, 0.0, position, f"{namespace}/{name}")
    return (0, created.timestamp(), 0, f"{namespace}/{name}")


def precedence(match: Match, age: Age) -> Precedence:
    """Return the sort key of a match, smallest first. Total: no two matches of one table are equal."""
    return (
        specificity(match.hostname),
        (_PATH_RANK[match.path.kind], -_length(match.path)),
        match.method is None,
        -len(match.headers),
        -len(match.query),
        age,
        match.rule.index,
        match.index,
    )


def _length(path: PathMatch) -> int:
    return len(bare_prefix(path.value)) if path.kind is PathKind.PREFIX else len(path.value)
