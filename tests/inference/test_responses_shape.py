from mirrorgate.inference.drafts import Draft
from mirrorgate.inference.responses_shape import read_event, read_whole
from mirrorgate.inference.sse import Event


def test_the_event_field_names_the_kind_where_the_data_does_not() -> None:
    """Both places are used."""
    draft = Draft()
    assert read_event(draft, Event("", "response.output_text.delta"), {"delta": "a"}) == (0,)
    assert draft.finished()[0].text == "a"


def test_output_of_the_last_event_counts_where_no_deltas_came() -> None:
    """A server that streams the end only is still read."""
    draft = Draft()
    output = [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]
    read_event(draft, Event(""), {"type": "response.completed", "response": {"status": "completed", "output": output}})
    (choice,) = draft.finished()
    assert (choice.refusal, choice.finish_reason, draft.done) == ("no", "stop", True)


def test_unfinished_responses_have_their_status_as_finish_reason() -> None:
    """A background response that is queued has not stopped."""
    draft = Draft()
    read_whole(draft, {"status": "queued", "output": []})
    assert draft.finished()[0].finish_reason == "queued"
