"""Lines of the access log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.events import ExchangeDone
from mirrorgate.telemetry.access_lines import _values, line

Done = Callable[..., ExchangeDone]


def test_a_line_has_exactly_these_keys_and_values(done: Done) -> None:
    """Envoy's keys as Envoy spells them, then ours."""
    assert json.loads(line(done(path="/v1/chat/completions?api_key=sk-1", queued=0.0125))) == {
        "start_time": "2023-11-14T22:13:20.250Z",
        "method": "POST",
        "path": "/v1/chat/completions?api_key=[redacted]",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "bytes_received": 120,
        "bytes_sent": 2048,
        "duration": 2000.0,
        "response_duration": 200.0,
        "response_tx_duration": 1800.0,
        "upstream_host": "127.0.0.1:18001",
        "upstream_cluster": "httproute/default/chat/rule/0",
        "route_name": "httproute/default/chat/rule/0",
        ":authority": "example.com",
        "x-request-id": "r-1",
        "user_agent": "curl/8",
        "x-forwarded-for": "10.0.0.1",
        "downstream_remote_address": "10.0.0.1:5000",
        "listener": "default/gateway/http",
        "pool": "default/llama",
        "model": "llama",
        "target_model": "llama-v1",
        "streamed": True,
        "queued": 12.5,
        "ttft": 300.0,
        "itl": 20.0,
        "prompt_tokens": 10,
        "completion_tokens": 18,
        "mirrored": 1,
        "attempts": 0,
        "local_reply": None,
        "id": "x-1",
        "requests": 1,
    }


def test_what_is_not_known_is_null(done: Done) -> None:
    """As in Envoy's log."""
    unknown = dict.fromkeys(("response_duration", "ttft", "itl", "prompt_tokens", "completion_tokens"))
    empty = dict.fromkeys(
        ("route", "cluster", "pool", "endpoint", "listener", "model", "target_model", "user_agent", "request_id",
         "forwarded_for"), ""
    )  # fmt: skip
    changed = empty | unknown
    refused = done(
        status=404, flag="NR", details="route_not_found", refusal="no_route", streamed=False, mirrored=0, **changed
    )
    read = json.loads(line(refused))
    nulls = {key for key, value in read.items() if value is None}
    assert nulls == {
        "response_duration", "response_tx_duration", "upstream_host", "upstream_cluster", "route_name", "x-request-id",
        "user_agent", "x-forwarded-for", "listener", "pool", "model", "target_model", "ttft", "itl", "prompt_tokens",
        "completion_tokens",
    }  # fmt: skip
    assert read["local_reply"] == "no_route"


_anything = st.text(st.characters(codec=None), max_size=50)


@given(_anything, _anything, _anything)
def test_hostile_text_stays_inside_its_line(path: str, agent: str, model: str) -> None:
    """Whatever a client sends (line feeds, escapes, bytes that are no UTF-8): one line, ASCII controls escaped."""
    event = _plain(path=path, user_agent=agent, model=model)
    written = line(event)
    assert written.count(b"\n") == 1
    assert not any(byte < 0x20 for byte in written[:-1])
    assert json.loads(written)["response_code"] == 200


_numbers = st.floats(0, 1e6) | st.sampled_from((0.0, 0.0005, 1e-9, 1 / 3))
_maybe = st.none() | _numbers


@given(
    st.builds(
        dict,
        **dict.fromkeys(("method", "path", "flag", "details", "user_agent", "request_id", "client", "id"), _anything),
    ),
    st.builds(
        dict,
        duration=_numbers, queued=_numbers, response_duration=_maybe, ttft=_maybe, itl=_maybe,
        prompt_tokens=st.none() | st.integers(0, 10**9), completion_tokens=st.none() | st.integers(0, 10**9),
        status=st.integers(0, 599), bytes_sent=st.integers(0, 2**40), streamed=st.booleans(),
        mirrored=st.integers(0, 3),
    ),
)  # fmt: skip
def test_a_line_that_is_remembered_is_the_encoders(texts: dict[str, str], numbers: dict[str, Any]) -> None:
    """To the byte, the first and the second time; per cent signs are nothing special."""
    event = msgspec.structs.replace(_plain(**texts), **numbers, authority="100%b", route="a/%")
    try:
        expected = msgspec.json.encode(_values(event, 2)) + b"\n"
    except UnicodeEncodeError:
        assert json.loads(line(event, 2))
        return
    assert line(event, 2) == line(event, 2) == expected


def _plain(**changes: str) -> ExchangeDone:
    """A plain event; Hypothesis takes no function-scoped fixture."""
    plain = dict.fromkeys(
        ("id", "method", "path", "authority", "protocol", "flag", "details", "refusal", "listener", "route", "cluster",
         "pool", "endpoint", "model", "target_model", "request_id", "user_agent", "forwarded_for", "client"), ""
    )  # fmt: skip
    return ExchangeDone(
        **(plain | changes), started=1.0, status=200, bytes_received=0, bytes_sent=0, duration=0.0,
        response_duration=None, queued=0.0, rule=0, streamed=False, ttft=None, itl=None, prompt_tokens=None,
        completion_tokens=None, mirrored=0,
    )  # fmt: skip


def test_bytes_that_are_no_utf8_are_replaced(done: Done) -> None:
    """Header bytes arrive as lone surrogates; the rest of the line survives them."""
    read = json.loads(line(done(user_agent="caf\udce9", path="/\ud800")))
    assert read["user_agent"] == "caf?"
    assert read["path"] == "/?"
    assert read[":authority"] == "example.com"


def test_overlong_text_is_cut(done: Done) -> None:
    """A header of a megabyte does not become a line of a megabyte."""
    assert len(line(done(user_agent="x" * 1_000_000, path="/" + "y" * 1_000_000, request_id="z" * 60_000))) < 14_000
