"""JSON against JSON: which paths differ, and what share of the leaves."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Difference", "IgnoredPaths", "Structure", "compare_structure"]

_MOST_NODES = 20_000
_MOST_DIFFERENCES = 100
_DEEPEST = 100

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_STEP = re.compile(r"\.\.(?P<deep>[^.\[\]]+)|\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+|\*)\]|\['(?P<quoted>[^']*)'\]")

Path = tuple[str | int, ...]


class Change(enum.StrEnum):
    """What happened to a value on the way from the primary to the candidate."""

    CHANGED = "changed"
    TYPE = "type"
    MISSING = "missing"
    """The candidate does not have it."""
    EXTRA = "extra"
    """Only the candidate has it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. The values are the JSON values themselves, `None` on the side that has none."""

    path: str
    """Such as `$.choices[0].message`."""
    change: Change
    primary: Any = None
    candidate: Any = None


@dataclass(frozen=True, slots=True)
class Structure:
    """The outcome of a structural comparison."""

    differences: tuple[Difference, ...]
    """In document order, the first hundred."""
    leaves: int
    """Leaves compared, those of either side together."""
    differing: int
    """Leaves that differ."""
    bounded: bool = False
    """Whether the values were too large to be compared whole."""

    @property
    def same(self) -> bool:
        return self.differing == 0 and not self.bounded

    @property
    def similarity(self) -> float:
        """The share of leaves that agree, from 0 to 1."""
        return 1.0 if self.leaves == 0 else 1.0 - self.differing / self.leaves


class IgnoredPaths:
    """A set of paths that are left out, compiled once.

    A bare name stands for every field of that name. A path begins with `$` and has steps `.name`, `.*`, `[3]`, `[*]`,
    `['any name']` and `..name` (at any depth below). What is neither is taken for a name.
    """

    __slots__ = ("_names", "_paths")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._paths: list[tuple[tuple[bool, str | int], ...]] = []
        for pattern in patterns:
            steps = _steps(pattern)
            if steps is None:
                self._names.add(pattern)
            elif len(steps) == 1 and steps[0][0] and isinstance(steps[0][1], str):
                self._names.add(steps[0][1])
            else:
                self._paths.append(steps)

    def __contains__(self, path: Path) -> bool:
        if path and path[-1] in self._names:
            return True
        return any(_matches(steps, path) for steps in self._paths)


def _steps(pattern: str) -> tuple[tuple[bool, str | int], ...] | None:
    """Parse a path into (at any depth, name or index or `*`) steps, `None` when it is no path."""
    if not pattern.startswith("$"):
        return None
    steps: list[tuple[bool, str | int]] = []
    end = 1
    while end < len(pattern):
        match = _STEP.match(pattern, end)
        if match is None:
            return None
        end = match.end()
        index = match["index"]
        if index is not None:
            steps.append((False, "*" if index == "*" else int(index)))
        else:
            name = match["deep"] or match["name"]
            steps.append((match["deep"] is not None, match["quoted"] if name is None else name))
    return tuple(steps)


def _matches(steps: tuple[tuple[bool, str | int], ...], path: Path) -> bool:
    """Match the whole path; every prefix of the steps that can stand at a place is followed at once."""
    states = {0}
    for part in path:
        following: set[int] = set()
        for state in states:
            if state == len(steps):
                continue
            deep, wanted = steps[state]
            if wanted in ("*", part):
                following.add(state + 1)
            if deep:
                following.add(state)
        if not following:
            return False
        states = following
    return len(steps) in states


def compare_structure(primary: Any, candidate: Any, ignored: IgnoredPaths) -> Structure:
    """Compare two JSON values by their structure.

    Objects are compared by name in any order, arrays by place. Numbers are equal by value (1 and 1.0), a boolean is
    no number, and `NaN`, which JSON does not have but servers send, equals itself. Bounded in nodes, depth and
    reported differences; what lies beyond is not compared and `bounded` says so.
    """
    found: list[Difference] = []
    leaves = differing = nodes = 0
    bounded = False
    stack: list[tuple[Path, Any, Any, Change | None]] = [((), primary, candidate, None)]
    while stack:
        path, left, right, only = stack.pop()
        if path in ignored:
            continue
        nodes += 1
        if nodes > _MOST_NODES or len(path) > _DEEPEST:
            bounded = True
            if nodes > _MOST_NODES:
                break
            continue
        if only is None and _same_container(left, right):
            stack.extend(reversed(list(_children(path, left, right))))
            continue
        weight = max(1, _leaves(left) if only is not Change.EXTRA else _leaves(right))
        leaves += weight
        change = only or _change(left, right)
        if change is not None:
            differing += weight
            if len(found) < _MOST_DIFFERENCES:
                found.append(Difference(_shown(path), change, left, right))
    return Structure(tuple(found), leaves, differing, bounded)


def _same_container(left: Any, right: Any) -> bool:
    return (isinstance(left, dict) and isinstance(right, dict)) or (isinstance(left, list) and isinstance(right, list))


def _children(path: Path, left: Any, right: Any) -> Iterator[tuple[Path, Any, Any, Change | None]]:
    if isinstance(left, dict):
        for name, value in left.items():
            if name in right:
                yield (*path, name), value, right[name], None
            else:
                yield (*path, name), value, None, Change.MISSING
        for name, value in right.items():
            if name not in left:
                yield (*path, name), None, value, Change.EXTRA
        return
    for index in range(max(len(left), len(right))):
        if index >= len(right):
            yield (*path, index), left[index], None, Change.MISSING
        elif index >= len(left):
            yield (*path, index), None, right[index], Change.EXTRA
        else:
            yield (*path, index), left[index], right[index], None


def _change(left: Any, right: Any) -> Change | None:
    if _kind(left) != _kind(right):
        return Change.TYPE
    return None if left == right or (left != left and right != right) else Change.CHANGED


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _leaves(value: Any) -> int:
    """Count the leaves of a value that only one side has, up to a thousand."""
    count = 0
    stack = [value]
    while stack and count < 1000:
        item = stack.pop()
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        if inner:
            stack.extend(list(inner)[:1000])
        else:
            count += 1
    return count


def _shown(path: Path) -> str:
    text = "$"
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}"
        else:
            text += f"[{part!r}]"
    return text
