"""Chat bodies and events, against the keys that were recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mirrorgate.testing.model_server import chat
from mirrorgate.testing.model_server.asks import Ask
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.events import Event
from mirrorgate.testing.model_server.generation import generate

RECORDED = (
    '{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"message":{"role":"assistant","content":"",'
    '"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},"logprobs":null,'
    '"finish_reason":"length","stop_reason":null,"token_ids":null,"routed_experts":null}],"service_tier":null,'
    '"system_fingerprint":"","usage":{"prompt_tokens":37,"total_tokens":61,"completion_tokens":24,'
    '"prompt_tokens_details":null,"completion_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":null,'
    '"prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}'
)


def keys(value: Any) -> Any:
    """Return the keys of a JSON value, in their order, at every depth."""
    if isinstance(value, dict):
        return [(name, keys(each)) for name, each in value.items()]
    return [keys(each) for each in value] if isinstance(value, list) else None


def payloads(events: list[Event]) -> list[Any]:
    """Return the JSON of each event but the last, which is `[DONE]`."""
    assert events[-1].data == b"data: [DONE]\n\n"
    assert all(event.data.startswith(b"data: ") and event.data.endswith(b"\n\n") for event in events)
    return [json.loads(event.data[6:]) for event in events[:-1]]


def test_a_whole_answer_has_the_recorded_keys(ask: Callable[..., Ask]) -> None:
    """In the recorded order, at every depth."""
    asked = ask()
    body = chat.whole(asked, [generate(asked, Behaviour(), 1)], "1", 0)
    assert keys(body) == keys(json.loads(RECORDED))
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_says_what_the_whole_says(ask: Callable[..., Ask]) -> None:
    """Role first, an event a token, the reason in the last of them, then usage, then the end."""
    asked = ask(stream=True, stream_options={"include_usage": True})
    answer = generate(asked, Behaviour(), 1)
    events = payloads(list(chat.events(asked, [answer], "1", 0)))
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    tokens = events[1:-1]
    assert "".join(each["choices"][0]["delta"]["content"] for each in tokens) == answer.text
    assert [each["choices"][0]["finish_reason"] for each in tokens] == [None] * (len(tokens) - 1) + ["stop"]
    assert "usage" not in tokens[0]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == chat.usage(asked, answer.completion_tokens)


def test_usage_can_be_in_every_event_or_in_none(ask: Callable[..., Ask]) -> None:
    """As `stream_options` says."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    asked = ask(stream=True, stream_options=options)
    running = payloads(list(chat.events(asked, [generate(asked, Behaviour(), 1)], "1", 0)))
    assert all("usage" in event for event in running)
    counts = [event["usage"]["completion_tokens"] for event in running]
    assert counts == sorted(counts)
    plain = ask(stream=True)
    assert not any(
        "usage" in each for each in payloads(list(chat.events(plain, [generate(plain, Behaviour(), 1)], "1", 0)))
    )


def test_tool_calls_stream_in_fragments(ask: Callable[..., Ask]) -> None:
    """The name first, then pieces of the arguments, which join to JSON."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]
    asked = ask("The weather in Paris?", tools=tools, stream=True)
    answer = generate(asked, Behaviour(), 1)
    deltas = [each["choices"][0] for each in payloads(list(chat.events(asked, [answer], "1", 0)))][1:]
    calls = [choice["delta"]["tool_calls"][0] for choice in deltas]
    assert calls[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert len(calls) > 3
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Paris"}
    assert deltas[-1]["finish_reason"] == "tool_calls"
    whole = chat.whole(asked, [answer], "1", 0)["choices"][0]["message"]
    assert whole["content"] is None
    assert whole["tool_calls"][0]["function"]["name"] == "get_weather"


def test_logprobs_and_choices_come_as_asked(ask: Callable[..., Ask]) -> None:
    """One entry a token with its alternatives, for each of the choices."""
    asked = ask(logprobs=True, top_logprobs=2, n=2, stream=True)
    answers = [generate(asked, Behaviour(), 1, choice) for choice in range(2)]
    whole = chat.whole(asked, answers, "1", 0)["choices"]
    assert [choice["index"] for choice in whole] == [0, 1]
    content = whole[0]["logprobs"]["content"]
    assert [each["token"] for each in content] == list(answers[0].tokens)
    assert all(len(each["top_logprobs"]) == 2 for each in content)
    streamed = [each["choices"][0] for each in payloads(list(chat.events(asked, answers, "1", 0)))]
    assert {choice["index"] for choice in streamed} == {0, 1}
    assert sum(choice["logprobs"] is not None for choice in streamed) == sum(len(each.tokens) for each in answers)


def test_an_empty_answer_still_ends(ask: Callable[..., Ask]) -> None:
    """There is one event with the reason, and no text."""
    asked = ask(stream=True)
    events = payloads(list(chat.events(asked, [generate(asked, Behaviour(answer=""), 1)], "1", 0)))
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
