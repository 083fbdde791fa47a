"""Where an object and each of its fields stand in the text that declared them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Lines", "Place", "format_path", "parse_path"]

type Lines = int | tuple[int, dict[str, Lines] | list[Lines]]
"""The line of a value, counted from 1, with those of its children. A scalar is its line alone; a child of a mapping
has the line of its key, an entry of a sequence that of its first character."""

type Step = str | int

_STEP = re.compile(r"\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|([^.\[\]]+)")
_PLAIN = re.compile(r"[^.\[\]\"]+")


def format_path(steps: tuple[Step, ...]) -> str:
    """Write a field path as users know it: `spec.rules[0].matches`, `metadata.labels["a.b/c"]`."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            path += f".{step}" if path else step
        else:
            escaped = step.replace("\\", "\\\\").replace('"', '\\"')
            path += f'["{escaped}"]'
    return path


def parse_path(path: str) -> tuple[Step, ...]:
    """Read what `format_path` writes; what cannot be read is skipped."""
    return tuple(
        int(index) if index else re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for index, quoted, plain in _STEP.findall(path)
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A file and a line in it; empty and `None` for an object that came from elsewhere."""

    file: str = ""
    line: int | None = None
    """Counted from 1."""
    lines: Lines | None = field(default=None, repr=False, compare=False)
    """The lines of the object's fields, `None` when they are unknown."""

    def at(self, path: str | tuple[Step, ...]) -> Place:
        """Return the place of a field, or of its nearest enclosing field that was written down."""
        found = self.lines
        for step in parse_path(path) if isinstance(path, str) else path:
            if not isinstance(found, tuple):
                break
            children = found[1]
            if isinstance(children, dict):
                child = children.get(step) if isinstance(step, str) else None
            else:
                child = children[step] if isinstance(step, int) and 0 <= step < len(children) else None
            if child is None:
                break
            found = child
        if found is None:
            return self
        return Place(self.file, found[0] if isinstance(found, tuple) else found, found)
