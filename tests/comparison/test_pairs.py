import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.pairs import Outcome, PairComparison, compare
from mirrorgate.comparison.policy import ComparisonPolicy
from mirrorgate.inference.apis import Api
from mirrorgate.inference.assembling import assemble
from mirrorgate.inference.completions import Completion
from mirrorgate.inference.requests import InferenceRequest, parse_request

POLICY = ComparisonPolicy()


def chat(text: str = "Hello there, how are you?", finish: str = "stop", **extra: Any) -> Completion:
    message = {"role": "assistant", "content": text, **extra.pop("message", {})}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **extra}
    return assemble(Api.CHAT, 200, "application/json", None, [json.dumps(body).encode()], [1.0], 0.0)


def other(body: Any, status: int = 200, api: Api | None = None, **extra: Any) -> Completion:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    media = "application/json" if not isinstance(body, bytes) else "text/plain"
    return assemble(api, status, media, None, [raw], [1.0], 0.0, **extra)


def pair(primary: Completion, candidate: Completion, request: InferenceRequest | None = None) -> PairComparison:
    return compare(primary, candidate, request, POLICY)


def test_equal_answers_are_the_same() -> None:
    """Ids, form and usage do not count."""
    found = pair(chat("A b"), chat("A  b\n", id="y"))
    assert (found.outcome, found.exact, found.divergence_character) == (Outcome.SAME, True, None)
    assert (found.similarity, found.distance) == (1.0, 0.0)


def test_texts_are_similar_or_different() -> None:
    """Similarity decides, once nothing else differs."""
    assert pair(chat(), chat("Hello there, how are we?")).outcome is Outcome.SIMILAR
    assert pair(chat(), chat("Rain is expected tomorrow.")).outcome is Outcome.DIFFERENT
    assert pair(chat("I can't help with that today."), chat("I can help with that today.")).outcome is Outcome.DIFFERENT
    assert pair(chat(finish="stop"), chat(finish="length")).outcome is Outcome.DIFFERENT


def test_streamed_and_whole_answers_are_comparable() -> None:
    """How an answer came does not show in what it says."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hello there, how are you?"}, "finish_reason": "stop"}]}
    stream = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    streamed = assemble(Api.CHAT, 200, "text/event-stream", None, [stream], [1.0], 0.0)
    assert pair(chat(), streamed).outcome is Outcome.SAME


@pytest.mark.parametrize(
    ("primary", "candidate", "outcome"),
    [
        (chat(), other({"error": {"message": "x"}}, 500, Api.CHAT), Outcome.CANDIDATE_FAILED),
        (other({"error": "x"}, 429, Api.CHAT), chat(), Outcome.PRIMARY_FAILED),
        (other({"error": "x"}, 500, Api.CHAT), other({"error": "x"}, 503, Api.CHAT), Outcome.BOTH_FAILED),
        (other({"error": "x"}, 400, Api.CHAT), other({"error": "x"}, 400, Api.CHAT), Outcome.SAME),
        (other({"error": "x"}, 400, Api.CHAT), chat(), Outcome.PRIMARY_FAILED),
        (chat(), other({"error": "x"}, 404, Api.CHAT), Outcome.CANDIDATE_FAILED),
        (other(b"", 0, Api.CHAT, outcome="client_left"), chat(), Outcome.NOT_COMPARABLE),
        (chat(), other(b"", 0, Api.CHAT, outcome="timeout"), Outcome.CANDIDATE_FAILED),
        (chat(), other({"choices": []}, api=Api.CHAT), Outcome.CANDIDATE_FAILED),
        (chat(), other(b"{", api=Api.CHAT, truncated=True), Outcome.NOT_COMPARABLE),
    ],
)
def test_failures_have_a_side(primary: Completion, candidate: Completion, outcome: Outcome) -> None:
    """Who failed is named; a refusal that both agree in is an answer; the client's leaving is nobody's failure."""
    found = pair(primary, candidate)
    assert found.outcome is outcome
    assert found.scored is (primary.outcome != "client_left")
    if outcome is Outcome.CANDIDATE_FAILED:
        assert found.distance == 1.0


def test_tool_calls_are_compared_by_their_arguments() -> None:
    """Another form is the same call, another argument is not, a missing call is a difference."""

    def calls(arguments: str) -> Completion:
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        return chat("", "tool_calls", message={"tool_calls": [call]})

    assert pair(calls('{"a":1}'), calls('{ "a": 1 }')).outcome is Outcome.SAME
    assert (
        pair(calls('{"a":1,"b":2,"c":3,"d":4,"e":5}'), calls('{"a":1,"b":2,"c":3,"d":4,"e":6}')).outcome
        is Outcome.SIMILAR
    )
    different = pair(calls('{"a":1}'), chat("I would call f."))
    assert different.outcome is Outcome.DIFFERENT
    assert different.calls is not None


def test_json_answers_are_compared_by_structure_where_json_was_asked_for() -> None:
    """Paths into the text say what differs."""
    body = json.dumps({"model": "m", "response_format": {"type": "json_object"}}).encode()
    request = parse_request("POST", "/v1/chat/completions", None, body)
    assert isinstance(request, InferenceRequest)
    found = pair(chat('{"a":1,"b":[1]}'), chat('{"b":[2],"a":1}'), request)
    assert [each.path for each in found.structural_differences] == ["$.b[0]"]


def test_embeddings_by_cosine() -> None:
    """The angle decides."""

    def vectors(*numbers: float) -> Completion:
        return other({"data": [{"embedding": list(numbers)}]}, api=Api.EMBEDDINGS)

    assert pair(vectors(1, 0), vectors(2, 0)).outcome is Outcome.SAME
    assert pair(vectors(1, 0), vectors(1, 0.05)).outcome is Outcome.SIMILAR
    assert pair(vectors(1, 0), vectors(0, 1)).outcome is Outcome.DIFFERENT
    assert pair(vectors(1, 0), vectors(1, 0, 0)).outcome is Outcome.DIFFERENT


def test_anything_else_is_compared_as_json_or_bytes() -> None:
    """Bodies of other APIs have differences with paths, or characters."""
    found = pair(other({"a": 1, "id": "x"}), other({"a": 2, "id": "y"}))
    assert found.structure is not None
    assert [each.path for each in found.structure.differences] == ["$.a"]
    assert pair(other(b"abc"), other(b"abc")).outcome is Outcome.SAME
    assert pair(other(b"abc"), other(b"abd")).divergence_character == 2
    assert pair(other(b"abc"), other({"a": 1})).outcome is Outcome.DIFFERENT


def test_encodings_that_are_not_read() -> None:
    """Equal bytes are the same answer; different ones may be, and nobody knows."""

    def packed(body: bytes) -> Completion:
        return assemble(Api.CHAT, 200, "application/json", "br", [body], [1.0], 0.0)

    assert pair(packed(b"a"), packed(b"a")).outcome is Outcome.SAME
    found = pair(packed(b"a"), packed(b"b"))
    assert (found.outcome, found.distance, found.scored) == (Outcome.NOT_COMPARABLE, None, True)


def test_answers_of_other_shapes_differ() -> None:
    """An empty body is not the same as a JSON one."""
    assert pair(other(b""), other({"a": 1})).outcome is Outcome.DIFFERENT
    assert pair(other(b""), other(b"")).outcome is Outcome.SAME


def test_headers_and_length() -> None:
    """Header fields and lengths are reported, and change no outcome."""
    found = compare(
        chat("a b c d", usage={"completion_tokens": 4}),
        chat("a b c d", usage={"completion_tokens": 2}),
        None,
        POLICY.ignoring(headers=("X-Noise",)),
        primary_headers=[(b"X-Noise", b"1"), (b"x-a", b"1")],
    )
    assert ([each.name for each in found.headers], found.length_ratio) == (["x-a"], 0.5)
    assert found.outcome is Outcome.SAME


_answers = st.builds(
    chat, st.text(max_size=40) | st.sampled_from(["I can't.", "{}", "a " * 60]), st.sampled_from(["stop", "length"])
) | st.builds(
    other,
    st.recursive(st.integers() | st.text(max_size=3), lambda x: st.dictionaries(st.text(max_size=2), x), max_leaves=4),
    st.sampled_from([200, 400, 500]),
    st.sampled_from([None, *Api]),
)


@given(_answers, _answers)
def test_comparison_is_symmetric_and_reflexive(first: Completion, second: Completion) -> None:
    """An answer is the same as itself unless it failed; similarity does not know which side is which."""
    assert pair(first, first).outcome in (Outcome.SAME, Outcome.BOTH_FAILED)
    there, back = pair(first, second), pair(second, first)
    assert there.similarity == (back.similarity if back.similarity is None else pytest.approx(back.similarity))
    mirrored = {Outcome.PRIMARY_FAILED: Outcome.CANDIDATE_FAILED, Outcome.CANDIDATE_FAILED: Outcome.PRIMARY_FAILED}
    assert there.outcome == mirrored.get(back.outcome, back.outcome)
    assert there.similarity is None or 0.0 <= there.similarity <= 1.0
