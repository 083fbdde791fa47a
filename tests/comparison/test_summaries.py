import json

import msgspec

from mirrorgate.comparison.pairs import compare
from mirrorgate.comparison.policy import ComparisonPolicy
from mirrorgate.comparison.summaries import details_of, numbers_of, summary_of
from mirrorgate.inference.apis import Api
from mirrorgate.inference.assembling import assemble
from mirrorgate.inference.completions import Completion

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
