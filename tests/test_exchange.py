"""The states of an exchange, and what it tells at its end."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.errors import REPLIES, Refusal
from mirrorgate.events import ExchangeDone
from mirrorgate.exchange import TRANSITIONS, Exchange, State

LEGAL = {
    ("received", "reading"),
    ("received", "admitting"),
    ("reading", "admitting"),
    ("admitting", "forwarding"),
    ("forwarding", "responding"),
    ("forwarding", "admitting"),
    ("responding", "tunnel"),
} | {(state.value, "done") for state in State if state is not State.DONE}


def exchange(**facts: object) -> Exchange:
    return Exchange("x", 100.0, 100.0, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(State, State)), ids=lambda state: state.value)
def test_only_the_tables_transitions_are_possible(one: State, other: State) -> None:
    """Any other is a bug, which raises and changes nothing."""
    began = exchange(state=one)
    if (one.value, other.value) in LEGAL:
        began.to(other)
        assert began.state is other
    else:
        with pytest.raises(ValueError, match=f"cannot go from {one.value} to {other.value}"):
            began.to(other)
        assert began.state is one


def test_every_state_ends_and_can_be_reached() -> None:
    """The table names every state, and no exchange is caught in one."""
    assert set(TRANSITIONS) == set(State)
    assert all(State.DONE in after for state, after in TRANSITIONS.items() if state is not State.DONE)
    assert set().union(*TRANSITIONS.values()) == set(State) - {State.RECEIVED}


def test_an_answered_exchange_tells_what_is_known_of_it() -> None:
    """Every fact is carried over, and the upstream's answer has no refusal."""
    facts: dict[str, object] = {
        "method": "POST",
        "path": "/v1/completions",
        "authority": "example.com",
        "protocol": "HTTP/1.1",
        "listener": "default/gateway/http",
        "route": "default/route",
        "rule": 3,
        "cluster": "c",
        "pool": "InferencePool default/p",
        "endpoint": "10.0.0.1:8000",
        "model": "m",
        "target_model": "m-2",
        "request_id": "r",
        "user_agent": "curl",
        "forwarded_for": "1.2.3.4",
        "client": "127.0.0.1",
        "bytes_received": 10,
        "bytes_sent": 20,
        "status": 200,
        "queued": 0.25,
        "overhead": 0.001,
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "mirrored": 2,
        "attempts": 3,
    }
    began = exchange(**facts, head_at=100.5)
    done = began.finish(102.0)
    assert {name: getattr(done, name) for name in facts} == facts
    assert (done.id, done.started, done.duration, done.response_duration) == ("x", 100.0, 2.0, 0.5)
    assert (done.flag, done.details, done.refusal) == ("-", "via_upstream", "")
    assert (done.streamed, done.ttft, done.itl) == (False, None, None)
    assert began.state is State.DONE


def test_each_fact_arrives_under_its_own_name() -> None:
    """They are copied by their places in a run of fields: none is swapped with its neighbour."""
    worked_out = {"flag", "details", "refusal", "duration", "response_duration", "ttft", "itl"}
    names = [name for name in ExchangeDone.__struct_fields__ if name not in worked_out]
    assert set(names) <= set(Exchange.__struct_fields__)
    facts: dict[str, Any] = {name: f"its {name}" for name in names} | {"started": 5.0}
    done = Exchange(**facts, began=100.0, head_at=100.5, details="why").finish(102.0)
    assert {name: getattr(done, name) for name in names} == facts
    assert [getattr(done, name) for name in sorted(worked_out)] == ["why", 2.0, "-", None, "", 0.5, None]


def test_it_ends_once() -> None:
    """The second end is a bug."""
    began = exchange()
    began.finish(101.0)
    with pytest.raises(ValueError, match="from done to done"):
        began.finish(101.0)


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refused_exchange_tells_why(refusal: Refusal) -> None:
    """The flag and details are those of the table's row."""
    began = exchange()
    reply = began.refuse(refusal)
    assert reply is REPLIES[refusal]
    done = began.finish(101.0)
    assert (done.refusal, done.flag, done.details) == (refusal.value, reply.flag, reply.details)


def test_the_first_refusal_stays() -> None:
    """What came after it is a consequence; the caller still gets the row that it asked for."""
    began = exchange()
    began.refuse(Refusal.STREAM_IDLE)
    assert began.refuse(Refusal.INTERNAL) is REPLIES[Refusal.INTERNAL]
    done = began.finish(101.0)
    assert (done.refusal, done.flag) == ("stream_idle", "SI")


def test_details_that_are_known_better_win() -> None:
    """A cut answer keeps its flag."""
    began = exchange(details="upstream_reset_after_response_started{protocol_error}")
    began.refuse(Refusal.UPSTREAM_PROTOCOL)
    done = began.finish(101.0)
    assert (done.flag, done.details) == ("UPE", "upstream_reset_after_response_started{protocol_error}")


@pytest.mark.parametrize(
    ("pieces", "first", "last", "ttft", "itl"),
    [
        (0, None, None, None, None),
        (1, 100.5, 100.5, 0.5, None),
        (2, 100.5, 101.0, 0.5, 0.5),
        (5, 100.5, 102.5, 0.5, 0.5),
    ],
)
def test_the_latencies_of_a_stream(
    pieces: int, first: float | None, last: float | None, ttft: float | None, itl: float | None
) -> None:
    """TTFT is until the first piece, ITL the mean gap between pieces, which one piece does not have."""
    done = exchange(streamed=True, pieces=pieces, first_piece_at=first, last_piece_at=last).finish(103.0)
    assert (done.ttft, done.itl) == (ttft, itl)


def test_a_whole_answer_has_no_such_latencies() -> None:
    """Its pieces are the network's, not tokens."""
    done = exchange(streamed=False, pieces=5, first_piece_at=100.5, last_piece_at=102.5).finish(103.0)
    assert (done.ttft, done.itl) == (None, None)


@given(st.floats(-1e9, 1e10), st.floats(0, 1e6), st.lists(st.floats(0, 100), min_size=4, max_size=4).map(sorted))
def test_the_wall_clock_changes_no_duration(wall: float, began: float, later: list[float]) -> None:
    """It may be set to anything at any time; the start is told by it, and the rest counted by the other clock."""
    head, first, last, end = (began + seconds for seconds in later)
    facts = Exchange("x", wall, began, streamed=True, head_at=head, first_piece_at=first, last_piece_at=last, pieces=3)
    done = facts.finish(end)
    assert done.started == wall
    assert (done.duration, done.response_duration, done.ttft) == (end - began, head - began, first - began)
    assert done.itl == (last - first) / 2
    assert min(done.duration, done.response_duration or 0, done.ttft or 0, done.itl or 0) >= 0


def test_an_instant_is_told_by_the_wall_clock_of_the_start() -> None:
    """So that what is told of one exchange is in order."""
    assert Exchange("x", 1000.0, 50.0).unix(50.25) == 1000.25
