"""Asks: each has one right answer, which no other ask has."""

from __future__ import annotations

import pytest

from mirrorgate.testing.chaos.asks import ENDLESS, Ask, wire


@pytest.mark.parametrize("stream", [False, True])
def test_answers_are_told_apart(stream: bool) -> None:
    """What a server sends for one id holds the answer of that id and of no other."""
    one, other = (Ask(id, "calm.test", stream=stream) for id in ("ask-1", "ask-2"))
    assert one.answer() != other.answer()
    assert b"ask-1/11 " in wire("ask-1", 12, stream)
    assert b"ask-2" not in wire("ask-1", 12, stream)


def test_the_beginning_of_an_answer() -> None:
    """Every beginning is right, and one wrong byte is not."""
    ask = Ask("ask-1", "calm.test")
    right = ask.answer()
    assert all(ask.begins(right[:end]) for end in range(len(right) + 1))
    assert not ask.begins(right[:10] + b"!")
    assert not ask.begins(right + b"!")


def test_the_beginning_of_an_answer_without_end() -> None:
    """It repeats itself."""
    ask = Ask("ask-1", "calm.test", faults={"primary": "endless"})
    assert ask.begins(ENDLESS * 3 + ENDLESS[:4])
    assert not ask.begins(ENDLESS[1:])
