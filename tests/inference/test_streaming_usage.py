import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.completions import Usage
from mirrorgate.inference.streaming_usage import Tail, usage_of


@pytest.mark.parametrize(
    ("tail", "usage"),
    [
        (b'"usage":{"prompt_tokens":37,"total_tokens":43,"completion_tokens":6}}\n\ndata: [DONE]\n\n', Usage(37, 6)),
        (
            b'"usage":{"prompt_tokens":1,"completion_tokens":1}}"usage": {"prompt_tokens":2,"completion_tokens":3}',
            Usage(2, 3),
        ),
        (b'{"usage":{"prompt_tokens":2,"completion_tokens":3}}\n\n{"usage":null}', Usage(2, 3)),
        (b'"usage":{"output_tokens":9}', Usage(None, 9)),
        (
            b'"usage":{"prompt_tokens":4,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3},'
            b'"completion_tokens_details":{"reasoning_tokens":2}}',
            Usage(4, 5, 3, 2),
        ),
        (b'"usage":{}', None),
        (b"", None),
        (b'"usage":{"prompt_tokens":' + b"9" * 4000, None),
    ],
)
def test_usage_is_found_in_the_tail(tail: bytes, usage: Usage | None) -> None:
    """The last usage that says something counts."""
    assert usage_of(tail) == usage


def test_text_of_the_model_is_not_mistaken_for_usage() -> None:
    """Quotes in a JSON string are escaped, so that an answer cannot fake its own usage."""
    text = '"usage":{"prompt_tokens":1,"completion_tokens":1}'
    assert usage_of(json.dumps({"choices": [{"text": text}]}).encode()) is None


@given(st.lists(st.binary(max_size=40)))
def test_tail_keeps_the_end(pieces: list[bytes]) -> None:
    """At least the last bytes are there, and never much more."""
    tail = Tail(limit=50)
    for piece in pieces:
        tail.push(piece)
    whole = b"".join(pieces)
    kept = tail.bytes()
    assert whole.endswith(kept)
    assert min(len(whole), 50) <= len(kept) < 50 + 50
