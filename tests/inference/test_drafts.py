from mirrorgate.inference.drafts import CallDraft, Draft


def test_names_in_fragments_and_repeated_names() -> None:
    """A name may come in parts, or whole in every fragment."""
    call = CallDraft()
    for name in ("get_", "weather"):
        call.add("", name, "")
    assert call.name == "get_weather"
    call.add("x", "get_weather", "{")
    call.add("y", "get_weather", "}")
    assert (call.id, call.name, call.arguments) == ("x", "get_weather", ["{", "}"])


def test_choices_and_calls_are_bounded() -> None:
    """A server that numbers choices without end does not fill the memory."""
    draft = Draft()
    for index in range(2000):
        draft.choice(index).call(index)
        draft.choice(0).call(index)
    assert len(draft.choices) == 256
    assert len(draft.choice(0).calls) == 1024


def test_choices_are_in_order() -> None:
    """Whichever came first."""
    draft = Draft()
    draft.choice(1).text.append("b")
    draft.choice(0).text.append("a")
    assert [(choice.index, choice.text) for choice in draft.finished()] == [(0, "a"), (1, "b")]
