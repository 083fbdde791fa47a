import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirrorgate.inference.apis import Api
from mirrorgate.inference.requests import BadRequest, InferenceRequest, NotInference, Tool, parse_request

CHAT = "/v1/chat/completions"


def read(body: Any, path: str = CHAT) -> InferenceRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = parse_request("POST", path, "application/json", raw)
    assert isinstance(request, InferenceRequest), request
    return request


def refused(body: bytes, content_type: str | None = "application/json") -> BadRequest:
    request = parse_request("POST", CHAT, content_type, body)
    assert isinstance(request, BadRequest), request
    return request


def test_chat_request_is_read() -> None:
    """Everything that the gateway decides by is found."""
    request = read(
        {
            "model": "m",
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 7,
            "temperature": 0.5,
            "n": 2,
            "seed": 42,
            "cache_salt": "s",
            "messages": [{"role": "user", "content": "hi"}],
            "unknown": [{"deep": None}],
        }
    )
    assert (request.api, request.model, request.stream, request.include_usage) == (Api.CHAT, "m", True, True)
    assert (request.max_tokens, request.temperature, request.n, request.seed) == (7, 0.5, 2, 42)
    assert request.cache_salt == "s"
    assert request.prompt() == b'[{"role":"user","content":"hi"}]'


def test_other_requests_are_left_alone() -> None:
    """Another method or path is no inference, whatever its body."""
    assert parse_request("GET", CHAT, None, b"") == NotInference()
    assert parse_request("POST", "/v1/models", "application/json", b"{") == NotInference()


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b'{"model":"a"} x', None, "invalid_json"),
        (b"\xef\xbb\xbf{}", None, "invalid_json"),
        (b'{"x": NaN}', None, "invalid_json"),
        (b'{"x":"\xff"}', None, "invalid_json"),
        (b'{"model":"\xff"}', None, "invalid_json"),
        (b'{"x":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}", None, "invalid_json"),
        (b"[]", None, "invalid_type"),
        (b'"text"', None, "invalid_type"),
        (b'{"model": 7}', "model", "invalid_type"),
        (b'{"model": ["a"]}', "model", "invalid_type"),
        (b'{"max_tokens": 1e999}', "max_tokens", "invalid_value"),
        (b'{"max_tokens": ' + b"9" * 5000 + b"}", "max_tokens", "invalid_value"),
        (b'{"n": 99999999999999999999}', "n", "invalid_value"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_reason(body: bytes, param: str | None, code: str) -> None:
    """Malformed input is a value with a message, a parameter and a code."""
    request = refused(body)
    assert (request.param, request.openai_code) == (param, code)
    assert request.message


def test_content_type_has_to_be_json_when_there_is_one() -> None:
    """vLLM refuses other content types; a missing one is taken for JSON."""
    assert refused(b"{}", "text/plain").openai_code == "unsupported_media_type"
    assert refused(b"{}", "multipart/form-data; boundary=x").openai_code == "unsupported_media_type"
    for good in (None, "", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
        assert isinstance(parse_request("POST", CHAT, good, b"{}"), InferenceRequest)


def test_fields_that_the_server_judges_do_not_refuse_a_request() -> None:
    """Only the model's type is ours to check; a wrong type elsewhere reads as absent."""
    request = read({"stream": "yes", "max_tokens": "7", "temperature": [], "n": None, "messages": 3, "tools": "x"})
    assert (request.model, request.stream, request.max_tokens, request.temperature) == (None, False, None, None)
    assert (request.n, request.tools, request.conversation) == (1, (), request.conversation)


def test_last_of_duplicate_models_counts() -> None:
    """The gateway reads the model that Python's and Go's decoders read."""
    assert read(b'{"model":"a","mod\\u0065l":"b"}').model == "b"


def test_prompt_of_each_api() -> None:
    """A completion's prompt is its text, a list of prompts or token ids its compact JSON."""
    assert read({"prompt": "Zoë"}, "/v1/completions").prompt() == "Zoë".encode()
    assert read(b'{"prompt": [1, 2]}', "/v1/completions").prompt() == b"[1,2]"
    assert read({"input": "a"}, "/v1/embeddings").prompt() == b"a"
    assert read({"input": "a"}, "/v1/responses").prompt() == b"a"
    assert read(b'{"messages": [ {"role" :"user"} ]}', "/v1/messages").prompt() == b'[{"role":"user"}]'
    assert read({}).prompt() == b""
    assert read(b'{"prompt": "\\ud800"}', "/v1/completions").prompt() == "\ufffd".encode()


def test_limits_of_each_api_have_one_name() -> None:
    """`max_completion_tokens` and `max_output_tokens` win over the old `max_tokens`."""
    assert read({"max_tokens": 5, "max_completion_tokens": 6}).max_tokens == 6
    assert read({"max_output_tokens": 4}, "/v1/responses").max_tokens == 4


def test_tools_of_each_api() -> None:
    """Functions are found nested (chat), flat (responses) and by `input_schema` (messages)."""
    schema = {"type": "object"}
    nested = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert read({"tools": nested}).tools == (Tool("f", b'{"type":"object"}'),)
    assert read({"tools": [{"type": "function", "name": "f", "parameters": schema}]}).tools[0].schema
    assert read({"tools": [{"name": "f", "input_schema": schema}]}).tools[0].schema
    assert read({"tools": [{"name": "f"}, 3, {"name": 4}]}).tools == (Tool("f", None),)


def test_asked_formats() -> None:
    """A schema is found in chat's and in responses' place."""
    schema = {"type": "object"}
    chat = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    assert (read(chat).json_schema, read(chat).json_mode) == (b'{"type":"object"}', True)
    responses = {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}
    assert read(responses, "/v1/responses").json_schema == b'{"type":"object"}'
    assert read({"response_format": {"type": "json_object"}}).json_mode
    assert not read({"response_format": {"type": "text"}}).json_mode


def turns(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": "system", "content": "s"}]
    messages += [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    return {"messages": messages}


def test_turns_of_a_conversation_share_its_key() -> None:
    """Later turns repeat the system prompt and the first message; another beginning is another conversation."""
    first = read(turns("a")).conversation
    assert first is not None
    assert read(turns("a", "b", "c")).conversation == first
    assert read(turns("x", "b", "c")).conversation != first
    assert read({**turns("a"), "user": "u"}).conversation != first


@pytest.mark.parametrize(
    "extra",
    [
        {"metadata": {"conversation_id": "7"}},
        {"session_id": "7"},
        {"session_params": {"session_id": "7"}},
        {"conversation": {"id": "7"}},
        {"prompt_cache_key": "7"},
    ],
)
def test_an_explicit_id_wins_over_the_messages(extra: dict[str, Any]) -> None:
    """The client's own name for the conversation ties turns that share nothing else."""
    assert read({**turns("a"), **extra}).conversation == read({**turns("b"), **extra}).conversation


def test_completions_have_no_conversation() -> None:
    """A completion without an id is a conversation of its own."""
    assert read({"prompt": "a"}, "/v1/completions").conversation is None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value(body: bytes) -> None:
    """No body raises."""
    assert parse_request("POST", CHAT, None, body) is not None


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
_fields = st.sampled_from(
    ["messages", "tools", "response_format", "text", "metadata", "n", "stream", "input", "prompt", "seed", "user"]
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.dictionaries(_fields, _json, max_size=4), st.sampled_from(sorted(Api)))
def test_any_value_in_any_field_gives_a_value(body: dict[str, Any], api: Api) -> None:
    """No field's type raises, nor does reading the tools afterwards."""
    request = parse_request("POST", f"/v1/{api}", None, json.dumps(body).encode())
    if isinstance(request, InferenceRequest):
        assert isinstance(request.tools, tuple)
