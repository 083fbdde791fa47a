"""Overrides: which answers are replaced, and by what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirrorgate.resources.traffic_limits import ResponseOverride
from mirrorgate.routing.overrides import Answered, Override, OverrideRedirect, Replacement, compile_overrides

OVERFLOW = Answered(503, "UO", "overflow", 'it "is"\nfull', "POST", "HTTP/1.1")


def compiled(*raw: dict[str, Any]) -> tuple[Override, ...]:
    return compile_overrides(ResponseOverride.model_validate(one, by_alias=True, by_name=False) for one in raw)


def override(match: dict[str, Any], **more: Any) -> Override:
    [found] = compiled({"match": match, "response": {}, **more})
    return found


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"statusCodes": [{"value": 503}]}, [503]),
        ({"statusCodes": [{"type": "Range", "range": {"start": 500, "end": 502}}, {"value": 404}]}, [404, 500, 502]),
        ({"responseHeaders": [{"name": "X-A", "value": {"value": "on"}}]}, [404, 500, 502, 503]),
        ({"responseHeaders": [{"name": "x-a", "value": {"value": "o"}}]}, []),
        ({"responseHeaders": [{"name": "x-a", "value": {"type": "Prefix", "value": "o"}}]}, [404, 500, 502, 503]),
        ({"responseHeaders": [{"name": "x-a", "value": {"type": "Suffix", "value": "n"}}]}, [404, 500, 502, 503]),
        (
            {"responseHeaders": [{"name": "x-a", "value": {"type": "RegularExpression", "value": "x|o."}}]},
            [404, 500, 502, 503],
        ),
        (
            {"responseHeaders": [{"name": "x-a", "value": {"type": "RegularExpression", "value": r"\Qon"}}]},
            [404, 500, 502, 503],
        ),
        ({"responseHeaders": [{"name": "x-b", "value": {"value": "on"}}]}, []),
        ({"statusCodes": [{"value": 404}], "responseHeaders": [{"name": "x-a", "value": {"value": "on"}}]}, [404]),
    ],
)
def test_matches(match: dict[str, Any], fits: list[int]) -> None:
    """One of the statuses and all of the header fields."""
    found = override(match)
    fields = [(b"X-A", b"on")]
    assert [status for status in (404, 500, 502, 503) if found.fits(status, fields, local=True)] == fits


@pytest.mark.parametrize(
    ("source", "local", "backend"), [(None, 1, 1), ("All", 1, 1), ("Local", 1, 0), ("Backend", 0, 1)]
)
def test_origins(source: str | None, local: int, backend: int) -> None:
    """The gateway's own answers, the servers', or both."""
    found = override({"statusCodes": [{"value": 503}]}, **({} if source is None else {"source": source}))
    assert (found.fits(503, [], local=True), found.fits(503, [], local=False)) == (bool(local), bool(backend))


def test_what_is_sent_instead() -> None:
    """A later value of a header that is set wins; a body that is not at hand leaves the answer as it is."""
    header = {"set": [{"name": "A", "value": "1"}, {"name": "a", "value": "2"}], "add": [{"name": "B", "value": "3"}]}
    response = {"contentType": "text/html", "statusCode": 200, "header": header, "body": {"inline": "x"}}
    redirect = {
        "hostname": "other.example",
        "statusCode": 301,
        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/"},
    }
    ref = {"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "c"}}
    match = {"match": {"statusCodes": [{"value": 503}]}}
    found = compiled(
        {**match, "response": response}, {**match, "redirect": redirect}, {**match, "response": {"body": ref}}
    )
    assert [one.action for one in found] == [
        Replacement(200, "text/html", "x", ((b"a", b"2"), (b"b", b"3"))),
        OverrideRedirect(301, None, "other.example", None, "/"),
    ]


def test_what_a_body_asks_of_the_answer() -> None:
    """Envoy's commands (measured), and the status is the one that is replaced."""
    body = (
        "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %PROTOCOL% %REQ(:METHOD)% 100%%: %LOCAL_REPLY_BODY%"
    )
    assert Replacement(529, None, body).text(OVERFLOW) == '503 UO overflow HTTP/1.1 POST 100%: it "is"\nfull'
    assert Replacement(529, None, "50% off").text(OVERFLOW) == "50% off"
    assert Replacement(None, None, None).text(OVERFLOW) == ""


def test_json_stays_json() -> None:
    """Whatever the text is that is put in."""
    text = Replacement(None, "application/json", '{"m": "%LOCAL_REPLY_BODY%"}').text(OVERFLOW)
    assert json.loads(text) == {"m": 'it "is"\nfull'}
