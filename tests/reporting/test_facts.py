"""What every report has to say of itself."""

from __future__ import annotations

import dataclasses

import pytest

from mirrorgate.reporting.facts import reading_facts, subject_words
from mirrorgate.reporting.report import Reading

PLAIN = Reading(("a", "b"), 3, 12, 12, 20, 0, (), 0, 0, 0, (), ())


def test_a_plain_reading_has_one_fact() -> None:
    """Nothing was left out, so nothing is excused."""
    assert reading_facts(PLAIN) == ["12 exchanges and 20 steps of evidence in 3 files of a, b."]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"filters": ("cluster x",)}, "before its results were seen"),
        ({"changes": ("min_pairs 5",)}, "chosen before the results were seen"),
        ({"missing": 2}, "are missing here"),
        ({"damaged": 1, "unreadable": 1}, "2 places cannot be read"),
        ({"carried": 7}, "7 earlier steps"),
    ],
)
def test_what_qualifies_the_verdict_is_said(change: dict[str, object], says: str) -> None:
    """Each in a sentence."""
    facts = reading_facts(dataclasses.replace(PLAIN, **change))  # type: ignore[arg-type]
    assert len(facts) == 2
    assert says in facts[1]


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ({}, ""),
        ({"primary": [{"ref": "a"}, {"ref": "b"}], "candidate": {"ref": "c", "model": "m"}}, "a, b → c m"),
        ({"candidate": {"ref": "c"}}, "c"),
        ({"primary": "x", "candidate": [1]}, ""),
        ({"primary": [5, {"ref": 5}], "candidate": {"ref": None}}, ""),
    ],
)
def test_subjects(subject: dict[str, object], words: str) -> None:
    """As far as they are known."""
    assert subject_words(subject) == words
