"""Tests of reading manifests: values, lines, and texts that mean harm."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.manifest import MAX_DEPTH, MAX_SYNTAX_PROBLEMS, read
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
        ("a", "a"),
        ("80", 80),
        ("-1", -1),
        ("+1", 1),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("-0x10", -16),
        ("0b101", 5),
        ("089", "089"),
        ("0x", "0x"),
        ("0b_", "0b_"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".", "."),
        ("-", [None]),
        ("1:30", "1:30"),
        ("2025-04-21T08:00:00Z", "2025-04-21T08:00:00Z"),
        ("2025-04-21", "2025-04-21"),
        ("127.0.0.1", "127.0.0.1"),
        (".inf", ".inf"),
        ("9" * 50, "9" * 50),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
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
def test_values_are_what_kubernetes_reads(text: str, value: object) -> None:
    """Times, sexagesimals and infinities are text; keys are text; YAML 1.1's booleans are booleans."""
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    ["a: 1\r\nb: 2\r\n", "\ufeffa: 1\nb: 2\n", "---\n# nothing\n---\na: 1\nb: 2\n...\n", "%YAML 1.1\n---\na: 1\nb: 2"],
)
def test_line_ends_marks_and_empty_documents(text: str) -> None:
    """CRLF, a byte order mark, comments, directives and empty documents are all right."""
    assert value_of(text) == {"a": 1, "b": 2}


def test_no_documents_at_all() -> None:
    """An empty text declares nothing."""
    for text in ("", "\ufeff", "---\n---\n", "# only words\n", "~"):
        assert read(text) == ([], [])


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
        ("a: 1\nb: 'x\n", 3, "cannot be read as YAML"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: 1\n\tb: 2\n", 2, "cannot be read as YAML"),
        ("a: 1\nb: \x01\n", 2, "holds a character that YAML does not allow"),
        ("a: 1\nb: \ud800\n", 2, "is not valid Unicode"),
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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: 1\n\tb: 2\n", "YAML indents with spaces, not with tabs"),
        ("a: {{- if .x }}: b\n", "if this is a template, render it first"),
        ("a: b\nc: {{ .Values.x }} d\n", "if this is a template, render it first"),
        ("a: {{ .Values.x }}\n", "if this is a template, render it first"),
        ("a: %{{ .Values.x }}\n", "if this is a template, render it first"),
    ],
)
def test_hints_for_usual_mistakes(text: str, hint: str) -> None:
    """Tabs and templates are the usual ones."""
    (problem,) = read(text)[1]
    assert problem.hint == hint


def test_one_bad_document_does_not_hide_the_others() -> None:
    """Reading goes on behind the next separator, with the right lines."""
    manifests, problems = read("a: 1\n---\nb: 'x\n---\nc: [\n---\nd:\n  e: 2\n", "f")
    assert [manifest.value for manifest in manifests] == [{"a": 1}, {"d": {"e": 2}}]
    assert [problem.line for problem in problems] == [4, 6]
    assert Place("f", 7, manifests[1].lines).at("d.e").line == 8


def test_a_file_full_of_errors_is_given_up() -> None:
    """Each error costs a new start, so their number is bounded."""
    problems = problems_of("a: 'b\n---\n" * 3000)
    assert len(problems) == MAX_SYNTAX_PROBLEMS + 1
    assert problems[-1][1] == "has more syntax errors, which are not listed"


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


CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="\ufeff")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(CHARACTERS),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text("abc.-/", min_size=1), children, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON.filter(lambda value: isinstance(value, dict | list)), st.booleans())
def test_json_is_read_as_json(value: object, escaped: bool) -> None:
    """JSON is YAML, escapes and all."""
    assert value_of(json.dumps(value, ensure_ascii=escaped, indent=1)) == value


def test_escaped_backslashes_are_no_escapes() -> None:
    """Only a true pair of surrogates is one character."""
    assert value_of(r'["\\ud83d\\ude00", "\ud83d\ude00"]') == ["\\ud83d\\ude00", "\U0001f600"]


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """Whatever a file holds, the answer is values and problems."""
    read(text)


@given(st.lists(st.sampled_from([*"-:?[]{}&*!|>%@`#,'\"<\n\t ab1", "---\n", "&a ", "*a ", "<<: ", "\n  ", "...\n"])))
def test_no_syntax_raises(parts: list[str]) -> None:
    """Nor does what looks like YAML."""
    manifests, _ = read("".join(parts))
    for manifest in manifests:
        assert manifest.line >= 1
