"""Tests of reading texts: documents, syntax errors, JSON, and anything at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.manifest import MAX_SYNTAX_PROBLEMS, read
from mirrorgate.resources.places import Place


def value_of(text: str) -> object:
    manifests, problems = read(text)
    assert problems == []
    (manifest,) = manifests
    return manifest.value


def problems_of(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.message) for problem in read(text, "f")[1]]


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


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 'x\n", 3, "cannot be read as YAML: while scanning a quoted scalar"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: 1\n\tb: 2\n", 2, "cannot be read as YAML"),
        ("a: 1\nb: \x01\n", 2, "holds a character that YAML does not allow"),
        ("a: 1\nb: \ud800\n", 2, "is not valid Unicode"),
    ],
)
def test_syntax_errors_have_their_line(text: str, line: int, words: str) -> None:
    """Each is found where it stands."""
    ((found, message),) = problems_of(text)
    assert found == line
    assert words in message


def test_a_document_that_is_given_up_has_one_problem() -> None:
    """What follows from it is not listed; an error in the next document is."""
    assert [line for line, _ in problems_of("a: {{ b }}: [\n---\na: @\n---\na: *b\n---\n@\n")] == [1, 3, 5, 7]


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
