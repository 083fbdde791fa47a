"""The worst pairs are those that speak most against the candidate, in whatever order they are seen."""

import random
from typing import Any

import pytest

from mirrorgate.comparison.worst_pairs import WorstPairs, badness_of, worst_pair_of


def record(id: str = "a", similarity: float | None = 0.5, at: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Return as much of a journal's record as is read."""
    leg = {
        "endpoint": "127.0.0.1:1",
        "model": "m",
        "status": 200,
        "outcome": "complete",
        "broken": "",
        "ttft": None,
        "e2e": 1.0,
        "usage": {"completion_tokens": 3},
        "choices": [{"finish_reason": "stop"}],
        "errors": [],
    }
    values = {
        "id": id,
        "started": at,
        "route": "default/r",
        "outcome": "different",
        "similarity": similarity,
        "summary": "they differ",
        "request": {},
        "primary": leg,
        "candidate": leg,
    }
    return values | changes


def taken(worst: WorstPairs, entry: dict[str, Any], losses: dict[str, float]) -> None:
    if worst.wants(losses, entry["similarity"]):
        pair = worst_pair_of(entry, losses)
        assert pair is not None
        worst.take(pair)


@pytest.mark.parametrize(
    ("losses", "similarity", "expected"),
    [
        ({"errors": 1.0, "refusal": 0.0}, None, (2.0, "errors")),
        ({"truncation": 1.0}, 0.75, (1.25, "truncation")),
        ({"errors": 0.0}, 0.75, (0.25, "different")),
        ({"errors": -1.0}, 1.0, (0.0, "different")),
        ({}, None, (0.0, "different")),
        ({"mine": 0.5, "errors": 0.0}, 0.5, (1.0, "mine")),
    ],
)
def test_badness(losses: dict[str, float], similarity: float | None, expected: tuple[float, str]) -> None:
    """The greatest loss counts, and then how far apart the answers are."""
    assert badness_of(losses, similarity) == expected


def test_any_order_keeps_the_same() -> None:
    """Three of each kind, the latest of equally bad ones, the worst first; twelve are shown."""
    entries = [(record(f"e{n}", None, float(n)), {"errors": 1.0}) for n in range(9)]
    entries += [(record(f"d{n}", n / 10, float(n)), {"errors": 0.0}) for n in range(11)]
    entries += [(record(f"k{n}", 0.5, 1.0), {f"kind{n}": 0.5}) for n in range(20)]
    kept = []
    for seed in range(5):
        worst = WorstPairs()
        random.Random(seed).shuffle(entries)
        for entry, losses in entries:
            taken(worst, entry, losses)
        kept.append([pair.id for pair in worst.all()])
        assert len(worst.shown()) == 12
    assert kept[0][:3] == ["e8", "e7", "e6"]
    assert {"d0", "d1", "d2"} <= set(kept[0])
    assert "d3" not in kept[0]
    assert all(each == kept[0] for each in kept)


def test_a_pair_is_kept_once() -> None:
    """A record that is read twice is one pair, and a pair that speaks for the candidate none."""
    worst = WorstPairs()
    for _ in range(3):
        taken(worst, record(), {"errors": 1.0})
        taken(worst, record("good", 1.0), {"errors": -1.0})
    assert [pair.id for pair in worst.all()] == ["a"]


def test_without_content_there_are_numbers_only() -> None:
    """What the journal does not keep cannot be shown."""
    pair = worst_pair_of(record(), {"errors": 0.0, "refusal": 1.0})
    assert pair is not None
    assert (pair.primary.spans, pair.prompt, pair.losses) == (None, None, {"refusal": 1.0})
    assert (pair.candidate.finish_reason, pair.candidate.completion_tokens) == ("stop", 3)


def test_content_is_shown_with_its_differing_words() -> None:
    """Texts, tool calls and errors; long ones are cut, and of the prompt the end of the last turn is shown."""

    def leg(**choice: Any) -> dict[str, Any]:
        fields = {"finish_reason": "stop", "text": "", "reasoning": "", "refusal": "", "calls": []}
        return record()["primary"] | {"choices": [fields | choice]}

    pair = worst_pair_of(
        record(
            primary=leg(text="it is red"),
            candidate=leg(text="it is blue", calls=[{"name": "f", "arguments": "{}"}]),
            request={"body": {"messages": [{"content": "no"}, {"content": [{"type": "text", "text": "what?"}, {}]}]}},
        ),
        {"errors": 0.0},
    )
    assert pair is not None
    assert pair.primary.spans == [("it is ", False), ("red", True)]
    assert "".join(text for text, _ in pair.candidate.spans or []) == "it is bluef({})\n"
    assert pair.prompt == "what?"
    failed = record()["primary"] | {"choices": [], "errors": [{"message": "no memory"}], "detail": ""}
    pair = worst_pair_of(
        record(primary=leg(text="x" * 5000), candidate=failed, request={"body": {"prompt": "y" * 5000}}), {}
    )
    assert pair is not None
    assert pair.candidate.spans == [("no memory", True)]
    assert len("".join(text for text, _ in pair.primary.spans or [])) == 1201
    assert pair.prompt is not None
    assert len(pair.prompt) == 1201


@pytest.mark.parametrize(
    "damage",
    [
        {"primary": None},
        {"candidate": {}},
        {"summary": 3},
        {"request": []},
        {"started": "today"},
        {"primary": record()["primary"] | {"choices": [3]}},
    ],
)
def test_a_damaged_record_is_no_pair(damage: dict[str, Any]) -> None:
    """Whatever is in a journal, nothing is raised."""
    assert worst_pair_of(record(**damage), {"errors": 1.0}) is None


@pytest.mark.parametrize("body", [None, 3, [], {"messages": 3}, {"messages": []}, {"input": [3]}, {"prompt": [[1, 2]]}])
def test_any_body_has_a_prompt_or_none(body: Any) -> None:
    """A body may be whatever a client sent."""
    assert worst_pair_of(record(request={"body": body}), {}) is not None
