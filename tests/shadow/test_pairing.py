"""Pairs are complete when every leg and the primary are, whatever the order."""

from itertools import permutations
from typing import Any

import pytest

from mirrorgate.records import Leg
from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.shadow.pairing import PRIMARY_GRACE, ExchangeBook


def test_a_pair_is_ready_with_the_last_of_its_parts(new: Any) -> None:
    """In any order of primary, candidate and control there is one pair, after the last of the three."""
    targets = [new.target(1), new.target(2, leg=Leg.CONTROL)]
    for order in permutations(["primary", "candidate", "control"]):
        book = ExchangeBook()
        book.begin(new.started("a", targets), [0, 1], 0.0)
        found = []
        for part in order:
            assert not found
            if part == "primary":
                found = book.finish(new.finished("a"))
            else:
                index = 0 if part == "candidate" else 1
                found = book.answer("a", index, Answer(LegOutcome.COMPLETE, status=200 + index))
        (pair,) = found
        assert pair.answer.status == 200
        assert pair.control is not None
        assert pair.control.status == 201
        assert pair.target is targets[0]
        assert len(book) == 0


def test_each_candidate_makes_a_pair_as_soon_as_it_can(new: Any) -> None:
    """A candidate that hangs does not hold up the pair of another."""
    book = ExchangeBook()
    book.begin(new.started("a", [new.target(1), new.target(2)]), [0, 1], 0.0)
    assert book.finish(new.finished("a")) == []
    (first,) = book.answer("a", 1, Answer())
    assert first.index == 1
    assert "a" in book
    (second,) = book.answer("a", 0, Answer())
    assert second.index == 0
    assert first.sequence == second.sequence == 1
    assert "a" not in book


def test_a_target_that_was_not_sent_is_not_waited_for(new: Any) -> None:
    """Only the legs that began count."""
    book = ExchangeBook()
    book.begin(new.started("a", [new.target(1), new.target(2, leg=Leg.CONTROL)]), [0], 0.0)
    assert book.finish(new.finished("a")) == []
    (pair,) = book.answer("a", 0, Answer())
    assert pair.control is None


def test_what_never_completes_is_given_up_after_its_deadline(new: Any) -> None:
    """The deadline is the longest leg's timeout and a grace for the primary."""
    book = ExchangeBook()
    book.begin(new.started("a", [new.target(1, timeout=10.0), new.target(2, timeout=20.0)]), [0, 1], 100.0)
    assert book.overdue(119.9 + PRIMARY_GRACE) == []
    (late,) = book.overdue(120.0 + PRIMARY_GRACE)
    assert late.started.id == "a"
    assert book.finish(new.finished("a")) == []
    assert book.answer("a", 0, Answer()) == []
    assert len(book) == 0


def test_repeated_and_unknown_parts_change_nothing(new: Any) -> None:
    """A second answer, a second finish and foreign ids are ignored; a second begin is a bug."""
    book = ExchangeBook()
    started = new.started("a", [new.target(1)])
    book.begin(started, [0], 0.0)
    with pytest.raises(ValueError, match="cannot begin"):
        book.begin(started, [0], 0.0)
    assert book.answer("a", 0, Answer(status=1)) == []
    assert book.answer("a", 0, Answer(status=2)) == []
    assert book.answer("b", 0, Answer()) == []
    assert book.finish(new.finished("b")) == []
    (pair,) = book.finish(new.finished("a"))
    assert pair.answer.status == 1
    assert book.forget("a") is None
