"""Our journal as a capture: what was said comes back in the shape of its API."""

import json
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.inference.apis import api_of
from mirrorgate.inference.assembling import assemble
from mirrorgate.replay.captured import Captured, Item, Passed, Skip
from mirrorgate.replay.journal_source import read_journal

CHOICE = {"index": 0, "finish_reason": "stop", "text": "hello", "reasoning": "", "refusal": "", "calls": []}


def record(path: str = "/v1/chat/completions", content: str = "full", **changes: Any) -> dict[str, Any]:
    """Return a record with what the source reads; `changes` are the primary's."""
    primary: dict[str, Any] = {
        "endpoint": "h:1", "model": "m", "status": 200, "outcome": "complete", "flag": "-", "shape": "completion",
        "streamed": False, "broken": "", "truncated": False, "bytes": 10, "connect": 0.1, "head": 0.2, "ttft": None,
        "e2e": 0.5, "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "choices": [CHOICE],
    }  # fmt: skip
    return {
        "schema": "mirrorgate.exchange/v1", "run": "r", "id": "a", "started": 1000.0, "mirror": "m",
        "policy": {"content": content},
        "request": {"method": "POST", "host": "h", "path": path, "model": "m", "target_model": "m", "bytes": 2,
                    "body": {"model": "m"}},
        "primary": primary | changes,
    }  # fmt: skip


def read(tmp_path: Path, *records: Any) -> list[Item]:
    """Write a journal and read it."""
    (tmp_path / "exchanges.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return list(read_journal(tmp_path))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_was_said_is_read_as_it_was(tmp_path: Path, path: str, streamed: bool) -> None:
    """Text, end, tokens and times come out of the rewritten answer as they went into the journal."""
    [entry] = read(tmp_path, record(path, streamed=streamed, ttft=0.3 if streamed else None))
    assert isinstance(entry, Captured)
    answer = entry.answer
    assert answer is not None
    kind = next(value.decode() for _, value in answer.headers)
    found = assemble(
        api_of(path), answer.status, kind, None, answer.chunks, answer.times, answer.upstream_started
    )  # fmt: skip
    assert not found.broken.value
    assert (found.choices[0].text, found.finish_reason) == ("hello", "stop")
    assert found.usage is not None
    assert found.usage.completion_tokens == 2
    assert found.timing.e2e == pytest.approx(0.5)
    if streamed and path in ("/v1/chat/completions", "/v1/completions"):
        assert found.timing.ttft == pytest.approx(0.3)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_tool_calls_come_back(tmp_path: Path, path: str) -> None:
    """With their names and arguments."""
    choice = CHOICE | {"text": "", "finish_reason": "tool_calls", "calls": [{"name": "f", "arguments": '{"x":1}'}]}
    [entry] = read(tmp_path, record(path, choices=[choice]))
    assert isinstance(entry, Captured)
    assert entry.answer is not None
    found = assemble(api_of(path), 200, "application/json", None, entry.answer.chunks, [], 0.0)
    [call] = found.choices[0].tool_calls
    assert (call.name, json.loads(call.arguments)) == ("f", {"x": 1})


def test_what_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    """Without content there is nothing to send, with redacted content nothing to compare with."""
    none, redacted, left = record(content="none"), record(content="redacted"), record(outcome="client_left")
    for number, each in enumerate((none, redacted, left)):
        each["id"] = str(number)
    first, second, third = read(tmp_path, none, redacted, left)
    assert first == Passed(Skip.NO_CONTENT)
    assert isinstance(second, Captured)
    assert isinstance(third, Captured)
    assert (second.answer, second.unanswered) == (None, Skip.REDACTED)
    assert third.unanswered is Skip.CLIENT_LEFT


def test_an_exchange_with_two_mirrors_is_sent_once(tmp_path: Path) -> None:
    """Its records stand side by side."""
    found = read(tmp_path, record(), record() | {"mirror": "n"}, record() | {"id": "b"})
    assert [each.id for each in found if isinstance(each, Captured)] == ["a", "b"]


def test_texts_that_the_journal_has_cut_are_no_answer(tmp_path: Path) -> None:
    """Half a text would be a difference that is ours."""
    [entry] = read(tmp_path, record(choices=[CHOICE | {"text": "long…"}]))
    assert isinstance(entry, Captured)
    assert entry.answer is None
