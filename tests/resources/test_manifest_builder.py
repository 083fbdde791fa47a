"""Tests of what the builder makes of a parser's events: values, lines, aliases, and documents that mean harm."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mirrorgate.resources.manifest import read
from mirrorgate.resources.manifest_builder import MAX_DEPTH
from mirrorgate.resources.places import Place


def value_of(text: str) -> object:
    manifests, problems = read(text)
    assert problems == []
    (manifest,) = manifests
    return manifest.value


def problems_of(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.message) for problem in read(text, "f")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-", [None]),
        ("'80'", "80"),
        ('"yes"', "yes"),
        ("!!str 80", "80"),
        ("!!int 80", 80),
        ("!!float 80", 80),
        ("!!float 1.5", 1.5),
        ("!!bool yes", True),
        ("! 80", "80"),
        ("!!map {a: 1}", {"a": 1}),
        ("!!seq [1]", [1]),
        ("{a: !!null null, b: ~}", {"a": None, "b": None}),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("{1: a, true: b, ~: c}", {"1": "a", "true": "b", "~": "c"}),
        ('{"a": [1, "\\u00fc", null]}', {"a": [1, "ü", None]}),
    ],
)
def test_tags_quotes_and_keys(text: str, value: object) -> None:
    """Quoted scalars and keys are text; the tags of YAML itself may be given."""
    assert value_of(text) == value


TEXT = """\
# a comment
a:
  - b: 1
    c:
      d: x
  -
    e: |
      text
---
f: {g: [1,
        2]}
"""


def test_lines() -> None:
    """A field has the line of its key, an entry that of its first character."""
    first, second = read(TEXT)[0]
    place = Place("f", first.line, first.lines)
    lines = [place.at(path).line for path in ("a", "a[0]", "a[0].b", "a[0].c", "a[0].c.d", "a[1]", "a[1].e")]
    assert (first.line, lines) == (2, [2, 3, 3, 4, 5, 7, 7])
    place = Place("f", second.line, second.lines)
    assert (second.line, [place.at(path).line for path in ("f", "f.g", "f.g[1]")]) == (10, [10, 10, 11])


def test_anchors_and_merge_keys() -> None:
    """An alias is what it names; keys that are there win over merged ones, earlier mappings over later ones."""
    text = """\
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one: {<<: *base, b: 9}
two:
  <<: [*more, *base]
three: [*base, &s x, *s]
*s : 1
"""
    assert value_of(text) == {
        "base": {"a": 1, "b": 2},
        "more": {"b": 3, "c": 4},
        "one": {"a": 1, "b": 9},
        "two": {"a": 1, "b": 3, "c": 4},
        "three": [{"a": 1, "b": 2}, "x", "x"],
        "x": 1,
    }
    (manifest,) = read(text)[0]
    place = Place("f", 1, manifest.lines)
    assert (place.at("one.a").line, place.at("one.b").line, place.at("two.c").line) == (1, 3, 2)


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only the plain one merges."""
    assert value_of('{"<<": 1}') == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is given twice in one mapping; the first is in line 1"),
        ("a: {}\nb: 2\na: 3\n", 3, "the first is in line 1"),
        ("a: *b\n", 1, "the alias *b has no anchor before it"),
        ("a: 1\n---\na: &a [*a]\n", 3, "the alias *a refers to what contains it"),
        ("? [a]\n: b\n", 1, "a key must be text, not a mapping or a list"),
        ("a: &a 1\n*a : 2\n", 2, "a key must be text"),
        ("a: !!python/object:os.system x\n", 1, "is not allowed here"),
        ("a: !!int x\n", 1, "is not allowed here"),
        ("a: !!binary aGk=\n", 1, "is not allowed here"),
        ("a: !!set {b}\n", 1, "is not allowed here"),
        (f"a: !{'x' * 99} b\n", 1, "..."),
        ("a:\n  <<: 1\n", 2, "the merge key << needs a mapping or a list of mappings"),
        ("a:\n  <<: [{b: 1}, 2]\n", 2, "the merge key << needs a mapping or a list of mappings"),
    ],
)
def test_problems_have_their_line(text: str, line: int, words: str) -> None:
    """Each is found where it stands."""
    ((found, message),) = problems_of(text)
    assert found == line
    assert words in message


def laughs(levels: int) -> str:
    names = [f"n{index}" for index in range(levels)]
    lines = [f"{names[0]}: &{names[0]} [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in pairwise(names)]
    return "\n".join(lines)


def test_aliases_do_not_multiply() -> None:
    """A billion laughs end at the line where they become too many, few are all right."""
    assert problems_of(laughs(3)) == []
    ((line, message),) = problems_of(laughs(20))
    assert line == 6
    assert "aliases of this document stand for more than" in message


@pytest.mark.parametrize("unit", ["[", "{", "- ", "? ", "{a: ", "- ["])
def test_nesting_has_an_end(unit: str) -> None:
    """Neither a stack overflow nor quadratic time; the next document is read all the same."""
    manifests, problems = read(unit * 100_000 + "\n---\na: 1\n")
    assert problems
    assert [manifest.value for manifest in manifests] == [{"a": 1}]
    assert problems_of("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
