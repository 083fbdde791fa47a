"""From the events of a YAML parser to plain values that remember their lines, one document after the other.

Hostile documents end in a problem: aliases that multiply, nesting without end, tags, keys given twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import Problem
from .places import Lines
from .plain_scalar import resolve

__all__ = ["MAX_ALIASED", "MAX_DEPTH", "Builder", "Manifest", "TooDeep"]

MAX_DEPTH = 100
"""Nesting of mappings and lists; the deepest field of any CRD that we know lies at 20."""
MAX_ALIASED = 100_000
"""Values that the aliases of one document stand for, all together."""

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document: its value and where each part of it stands."""

    value: object
    lines: Lines
    line: int
    """Of its first character, counted from 1."""


class TooDeep(Exception):
    """A document that is given up without reading it to its end."""

    def __init__(self, mark: Any) -> None:
        self.mark = mark
        super().__init__()


@dataclass(slots=True)
class _Frame:
    """A mapping or a list that is being read."""

    line: int
    anchor: str | None
    items: list[object] | None
    """The entries of a list, `None` for a mapping."""
    item_lines: list[Lines] = field(default_factory=list)
    entries: dict[str, object] = field(default_factory=dict)
    entry_lines: dict[str, Lines] = field(default_factory=dict)
    key: str | None = None
    key_line: int = 0
    merging: bool = False
    """Whether the value that comes next belongs to the merge key `<<`."""
    merged: list[tuple[object, Lines]] = field(default_factory=list)
    size: int = 1
    """How many values this stands for, aliases followed."""


class Builder:
    """Turns the parser's events into values, without recursion, so that no nesting can exhaust a stack."""

    def __init__(self, file: str, base: int, manifests: list[Manifest], problems: list[Problem]) -> None:
        self._file = file
        self._base = base + 1
        self._manifests = manifests
        self._problems = problems
        self._begin()

    def _begin(self) -> None:
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[object, Lines, int]] = {}
        self._aliased = 0
        self.broken = False
        """Whether the document is given up, with its problem listed already."""
        self._depth = 0
        self._root: tuple[object, Lines] | None = None

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the parser; `TooDeep` when the document must not be read any further."""
        kind = type(event)
        if kind is yaml.DocumentStartEvent:
            self._begin()
        elif kind is yaml.DocumentEndEvent:
            self._finish()
        elif isinstance(event, yaml.ScalarEvent):
            if not self.broken:
                self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise TooDeep(event.start_mark)
            if not self.broken:
                self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
            if not self.broken:
                self._close()
        elif isinstance(event, yaml.AliasEvent) and not self.broken:
            self._alias(event)

    def _finish(self) -> None:
        if self._root is not None and not self.broken and self._root[0] is not None:
            value, lines = self._root
            self._manifests.append(Manifest(value, lines, lines[0] if isinstance(lines, tuple) else lines))
        self.broken = False

    def _line(self, event: yaml.Event) -> int:
        mark = event.start_mark
        return self._base if mark is None else self._base + mark.line

    def _problem(self, line: int, message: str, hint: str = "") -> None:
        self._problems.append(Problem(message, self._file, line, hint=hint))

    def _break(self, line: int, message: str, hint: str = "") -> None:
        """Give the document up; the next one is read."""
        self._problem(line, message, hint)
        self.broken = True

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = self._line(event)
        text: str = event.value
        if self._wants_key():
            self._key(text, line, not event.style)
            return
        tag = event.tag
        value: object = text
        if tag is None:
            if event.implicit[0]:
                value = resolve(text)
        elif tag != "!":
            value = self._tagged(tag, text, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, line, 1)
        self._put(value, line, 1)

    def _wants_key(self) -> bool:
        frame = self._stack[-1] if self._stack else None
        return frame is not None and frame.items is None and frame.key is None and not frame.merging

    def _key(self, text: str, line: int, plain: bool) -> None:
        frame = self._stack[-1]
        frame.key_line = line
        if text == "<<" and plain:
            frame.merging = True
            return
        if text in frame.entries:
            first = frame.entry_lines[text]
            at = first[0] if isinstance(first, tuple) else first
            self._problem(line, f"the key {text!r} is given twice in one mapping; the first is in line {at}")
        frame.key = text

    def _tagged(self, tag: str, text: str, line: int) -> object:
        """Return the value of a scalar with an explicit tag of YAML's own; others could construct anything."""
        value = resolve(text)
        match tag.removeprefix(_TAG):
            case "str":
                return text
            case "null" if value is None:
                return None
            case "bool" if isinstance(value, bool):
                return value
            case "int" if type(value) is int:
                return value
            case "float" if type(value) in (int, float):
                return float(text.replace("_", "")) if type(value) is float else value
        self._problem(line, f"the tag {_short(tag)} is not allowed here")
        return text

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        line = self._line(event)
        items: list[object] | None = None if isinstance(event, yaml.MappingStartEvent) else []
        if self._wants_key():
            self._break(line, "a key must be text, not a mapping or a list", "if this is a template, render it first")
            return
        if event.tag is not None and event.tag not in ("!", _TAG + ("map" if items is None else "seq")):
            self._problem(line, f"the tag {_short(event.tag)} is not allowed here")
        self._stack.append(_Frame(line, event.anchor, items))

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = self._line(event)
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None:
            inside = any(frame.anchor == name for frame in self._stack)
            why = "refers to what contains it" if inside else "has no anchor before it"
            self._break(line, f"the alias *{_short(name)} {why}")
            return
        value, lines, size = known
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._break(line, f"the aliases of this document stand for more than {MAX_ALIASED} values")
        elif self._wants_key():
            if isinstance(value, str):
                self._key(value, line, False)
            else:
                self._break(line, "a key must be text")
        else:
            self._put(value, lines, size)

    def _close(self) -> None:
        frame = self._stack.pop()
        value: object
        lines: Lines
        if frame.items is not None:
            value, lines = frame.items, (frame.line, frame.item_lines)
        else:
            self._merge(frame)
            value, lines = frame.entries, (frame.line, frame.entry_lines)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (value, lines, frame.size)
        self._put(value, lines, frame.size)

    def _put(self, value: object, lines: Lines, size: int) -> None:
        if not self._stack:
            self._root = (value, lines)
            return
        frame = self._stack[-1]
        frame.size += size
        if frame.items is not None:
            frame.items.append(value)
            frame.item_lines.append(lines)
        elif frame.merging:
            frame.merged.append((value, lines))
            frame.merging = False
        else:
            assert frame.key is not None, "a value of a mapping follows its key"
            frame.entries[frame.key] = value
            # A field is looked for where its key stands.
            frame.entry_lines[frame.key] = (frame.key_line, lines[1]) if isinstance(lines, tuple) else frame.key_line
            frame.key = None

    def _merge(self, frame: _Frame) -> None:
        """Add what `<<` brings: keys that are there win, then earlier mappings (YAML 1.1, merge key)."""
        for value, lines in frame.merged:
            for entries, entry_lines in _mappings(value, lines):
                if entries is None:
                    self._problem(frame.line, "the merge key << needs a mapping or a list of mappings")
                    continue
                for key, entry in entries.items():
                    if key not in frame.entries:
                        frame.entries[key] = entry
                        frame.entry_lines[key] = entry_lines[key]


def _mappings(value: object, lines: Lines) -> Iterator[tuple[dict[str, object] | None, dict[str, Lines]]]:
    children = lines[1] if isinstance(lines, tuple) else {}
    if isinstance(value, dict) and isinstance(children, dict):
        yield value, children
    elif isinstance(value, list) and isinstance(children, list):
        for entry, entry_lines in zip(value, children, strict=True):
            nested = entry_lines[1] if isinstance(entry_lines, tuple) else None
            if isinstance(entry, dict) and isinstance(nested, dict):
                yield entry, nested
            else:
                yield None, {}
    else:
        yield None, {}


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
