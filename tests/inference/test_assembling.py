import gzip
import itertools
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.apis import Api
from mirrorgate.inference.assembling import assemble, percentile
from mirrorgate.inference.completions import ApiError, Broken, Choice, Completion, Shape, ToolCall, Usage

SSE = "text/event-stream; charset=utf-8"

VLLM_STREAM = (
    b'data: {"id":"chatcmpl-a620d2dfd0407dd8","object":"chat.completion.chunk","created":1795320345,"model":"smollm2",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],'
    b'"prompt_token_ids":null,"prompt_text":null}\n\n',
    b'data: {"id":"chatcmpl-a620d2dfd0407dd8","object":"chat.completion.chunk","created":1795320345,"model":"smollm2",'
    b'"choices":[{"index":0,"delta":{"content":"The"},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n',
    b'data: {"id":"chatcmpl-a620d2dfd0407dd8","object":"chat.completion.chunk","created":1795320345,"model":"smollm2",'
    b'"choices":[{"index":0,"delta":{"content":" and"},"logprobs":null,"finish_reason":"length","stop_reason":null,'
    b'"token_ids":null}]}\n\n',
    b'data: {"id":"chatcmpl-a620d2dfd0407dd8","object":"chat.completion.chunk","created":1795320345,"model":"smollm2",'
    b'"choices":[],"usage":{"prompt_tokens":37,"total_tokens":43,"completion_tokens":6},'
    b'"system_fingerprint":"vllm-0.32.0-cbc61a6e"}\n\n',
    b"data: [DONE]\n\n",
)
"""Recorded from vLLM 0.32.0."""

VLLM_WHOLE = (
    b'{"id":"chatcmpl-ac6f5f5b8e3cf2e3","object":"chat.completion","created":1795320344,"model":"smollm2","choices":['
    b'{"index":0,"message":{"role":"assistant","content":"The rainbow","refusal":null,"annotations":null,"audio":null,'
    b'"function_call":null,"reasoning":null},"logprobs":null,"finish_reason":"length","stop_reason":null,'
    b'"token_ids":null,"routed_experts":null}],"service_tier":null,"system_fingerprint":"vllm-0.32.0-cbc61a6e","usage":'
    b'{"prompt_tokens":37,"total_tokens":61,"completion_tokens":24,"prompt_tokens_details":null,'
    b'"completion_tokens_details":null},"prompt_logprobs":null,"kv_transfer_params":null,"metrics":null}'
)
"""Recorded from vLLM 0.32.0, shortened."""

VLLM_DIED = (
    b'data: {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", '
    b'"param": null, "code": 500}}\n\ndata: [DONE]\n\n'
)


def stream(*pieces: bytes, api: Api = Api.CHAT, status: int = 200, **extra: Any) -> Completion:
    times = [10.0 + index for index in range(len(pieces))]
    return assemble(api, status, SSE, None, pieces, times, 9.5, **extra)


def whole(body: bytes, api: Api | None = Api.CHAT, status: int = 200, **extra: Any) -> Completion:
    return assemble(api, status, "application/json", extra.pop("encoding", None), [body], [1.0], 0.5, **extra)


def event(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def test_vllm_stream() -> None:
    """The recorded stream gives its text, finish, usage and times."""
    answer = stream(*VLLM_STREAM)
    assert answer.choices == (Choice(0, "The and", finish_reason="length"),)
    assert (answer.model, answer.usage, answer.done, answer.ok) == ("smollm2", Usage(37, 6), True, True)
    assert (answer.events, answer.streamed, answer.shape) == (5, True, Shape.COMPLETION)
    assert (answer.timing.ttft, answer.timing.itl, answer.timing.e2e) == (1.5, (1.0,), 4.5)


def test_vllm_whole() -> None:
    """The recorded body gives the same shape, without times between tokens."""
    answer = whole(VLLM_WHOLE)
    assert answer.choices == (Choice(0, "The rainbow", finish_reason="length"),)
    assert (answer.usage, answer.ok, answer.timing.ttft, answer.timing.e2e) == (Usage(37, 24), True, None, 0.5)


def test_llama_cpp_stream() -> None:
    """llama.cpp's null content, separate finish chunk and usage with timings read the same."""
    answer = stream(
        chunk(role="assistant", content=None),
        chunk(content="Hi"),
        chunk(finish="stop"),
        event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "timings": {"x": 1.5}}),
        b"data: [DONE]\n\n",
    )
    assert answer.choices == (Choice(0, "Hi", finish_reason="stop"),)
    assert (answer.usage, answer.ok) == (Usage(1, 2), True)


def test_completions_stream_with_usage_in_the_last_content_event() -> None:
    """llama.cpp's streamed completions have no usage event of their own."""
    answer = stream(
        event({"choices": [{"index": 0, "text": " Paris", "finish_reason": None}]}),
        event({"choices": [{"index": 0, "text": ".", "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}),
        b"data: [DONE]",
        api=Api.COMPLETIONS,
    )
    assert (answer.text, answer.finish_reason, answer.ok) == (" Paris.", "stop", True)
    assert answer.usage == Usage(None, 2)


@pytest.mark.parametrize(
    ("pieces", "broken"),
    [
        ((chunk(content="a"), VLLM_DIED), Broken.ERROR_EVENT),
        ((chunk(content="a", finish="abort"), b"data: [DONE]\n\n"), Broken.ABORTED),
        ((chunk(content="a"),), Broken.NO_DONE_MARKER),
        ((chunk(content="a"), b"data: [DONE]\n\n"), Broken.NO_FINISH_REASON),
        ((b"data: {oops\n\n", chunk(finish="stop"), b"data: [DONE]\n\n"), Broken.MALFORMED),
        ((b"data: 7\n\n", b"data: [DONE]\n\n"), Broken.MALFORMED),
        ((b"data: [DONE]\n\n",), Broken.NO_CHOICES),
        ((), Broken.NO_DONE_MARKER),
        ((chunk(content="a", finish="stop"), b"data: [DO"), Broken.NO_DONE_MARKER),
    ],
)
def test_broken_streams_say_why(pieces: tuple[bytes, ...], broken: Broken) -> None:
    """A 200 is not enough: what is broken or missing has a name."""
    answer = stream(*pieces)
    assert (answer.broken, answer.ok) == (broken, False)


def test_how_the_exchange_ended_counts_first() -> None:
    """A cut connection and a body that was not kept whole are broken however good they look."""
    assert stream(*VLLM_STREAM, outcome="cut").broken is Broken.CUT
    assert stream(*VLLM_STREAM, truncated=True).broken is Broken.TRUNCATED
    assert stream(chunk(content="a"), VLLM_DIED).errors[0] == ApiError(
        "EngineCore encountered an issue.", "InternalServerError", "500"
    )


def test_tool_calls_come_in_fragments() -> None:
    """Fragments are joined by index; a repeated name counts once; calls of a choice may interleave."""

    def call(index: int, name: str, arguments: str, id: str = "") -> dict[str, Any]:
        return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}

    answer = stream(
        chunk(tool_calls=[call(0, "f", "", "a")]),
        chunk(tool_calls=[call(0, "f", '{"x"'), call(1, "g", "{", "b")]),
        chunk(tool_calls=[call(0, "", ":1}")]),
        chunk(tool_calls=[call(1, "g", "}")], finish="tool_calls"),
        b"data: [DONE]\n\n",
    )
    assert answer.choices[0].tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    assert len(answer.timing.itl) == 3


def test_several_choices_reasoning_and_refusal() -> None:
    """Choices are told apart by index, and so are the gaps between their tokens."""
    answer = stream(
        chunk(1, reasoning_content="r"),
        chunk(0, reasoning="s", content=[{"type": "text", "text": "a"}]),
        chunk(1, content="b", finish="stop"),
        chunk(0, refusal="no", finish="stop"),
        b"data: [DONE]\n\n",
    )
    first, second = answer.choices
    assert (first.text, first.reasoning, first.refusal) == ("a", "s", "no")
    assert (second.text, second.reasoning) == ("b", "r")
    assert answer.timing.itl == (2.0, 2.0)


def test_log_probabilities() -> None:
    """Chat's and completions' shapes give the same tokens; what no number can be is left out."""
    content = [
        {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]},
        {"token": "x", "logprob": None},
    ]
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": content}}]}
    chat = whole(json.dumps(body).encode()).choices[0].tokens
    parallel = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"b": -1.0}]}
    old = {"choices": [{"text": "a", "finish_reason": "stop", "logprobs": parallel}]}
    assert whole(json.dumps(old).encode(), Api.COMPLETIONS).choices[0].tokens == chat
    assert (chat[0].text, chat[0].logprob, chat[0].top) == ("a", -0.5, (("b", -1.0),))
    odd = body["choices"][0]["logprobs"]["content"]
    odd[1]["logprob"] = float("-inf")
    assert whole(json.dumps(body).encode()).choices[0].tokens == chat


def test_responses_stream_and_whole_agree() -> None:
    """Deltas and the response object give the same completion."""
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    thought = {"type": "reasoning", "summary": [{"text": "hm"}]}
    usage = {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}
    response = {"status": "completed", "model": "m", "output": [thought, message, call], "usage": usage}
    deltas = stream(
        event({"type": "response.created", "response": {"model": "m"}}, "response.created"),
        event({"type": "response.reasoning_text.delta", "delta": "hm", "output_index": 0}),
        event({"type": "response.output_text.delta", "delta": "H", "output_index": 1}),
        event({"type": "response.output_text.delta", "delta": "i", "output_index": 1}),
        event({"type": "response.output_item.added", "output_index": 2, "item": {**call, "arguments": ""}}),
        event({"type": "response.function_call_arguments.delta", "delta": "{}", "output_index": 2}),
        event({"type": "response.completed", "response": {**response, "output": []}}),
        api=Api.RESPONSES,
    )
    body = whole(json.dumps(response).encode(), Api.RESPONSES)
    assert deltas.choices == body.choices == (Choice(0, "Hi", "hm", "", (ToolCall("c", "f", "{}"),), "tool_calls"),)
    assert deltas.usage == body.usage == Usage(1, 2, None, 1)
    assert deltas.ok
    assert body.ok
    assert len(deltas.timing.itl) == 4


def test_responses_that_fail_or_stop_early() -> None:
    """Status and reason become errors and finish reasons."""
    failed = event({"type": "response.failed", "response": {"status": "failed", "error": {"message": "x"}}})
    assert stream(failed, api=Api.RESPONSES).broken is Broken.ERROR_EVENT
    short = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    assert whole(json.dumps(short).encode(), Api.RESPONSES).finish_reason == "length"
    assert stream(event({"type": "error", "message": "m"}), api=Api.RESPONSES).errors == (ApiError("m", "error"),)
    assert whole(b"{}", Api.RESPONSES).broken is Broken.NO_CHOICES


def test_messages_stream_and_whole_agree() -> None:
    """Anthropic's blocks and events give the same completion."""
    usage = {"input_tokens": 3, "output_tokens": 4}
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
    ]
    message = {"type": "message", "model": "m", "content": blocks, "stop_reason": "tool_use", "usage": usage}
    start = {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    pieces = [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_start", "index": 2, "content_block": tool},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"x"'}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ":1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    streamed = stream(*(event(piece, piece["type"]) for piece in pieces), api=Api.MESSAGES)
    body = whole(json.dumps(message).encode(), Api.MESSAGES)
    assert (
        streamed.choices == body.choices == (Choice(0, "Hi", "hm", "", (ToolCall("t", "f", '{"x":1}'),), "tool_calls"),)
    )
    assert streamed.usage == body.usage == Usage(3, 4)
    assert streamed.ok
    assert body.ok
    overloaded = event({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "error")
    assert stream(overloaded, api=Api.MESSAGES).errors == (ApiError("x", "overloaded_error"),)


def test_embeddings_as_numbers_and_as_base64() -> None:
    """Both encodings give the same vectors, in order of index."""
    numbers = {"data": [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": "AAAAPwAAgD8="}]}
    answer = whole(json.dumps(numbers).encode(), Api.EMBEDDINGS)
    assert (answer.shape, answer.embeddings, answer.ok) == (Shape.EMBEDDINGS, ((0.5, 1.0), (0.5, 1.0)), True)
    for bad in ("AAA", "AAAAPwA=", "*", "AADAfw==", [None], 7):
        broken = whole(json.dumps({"data": [{"embedding": bad}]}).encode(), Api.EMBEDDINGS)
        assert broken.broken is Broken.NO_CHOICES


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":"Unauthorized"}', ApiError("Unauthorized")),
        (b'{"detail":"Not Found"}', ApiError("Not Found")),
        (b'{"detail":[{"loc":1}]}', ApiError("invalid request")),
        (b'{"object":"error","message":"m","type":"t","code":404}', ApiError("m", "t", "404")),
        (
            b'{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError","param":"model",'
            b'"code":404}}',
            ApiError("The model `nope` does not exist.", "NotFoundError", "404"),
        ),
    ],
)
def test_error_bodies(body: bytes, error: ApiError) -> None:
    """Every shape of error that the servers use is read."""
    answer = whole(body, status=404)
    assert (answer.shape, answer.errors, answer.ok) == (Shape.ERROR, (error,), False)


def test_anything_else_is_json_or_bytes() -> None:
    """Bodies of other APIs are kept for a structural or a plain comparison."""
    assert whole(b'{"a":[1]}', None).value == {"a": [1]}
    plain = assemble(None, 200, "text/plain", None, [b"a", b"b"], [], 0.0)
    assert (plain.shape, plain.content, plain.ok, plain.timing.e2e) == (Shape.BYTES, b"ab", True, None)
    assert whole(b"{oops", None).broken is Broken.MALFORMED
    assert whole(b"<html>").broken is Broken.MALFORMED
    assert whole(b"", None, 204).ok
    assert whole(b"").broken is Broken.NO_CHOICES
    assert whole(b"[]").broken is Broken.MALFORMED


def test_content_encodings() -> None:
    """gzip and deflate are undone piece by piece; others and bombs are named."""
    packed = gzip.compress(b"".join(VLLM_STREAM))
    pieces = [packed[index : index + 7] for index in range(0, len(packed), 7)]
    answer = assemble(Api.CHAT, 200, SSE, "gzip", pieces, [1.0] * len(pieces), 0.0)
    assert (answer.text, answer.ok) == ("The and", True)
    assert whole(zlib.compress(VLLM_WHOLE), encoding="deflate").ok
    assert whole(VLLM_WHOLE, encoding="br").broken is Broken.UNSUPPORTED_ENCODING
    assert whole(VLLM_WHOLE, encoding="gzip").broken is Broken.BAD_ENCODING
    bomb = whole(gzip.compress(b" " * 10_000_000), encoding="gzip", max_bytes=1000)
    assert (bomb.broken, len(bomb.content)) == (Broken.BAD_ENCODING, 1000)


def test_text_is_sound_unicode() -> None:
    """A server's lone surrogates do not reach the journal."""
    body = b'{"choices":[{"message":{"content":"a\\ud83d"},"finish_reason":"stop"}]}'
    assert whole(body).text == "a?"


def test_percentile_is_by_nearest_rank() -> None:
    """The 95th percentile of few values is the largest."""
    assert percentile([], 0.95) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(value) for value in range(1, 101)], 0.95) == 95.0


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_any_cut_of_a_stream_assembles_to_the_same_completion(cuts: list[int]) -> None:
    """Where the network splits a stream changes its times only."""
    body = b"".join(VLLM_STREAM)
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    answer = assemble(Api.CHAT, 200, SSE, None, pieces, [0.0] * len(pieces), 0.0)
    expected = stream(*VLLM_STREAM)
    assert (answer.choices, answer.usage, answer.broken) == (expected.choices, expected.usage, expected.broken)


_NAMES = (
    "choices delta message index content tool_calls function arguments name logprobs type usage error output response "
    "text data embedding finish_reason token"
).split()
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(_json, st.sampled_from(sorted(Api)), st.booleans(), st.sampled_from([200, 400, 500]))
def test_any_json_assembles(value: Any, api: Api, streamed: bool, status: int) -> None:
    """No value in any place raises."""
    data = json.dumps(value).encode()
    body = b"data: " + data + b"\n\n" if streamed else data
    assert assemble(api, status, SSE if streamed else "application/json", None, [body], [1.0], 0.0).status == status


@given(
    st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "br", ""]), st.sampled_from([SSE, "", "text/plain"])
)
def test_any_bytes_assemble(body: bytes, encoding: str, media: str) -> None:
    """No body raises, whatever it says about itself."""
    assert assemble(Api.CHAT, 200, media, encoding, [body], [1.0], 0.0).status == 200
