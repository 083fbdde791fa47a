import pytest

from mirrorgate.inference.drafts import Draft
from mirrorgate.inference.messages_shape import read_event, read_whole
from mirrorgate.inference.sse import Event


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_stop_reasons_have_the_words_of_chat(reason: str, finish: str) -> None:
    """One vocabulary for every API; what chat has no word for keeps its own."""
    whole, streamed = Draft(), Draft()
    read_whole(whole, {"content": [], "stop_reason": reason})
    read_event(streamed, Event("", "message_delta"), {"delta": {"stop_reason": reason}})
    assert whole.finished()[0].finish_reason == streamed.finished()[0].finish_reason == finish


def test_a_block_that_starts_with_text_counts() -> None:
    """Nothing of a block is lost, wherever it stands."""
    draft = Draft()
    assert read_event(draft, Event("", "content_block_start"), {"content_block": {"type": "text", "text": "a"}}) == (0,)
    assert read_event(draft, Event("", "content_block_delta"), {"delta": {"text": "b"}}) == (0,)
    assert read_event(draft, Event("", "content_block_delta"), {"delta": {"signature": "x"}}) == ()
    assert draft.finished()[0].text == "ab"
