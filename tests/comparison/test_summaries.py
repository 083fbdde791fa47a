import json

import msgspec

from mirrorgate.comparison.pairs import compare
from mirrorgate.comparison.policy import ComparisonPolicy
from mirrorgate.comparison.summaries import details_of, numbers_of, summary_of
from mirrorgate.inference.apis import Api
from mirrorgate.inference.assembling import assemble
from mirrorgate.inference.completions import Completion
from mirrorgate.inference.requests import InferenceRequest, parse_request

POLICY = ComparisonPolicy()


def chat(text: str, finish: str = "stop", tokens: int = 3) -> Completion:
    usage = {"completion_tokens": tokens}
    body = {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage}
    return assemble(Api.CHAT, 200, "application/json", None, [json.dumps(body).encode()], [0.031], 0.0)


def failed(status: int) -> Completion:
    body = {"error": {"message": "the secret prompt was too long"}}
    return assemble(Api.CHAT, status, "application/json", None, [json.dumps(body).encode()], [0.044], 0.0)


def test_summaries_read_as_one_line() -> None:
    """Outcome first, then what differs, primary first."""
    same = summary_of(compare(chat("a"), chat("a"), None, POLICY))
    assert same == "candidate same: tokens 3 vs 3, e2e 31 ms vs 31 ms"
    different = summary_of(compare(chat("abcd"), chat("abxy", "length", 9), None, POLICY))
    assert different == "candidate different: similarity 0.50, finish stop vs length, tokens 3 vs 9, e2e 31 ms vs 31 ms"
    assert summary_of(compare(chat("a"), failed(503), None, POLICY)).startswith("candidate failed: status 503, ")
    assert "primary refuses" in summary_of(compare(chat("I can't help."), chat("Sure."), None, POLICY))
    assert "both refuse with status 400" in summary_of(compare(failed(400), failed(400), None, POLICY))


def test_what_changes_for_the_client_is_named() -> None:
    """Tool calls, invalid JSON, empty answers and the ends of exchanges have words."""

    def calling(arguments: str, name: str = "f") -> Completion:
        message = {"content": None, "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}
        body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        return assemble(Api.CHAT, 200, "application/json", None, [json.dumps(body).encode()], [0.0], 0.0)

    def said(primary: Completion, candidate: Completion, **asked: object) -> str:
        body = json.dumps({"model": "m", **asked}).encode()
        request = parse_request("POST", "/v1/chat/completions", None, body)
        assert isinstance(request, InferenceRequest)
        return summary_of(compare(primary, candidate, request, POLICY))

    tools = [{"function": {"name": name}} for name in "fg"]
    assert "tool calls of other arguments" in said(calling('{"a":1}'), calling('{"a":2}'), tools=tools)
    assert "tool calls of other functions" in said(calling("{}"), calling("{}", "g"), tools=tools)
    assert "candidate's tool call is invalid" in said(calling("{}"), calling("{"), tools=tools)
    assert "candidate's JSON is invalid" in said(chat("{}"), chat("{"), response_format={"type": "json_object"})
    assert "candidate is empty" in said(chat("a"), chat(""))
    cut = assemble(Api.CHAT, 200, "application/json", None, [], [], 0.0, outcome="timeout")
    assert said(chat("a"), cut).startswith("candidate failed: cut")
    left = assemble(Api.CHAT, 0, None, None, [], [], 0.0, outcome="client_left")
    assert said(left, chat("a")).startswith("not comparable: primary client left")
    none = assemble(Api.CHAT, 0, None, None, [], [], 0.0, outcome="connect_timeout")
    assert said(none, failed(500)).startswith("both failed: connect timeout and status 500")
    packed = [assemble(Api.CHAT, 200, None, "br", [body], [0.0], 0.0) for body in (b"a", b"b")]
    assert "content encoding" in said(*packed)
    part = assemble(Api.CHAT, 200, None, None, [b"{"], [0.0], 0.0, truncated=True)
    assert "larger than what is kept" in said(part, chat("a"))


def test_times_to_the_first_token_are_shown_for_streams() -> None:
    """Primary first."""
    event = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    pieces = [b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"]
    first, second = (assemble(Api.CHAT, 200, "text/event-stream", None, pieces, [at], 0.0) for at in (0.02, 0.05))
    assert summary_of(compare(first, second, None, POLICY)).startswith("candidate same: ttft 20 ms vs 50 ms")


def test_numbers_hold_no_content() -> None:
    """What every content policy may store has nothing that a client or a model wrote."""
    comparison = compare(
        chat("the secret answer"), failed(500), None, POLICY, candidate_headers=[(b"x-trace", b"the secret value")]
    )
    stored = msgspec.json.encode(numbers_of(comparison))
    assert b"secret" not in stored
    assert b"x-trace" in stored
    assert "secret" not in summary_of(comparison)
    assert b"secret" in msgspec.json.encode(details_of(comparison))


def test_details_are_short() -> None:
    """Long values are cut and containers counted."""

    def body(value: object) -> Completion:
        return assemble(None, 200, "application/json", None, [json.dumps(value).encode()], [0.0], 0.0)

    found = details_of(compare(body({"a": "x" * 9000, "b": 1}), body({"a": 1, "b": [1, 2]}), None, POLICY))
    first, second = found["structure"]
    assert len(first["primary"]) == 501
    assert second == {"path": "$.b", "change": "type", "primary": 1, "candidate": "array of 2"}
