"""Label values that clients choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.telemetry.labels import OTHER, CappedLabel, code_class, operation


@given(st.lists(st.tuples(st.text(), st.booleans())))
def test_the_cap_holds(values: list[tuple[str, bool]]) -> None:
    """There are never more labels than the limit, `other` and the empty one; each can be written as UTF-8."""
    label = CappedLabel(3)
    seen = {label.of(value, proven=proven) for value, proven in values}
    assert len(seen - {OTHER, ""}) <= 3
    for text in seen:
        text.encode()
        assert text.isprintable()


def test_places_are_kept() -> None:
    """A value with a place keeps it, also when a later request for it fails; empty stays empty."""
    label = CappedLabel(1)
    assert label.of("a", proven=False) == OTHER
    assert label.of("a", proven=True) == "a"
    assert label.of("a", proven=False) == "a"
    assert label.of("b", proven=True) == OTHER
    assert label.of("", proven=False) == ""
    assert (len(label), label.overflowed) == (1, 2)


def test_declared_values_are_never_refused() -> None:
    """What the configuration names has its place beyond the limit too."""
    label = CappedLabel(1)
    label.declare(["a", "b"])
    assert [label.of(value, proven=False) for value in ("a", "b", "c")] == ["a", "b", OTHER]


def test_overlong_and_broken_values() -> None:
    """A name of a megabyte takes no place; lone surrogates and control characters are replaced."""
    label = CappedLabel()
    assert label.of("x" * 1_000_000, proven=True) == OTHER
    assert label.of("a\udce9\x1b[31m", proven=True) == "a?�[31m"


def test_a_cap_of_nothing_is_refused() -> None:
    """A limit below one is a mistake of the caller's."""
    with pytest.raises(ValueError, match="at least one"):
        CappedLabel(0)


@pytest.mark.parametrize(
    ("status", "label"), [(200, "2xx"), (599, "5xx"), (101, "1xx"), (0, "none"), (600, "none"), (-1, "none")]
)
def test_classes_of_status(status: int, label: str) -> None:
    """Five classes and none."""
    assert code_class(status) == label


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/v1/completions?x=/embeddings", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "chat"),
        ("/v1/messages", "chat"),
        ("/v1/models", ""),
        ("", ""),
    ],
)
def test_operations(path: str, name: str) -> None:
    """The path's end says which operation it is, the query does not."""
    assert operation(path) == name
