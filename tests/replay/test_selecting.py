"""What of a capture is sent, and what never by accident."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.replay.captured import Captured, Skip
from mirrorgate.replay.selecting import HeaderGlob, Selection, request_of, shard_of


def refusal(selection: Selection, entry: Captured) -> Skip | None:
    """Ask with the request that the entry holds."""
    return selection.refusal(entry, request_of(entry))


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/v1/chat/completions", True),
        ("GET", "/v1/models", True),
        ("HEAD", "/", True),
        ("POST", "/v1/files", False),
        ("DELETE", "/v1/chat/completions", False),
        ("PUT", "/x", False),
    ],
)
def test_only_what_changes_nothing_is_sent(captures: Any, method: str, path: str, sent: bool) -> None:
    """Inference may be asked again; other requests that could change something need a word."""
    entry = captures.entry(method=method, path=path)
    assert refusal(Selection(), entry) == (None if sent else Skip.UNSAFE_METHOD)
    assert refusal(Selection(all_methods=True), entry) is None


@pytest.mark.parametrize(
    ("path", "tools", "sent"),
    [
        ("/v1/responses", [{"type": "function", "name": "f"}], True),
        ("/v1/responses", [{"type": "mcp", "server_url": "https://x"}], False),
        ("/v1/responses", [{"type": "web_search"}], False),
        ("/v1/messages", [{"name": "f", "input_schema": {}}], True),
        ("/v1/messages", [{"type": "code_execution_20250522", "name": "c"}], False),
        ("/v1/chat/completions", [{"type": "function", "function": {"name": "f"}}], True),
    ],
)
def test_tools_that_the_server_executes_are_not_started(captures: Any, path: str, tools: Any, sent: bool) -> None:
    """A candidate that searches or runs code by itself would act on the world."""
    body = json.dumps(captures.body | {"tools": tools}).encode()
    entry = captures.entry(path=path, body=body)
    assert refusal(Selection(), entry) == (None if sent else Skip.SERVER_TOOLS)
    assert refusal(Selection(server_tools=True), entry) is None


def test_a_shadow_s_own_request_is_not_sent(captures: Any) -> None:
    """Neither a candidate's nor a replay's request is traffic."""
    entry = captures.entry(headers=[(b"X-Mirrorgate-Leg", b"candidate")])
    assert refusal(Selection(all_methods=True), entry) is Skip.SHADOW_LEG


@pytest.mark.parametrize(
    ("selection", "sent"),
    [
        (Selection(paths=("/v1/chat/*",)), True),
        (Selection(paths=("/v1/embeddings", "/v1/*")), True),
        (Selection(paths=("/v2/*",)), False),
        (Selection(models=("fake-*",)), True),
        (Selection(models=("other",)), False),
        (Selection(headers=(HeaderGlob.parse("Content-Type: application/*"),)), True),
        (Selection(headers=(HeaderGlob.parse("x-missing"),)), False),
        (Selection(statuses=("2xx",)), True),
        (Selection(statuses=("404", "5xx")), False),
        (Selection(since=1000.0, until=1000.5), True),
        (Selection(since=1000.1), False),
        (Selection(until=1000.0), False),
    ],
)
def test_filters(captures: Any, selection: Selection, sent: bool) -> None:
    """Each kind must fit; of one kind any."""
    assert refusal(selection, captures.entry(path="/v1/chat/completions?x=1")) == (None if sent else Skip.FILTERED)


@given(st.text(max_size=20), st.integers(1, 64))
def test_shards_are_a_partition(id: str, shards: int) -> None:
    """Every exchange belongs to exactly one part, whatever its id."""
    entry = Captured(id, "GET", "/", "", [], b"")
    taken = [part for part in range(1, shards + 1) if refusal(Selection(shard=(part, shards)), entry) is None]
    assert taken == [shard_of(id, shards)]


@given(st.lists(st.uuids(), min_size=1, max_size=50, unique=True), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_smaller_sample_is_a_part_of_a_larger_one(ids: list[object], one: float, other: float) -> None:
    """So that what 5 % found is found again in 10 %."""
    small, large = sorted((one, other))
    for id in ids:
        entry = Captured(str(id), "GET", "/", "", [], b"")
        if refusal(Selection(sample=small), entry) is None:
            assert refusal(Selection(sample=large), entry) is None


def test_a_sample_by_header_takes_sessions_whole(captures: Any) -> None:
    """All requests of a user go together."""
    for user in range(20):
        entries = [captures.entry(str(n), headers=[(b"x-user", str(user).encode())]) for n in range(10)]
        assert len({refusal(Selection(sample=0.5, sample_by="X-User"), entry) for entry in entries}) == 1


def test_shard_and_sample_are_independent(captures: Any) -> None:
    """Half of a half is a quarter, and not nothing or a half."""
    selection = Selection(sample=0.5, shard=(1, 2))
    sent = sum(refusal(selection, captures.entry(str(n))) is None for n in range(1000))
    assert 180 < sent < 320
