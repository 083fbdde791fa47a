"""The content view of a pair: what it says, and that nothing a flow may hold makes it fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import contentviews, flow, http
from mitmproxy.test import tflow

from mirrorgate.proxy.viewing.flow_pairs import LEG, MIRROR, NUMBERS, PRIMARY, SHADOWS, TRUNCATED
from mirrorgate.proxy.viewing.pair_view import PairContentview, pair_text
from mirrorgate.resources.shadow_policy import ShadowPolicySpec

CHAT = "/v1/chat/completions"
REQUEST = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
    }
)


def answer(text: str = "", status: int = 200, **message: Any) -> http.Response:
    """Return a chat completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    body = {"object": "chat.completion", "model": "m", "choices": [choice], "usage": {"completion_tokens": 3}}
    return http.Response.make(status, json.dumps(body), {"content-type": "application/json"})


class Pair:
    """A primary's flow and its candidate's, and a look-up that finds both."""

    def __init__(self, primary: http.Response | None, candidate: http.Response | None, numbers: Any = None) -> None:
        self.primary, self.candidate = tflow.tflow(), tflow.tflow()
        for held, response in ((self.primary, primary), (self.candidate, candidate)):
            held.live = False
            held.request = http.Request.make("POST", f"http://h{CHAT}", REQUEST, {"content-type": "application/json"})
            held.response = response
        self.primary.metadata |= {SHADOWS: [self.candidate.id], NUMBERS: {"m": numbers or {}}}
        self.candidate.metadata |= {LEG: "candidate", PRIMARY: self.primary.id, MIRROR: "m"}
        self.gone: set[str] = set()

    def lookup(self, id: str) -> flow.Flow | None:
        flows = {held.id: held for held in (self.primary, self.candidate) if held.id not in self.gone}
        return flows.get(id)

    def view(self) -> PairContentview:
        return PairContentview(self.lookup, lambda mirror: None, lambda held: None)

    def text(self, held: http.HTTPFlow, policy: ShadowPolicySpec | None = None) -> str:
        text = pair_text(held, self.lookup, lambda mirror: policy)
        assert text is not None
        return text


def test_either_flow_shows_the_words_that_differ() -> None:
    """The same text on both, with the numbers that the shadow process sent."""
    leg = {"ttft": 0.25, "status": 200, "outcome": "complete"}
    pair = Pair(
        answer("one two three"),
        answer("one 2 three"),
        {"outcome": "different", "summary": "they differ", "primary": leg},
    )
    text = pair.text(pair.primary)
    assert text == pair.text(pair.candidate)
    assert "one [-two-] three" in text
    assert "one {+2+} three" in text
    assert "summary: they differ" in text
    assert "0.2500 s" in text
    assert "guardrails: none differs" in text


def test_guardrails_that_the_candidate_loses() -> None:
    """By the policy's own limits."""
    legs = {"primary": {"ttft": 0.1, "outcome": "complete"}, "candidate": {"ttft": 2.0, "outcome": "complete"}}
    pair = Pair(answer("fine"), answer(""), legs)
    text = pair.text(pair.primary, ShadowPolicySpec.model_validate({"slo": {"ttft": "1s"}}))
    assert "emptiness: +1.00  # the candidate loses" in text
    assert "ttft_slo: +1.00  # the candidate loses" in text


def test_tool_calls_are_shown() -> None:
    """Name and arguments, on one line whatever is in them."""
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"a":\n 1}'}}

    pair = Pair(answer("", tool_calls=[call]), answer("no"))
    text = pair.text(pair.primary)
    assert '    - find({"a":  1})' in text
    assert "  candidate: none" in text
    assert "tool_calls: +1.00" in text


def test_failures_have_their_words() -> None:
    """An error's message in place of a text, and a leg that got nothing."""
    error = http.Response.make(500, b'{"error": {"message": "out of memory"}}', {"content-type": "application/json"})
    pair = Pair(answer("fine"), error)
    assert "out of memory" in pair.text(pair.primary)
    pair = Pair(answer("fine"), None)
    assert "status:             200                   none" in pair.text(pair.primary)


def test_what_is_gone_is_said() -> None:
    """A flow that was removed, a body that was not kept, an answer that was cut."""
    pair = Pair(answer("fine"), answer("fine"))
    pair.gone.add(pair.primary.id)
    assert "primary: its flow is not in the view any more" in pair.text(pair.candidate)
    pair = Pair(answer("fine"), answer("fine"))
    assert pair.primary.response is not None
    pair.primary.response.content = None
    text = pair.text(pair.primary)
    assert "(not kept)" in text
    assert "guardrails: unknown" in text
    pair = Pair(answer("fine"), answer("fine"))
    pair.candidate.metadata[TRUNCATED] = True
    assert "truncated" in pair.text(pair.primary)


def test_the_view_is_chosen_for_answers_of_pairs_only() -> None:
    """Requests, and flows that were not mirrored, keep the view that mitmproxy chooses."""
    pair = Pair(answer("fine"), answer("fine"))
    view = pair.view()
    assert pair.primary.response is not None
    told = contentviews.Metadata(flow=pair.primary, http_message=pair.primary.response)
    assert view.render_priority(b"", told) == 2
    assert view.render_priority(b"", contentviews.Metadata(pair.primary, http_message=pair.primary.request)) < 0
    assert view.render_priority(b"", contentviews.Metadata(tflow.tflow(resp=True))) < 0
    assert view.render_priority(b"", contentviews.Metadata()) < 0


@pytest.mark.parametrize(
    ("metadata", "comment", "words"),
    [
        ({}, "", "was not mirrored"),
        ({"mirrorgate.refused": "no_route"}, "404 NR", "refused: no_route"),
        ({NUMBERS: {"m": {}}}, "similar", "not in the view any more"),
    ],
)
def test_flows_without_a_pair_say_why(metadata: dict[str, Any], comment: str, words: str) -> None:
    """The view may be chosen by hand for any flow."""
    held = tflow.tflow(resp=True)
    held.metadata |= metadata
    held.comment = comment
    view = Pair(None, None).view()
    assert words in view.prettify(b"", contentviews.Metadata(held))
    assert view.prettify(b"", contentviews.Metadata(tflow.ttcpflow() if hasattr(tflow, "ttcpflow") else None))


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    body=st.binary(max_size=200) | st.builds(lambda value: json.dumps(value, default=repr).encode(), _plain),
    type=st.sampled_from(["application/json", "text/event-stream", "text/plain", "\udcff", ""]),
    encoding=st.sampled_from(["", "gzip", "br", "nonsense"]),
    metadata=st.fixed_dictionaries({}, optional={SHADOWS: _plain, NUMBERS: _plain, LEG: _plain, PRIMARY: _plain}),
)
def test_nothing_makes_it_fail(body: bytes, type: str, encoding: str, metadata: dict[str, Any]) -> None:
    """Any body under any type, and metadata that somebody has written by hand."""
    fields = http.Headers(((b"content-type", type.encode("utf-8", "surrogateescape")),))
    if encoding:
        fields["content-encoding"] = encoding
    response = http.Response(b"HTTP/1.1", 200, b"OK", fields, body, None, 0.0, 1.0)
    pair = Pair(response, answer("fine"))
    view = pair.view()
    for held in (pair.primary, pair.candidate):
        text = view.prettify(body, contentviews.Metadata(held, http_message=held.response))
        assert "cannot be shown" not in text
        held.metadata |= metadata
        told = contentviews.Metadata(held, http_message=held.response)
        view.render_priority(body, told)
        assert "cannot be shown" not in view.prettify(body, told)
