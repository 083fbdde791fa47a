"""The access log's lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.events import ConfigRefused, ExchangeDone, RequestsShed
from mirrorgate.telemetry.access_log import AccessLog, line
from mirrorgate.telemetry.samples import gather

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


def test_only_exchanges_are_logged(tmp_path: Path, done: Done) -> None:
    """Each has its line; other events have none; the counts are samples."""
    log = AccessLog(str(tmp_path / "log"))
    for number in range(3):
        log.handle(done(id=str(number)))
    log.handle(ConfigRefused(at=1.0, problems=2))
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(one)["id"] for one in lines] == ["0", "1", "2"]
    families = gather([log.samples], lambda where: pytest.fail(where))
    assert families["mirrorgate_access_log_lines_total"].cells == {(): 3}
    assert families["mirrorgate_access_log_dropped_total"].cells[("buffer_full",)] == 0


def test_what_is_shed_has_one_line(tmp_path: Path, done: Done) -> None:
    """It says for how many requests it stands."""
    log = AccessLog(str(tmp_path / "log"))
    log.handle(RequestsShed(done(status=503, refusal="overload"), 17, 425))
    log.close()
    [read] = [json.loads(one) for one in (tmp_path / "log").read_text().splitlines()]
    assert (read["requests"], read["local_reply"], read["downstream_remote_address"]) == (
        17, "overload", "10.0.0.1:5000",
    )  # fmt: skip


def test_no_destination_is_no_log(done: Done) -> None:
    """An empty option switches it off, and everything may still be called."""
    log = AccessLog("")
    log.handle(done())
    log.reopen()
    assert list(log.samples()) == []
    log.close()
