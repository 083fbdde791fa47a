"""Flows of our capture and of mitmproxy itself."""

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.flow import Error
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from mirrorgate.replay.captured import BODY_LIMIT, Captured, Passed, Skip
from mirrorgate.replay.flow_source import captured_of, read_flows


def saved(*flows: Any) -> bytes:
    """Write flows as mitmproxy does."""
    stream = io.BytesIO()
    for flow in flows:
        FlowWriter(stream).add(flow)
    return stream.getvalue()


def test_a_flow_of_mitmproxy_s_own(captures: Any) -> None:
    """Request, answer and the times that a stock flow has."""
    [entry] = read_flows(io.BytesIO(saved(captures.flow(3))))
    assert isinstance(entry, Captured)
    assert (entry.id, entry.method, entry.path, entry.host) == ("flow-3", "POST", captures.path, "example.com")
    assert entry.started == 1000.0
    assert entry.answer is not None
    assert entry.answer.chunks == [captures.answer_body()]
    assert [round(at, 6) for at in entry.answer.times] == [0.3]


def test_times_of_a_stream_that_are_not_known_are_not_made_up(captures: Any) -> None:
    """A stock flow's event stream has one end and no first token."""
    flow = captures.flow()
    flow.response.headers["content-type"] = "text/event-stream"
    entry = captured_of(flow)
    assert isinstance(entry, Captured)
    assert entry.answer is not None
    assert entry.answer.times == []


def test_the_pieces_of_our_capture(captures: Any) -> None:
    """Lengths and times cut the body as it came; those that do not fit it are not believed."""
    flow = captures.flow()
    body = flow.response.content
    known = {"started": 1000.0, "lengths": [5, len(body) - 5], "micros": [100_000, 250_000], "outcome": "complete"}
    flow.metadata["mirrorgate.capture"] = known
    entry = captured_of(flow)
    assert isinstance(entry, Captured)
    assert entry.answer is not None
    assert entry.answer.chunks == [body[:5], body[5:]]
    assert entry.answer.times == [0.1, 0.25]
    known["lengths"] = [5, 6]
    entry = captured_of(flow)
    assert isinstance(entry, Captured)
    assert entry.answer is not None
    assert entry.answer.chunks == [body]


def test_why_there_is_no_answer_to_compare_with(captures: Any) -> None:
    """Left clients, refusals and bodies that were not kept are told apart."""
    left, refused, bodiless = captures.flow(1), captures.flow(2), captures.flow(3)
    left.error = Error("Client disconnected.")
    refused.metadata["mirrorgate.refused"] = "active_overflow"
    bodiless.response.data.content = None
    entries = [captured_of(flow) for flow in (left, refused, bodiless)]
    assert all(isinstance(entry, Captured) and entry.answer is None for entry in entries)
    assert [entry.unanswered for entry in entries if isinstance(entry, Captured)] == [
        Skip.CLIENT_LEFT,
        Skip.REFUSED,
        Skip.NO_ANSWER,
    ]


def test_what_is_no_request_of_ours_is_passed_by(captures: Any) -> None:
    """Other protocols, legs of a shadow, and requests whose body was not kept."""
    leg, bodiless = captures.flow(1), captures.flow(2)
    leg.request.headers["x-mirrorgate-leg"] = "candidate"
    bodiless.request.data.content = None
    found = list(read_flows(io.BytesIO(saved(tflow.ttcpflow(), leg, bodiless, tflow.tdnsflow()))))
    assert [each.reason for each in found if isinstance(each, Passed)] == [
        Skip.NOT_HTTP, Skip.SHADOW_LEG, Skip.NO_REQUEST_BODY, Skip.NOT_HTTP,
    ]  # fmt: skip


def test_damage_costs_its_record_only(captures: Any) -> None:
    """A record that is no flow inside its frame, and one that is larger than any, are passed by."""
    large = b"%d:%b," % (BODY_LIMIT + 1, b"x" * 10)
    data = saved(captures.flow(1)) + b"3:abc," + b"4:0:~~}" + saved(captures.flow(2)) + large
    found = list(read_flows(io.BytesIO(data)))
    assert [each.id if isinstance(each, Captured) else each.reason for each in found] == [
        "flow-1", Skip.DAMAGED, Skip.DAMAGED, "flow-2", Skip.DAMAGED,
    ]  # fmt: skip


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_bytes_can_be_read(data: bytes, cut: int) -> None:
    """No content raises, also where a real flow is cut or followed by anything."""
    whole = saved(tflow.tflow(resp=True))
    for content in (data, whole[:-cut] + data, whole + data):
        list(read_flows(io.BytesIO(content)))
