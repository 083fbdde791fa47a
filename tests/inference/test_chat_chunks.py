import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.chat_chunks import read_chunk
from mirrorgate.inference.chat_shape import read_event
from mirrorgate.inference.drafts import Draft
from mirrorgate.inference.sse import Event

_texts = st.none() | st.text(max_size=3)
_odd = st.sampled_from([7, 1.0, True, [], {}, ["a"], {"text": "b"}, [{"text": "c"}], "", "d"])


def sometimes(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, at times what does not."""
    return st.one_of(values, values, values, values, values, _odd)


_deltas = st.fixed_dictionaries(
    {},
    optional={
        name: sometimes(_texts)
        for name in ("role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call")
    },
)
_choices = st.fixed_dictionaries(
    {"index": sometimes(st.integers(0, 3))},
    optional={
        "delta": sometimes(st.none() | _deltas),
        "text": sometimes(_texts),
        "finish_reason": sometimes(_texts),
        "logprobs": sometimes(st.none()),
        "token_ids": _odd,
    },
)
_usages = st.fixed_dictionaries({}, optional={"prompt_tokens": sometimes(st.integers()), "completion_tokens": _odd})
_chunks = st.fixed_dictionaries(
    {"choices": sometimes(st.lists(_choices, max_size=3))},
    optional={
        "model": sometimes(_texts),
        "usage": sometimes(st.none() | _usages),
        "error": sometimes(st.none()),
        "object": sometimes(st.just("chat.completion.chunk")),
    },
)


@given(st.lists(_chunks, max_size=5))
def test_a_plain_chunk_reads_as_any_other(chunks: list[Any]) -> None:
    """The quick reader adds exactly what the thorough one adds, or declines and adds nothing."""
    quick, thorough = Draft(), Draft()
    for chunk in chunks:
        data = json.dumps(chunk)
        found = read_chunk(quick, data)
        expected = read_event(thorough, Event(data), json.loads(data))
        assert found in (None, expected)
        if found is None:
            assert read_event(quick, Event(data), json.loads(data)) == expected
        assert quick == thorough


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[DONE]",
        "{}",
        "[]",
        '{"choices":[{"index":0,"delta":{"content":"a"}}]',
        '{"choices":[{"delta":{"content":"a"}}]}',
        '{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}',
        '{"choices":[],"error":null}',
        '{"error":{"message":"m"}}',
        '{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}',
        '{"choices":' + "[" * 100_000,
    ],
)
def test_what_is_not_plain_is_declined(data: str) -> None:
    """Nothing is added, so that the thorough reader can start over."""
    draft = Draft()
    assert read_chunk(draft, data) is None
    assert draft == Draft()


def test_a_plain_chunk_is_not_declined() -> None:
    """The recorded event of a token and that of the usage are read at once."""
    draft = Draft()
    token = (
        '{"id":"chatcmpl-a6","object":"chat.completion.chunk","created":1795320345,"model":"smollm2","choices":[{"index":0,'
        '"delta":{"content":"The"},"logprobs":null,"finish_reason":null,"token_ids":null}]}'
    )
    usage = '{"choices":[],"usage":{"prompt_tokens":37,"total_tokens":43,"completion_tokens":6}}'
    assert read_chunk(draft, token) == (0,)
    assert read_chunk(draft, usage) == ()
    assert (draft.model, draft.choices[0].text) == ("smollm2", ["The"])
    assert draft.usage is not None
    assert draft.usage.completion_tokens == 6
