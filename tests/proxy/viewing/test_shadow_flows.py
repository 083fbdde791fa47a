"""The shadow's flows: made of frames, next to their primary, bounded, and readable by every mitmproxy."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import msgspec
import pytest
from mitmproxy import http
from mitmproxy.addons.view import View
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import taddons, tflow

from mirrorgate.proxy.viewing.flow_pairs import NUMBERS, SHADOWS
from mirrorgate.proxy.viewing.shadow_flows import CONTENT_LIMIT, ShadowFlows, comment_of, flow_of, shadow_body
from mirrorgate.records import Leg, LegContent

CONTENT = LegContent(
    id="", leg=Leg.CANDIDATE, cluster="m", ref="Service s", endpoint="10.0.0.1:8000", method="POST",
    path="/v1/chat/completions", model="next", request_headers=[(b"host", b"h")], outcome="complete", detail="",
    status=200, headers=[(b"content-type", b"text/plain")], body=b"hello", truncated=False, sent=0.01, head_at=0.1,
    finished=0.2,
)  # fmt: skip


@pytest.fixture
def view() -> Iterator[View]:
    """Return mitmproxy's view, as an addon of a master."""
    view = View()
    with taddons.context(view):
        yield view


def primary_of(body: bytes = b'{"model": "now"}') -> http.HTTPFlow:
    """Return a finished flow of a client."""
    flow = tflow.tflow(resp=True)
    flow.live = False
    flow.request.content = body
    return flow


def content(primary: http.HTTPFlow, **fields: object) -> LegContent:
    """Return a leg of a primary's exchange."""
    return msgspec.structs.replace(CONTENT, id=primary.id, **fields)


def test_a_leg_is_a_flow_of_its_own() -> None:
    """With its own request, endpoint, times and id, right behind its primary."""
    primary = primary_of()
    flow = flow_of(content(primary), primary)
    again = flow_of(content(primary), primary)
    assert flow.id == again.id != primary.id
    assert json.loads(flow.request.content or b"") == {"model": "next"}
    assert (flow.request.host, flow.request.port) == ("10.0.0.1", 8000)
    assert flow.response is not None
    assert flow.response.content == b"hello"
    assert flow.response.timestamp_end == pytest.approx(primary.request.timestamp_start + 0.2)
    assert 0 < flow.timestamp_created - primary.timestamp_created < 1e-3
    assert flow.live is False


@pytest.mark.parametrize("endpoint", ["10.0.0.1:8000", "[::1]:80", "name:1", "", "odd"])
def test_an_unmodified_mitmproxy_reads_it(endpoint: str) -> None:
    """Written and read back, it is the same flow, whatever its endpoint's form."""
    primary = primary_of()
    flow = flow_of(content(primary, endpoint=endpoint, outcome="reset", detail="broken", truncated=True), primary)
    file = io.BytesIO()
    FlowWriter(file).add(flow)
    file.seek(0)
    [read] = FlowReader(file).stream()
    assert read.get_state() == flow.get_state()


def test_a_leg_without_an_answer_is_an_error() -> None:
    """The reason stands where mitmproxy shows errors."""
    primary = primary_of()
    flow = flow_of(content(primary, status=0, outcome="refused", detail="nobody listens"), primary)
    assert flow.response is None
    assert flow.error is not None
    assert flow.error.msg == "nobody listens"


def test_the_body_is_what_was_sent() -> None:
    """The leg's model, or the target model of the route; what is no JSON object stays, a large copy is not made."""
    primary = primary_of()
    assert shadow_body(primary, None) == b'{"model": "now"}'
    primary.metadata["mirrorgate.target_model"] = "target"
    assert shadow_body(primary, None) == b'{"model": "target"}'
    assert shadow_body(primary, "next") == b'{"model": "next"}'
    assert shadow_body(primary_of(b"no json"), "next") == b"no json"
    assert shadow_body(primary_of(b" " * (CONTENT_LIMIT + 1)), "next") is None


def test_the_oldest_are_taken_away(view: View) -> None:
    """By number and by bytes; the primaries stay, and know their shadows by id."""
    flows = ShadowFlows(view, 3, 100_000)
    primaries = [primary_of() for _ in range(5)]
    for primary in primaries:
        view.add([primary])
        assert flows.add(content(primary), primary) is not None
        assert flows.add(content(primary), primary) is None, "the same leg is shown once"
    assert (len(flows), view.store_count()) == (3, 8)
    assert view.get_by_id(primaries[0].metadata[SHADOWS][0]) is None
    flows.configure(3, 10_000)
    assert (len(flows), flows.total <= 10_000) == (2, True)
    view.clear()
    assert (len(flows), flows.total) == (0, 0)


def test_none_are_shown_where_none_are_wanted(view: View) -> None:
    """A bound of 0 shows nothing, and one that is too large for the bytes is left out."""
    primary = primary_of()
    assert ShadowFlows(view, 0, 1000).add(content(primary), primary) is None
    assert ShadowFlows(view, 9, 1000).add(content(primary), primary) is None
    assert SHADOWS not in primary.metadata


def test_the_comment_has_both_latencies() -> None:
    """Words, similarity, TTFT and E2E; before the comparison is known, how the leg ended."""
    primary = primary_of()
    assert flow_of(content(primary), primary).comment == "candidate: complete"
    leg = {"ttft": 0.2, "e2e": 1.5}
    primary.metadata[NUMBERS] = {
        "m": {"outcome": "candidate_failed", "similarity": 0.5, "primary": {"ttft": 0.1, "e2e": 1.0}, "candidate": leg}
    }
    assert flow_of(content(primary), primary).comment == (
        "candidate: candidate failed, similarity 0.50, TTFT 200 ms (primary 100 ms), E2E 1500 ms (primary 1000 ms)"
    )
    assert comment_of(Leg.CONTROL, "timeout", None) == "control: timeout"
    primary.metadata[NUMBERS] = {"m": {"outcome": 3}}
    assert flow_of(content(primary), primary).comment == "candidate: complete", "somebody has edited the metadata"
