"""Who answers alike, who does not, and what each defect does to an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.testing.model_server.asks import Ask
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.generation import generate

type Asker = Callable[..., Ask]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PROMPTS = [f"Question {index} of the river" for index in range(200)]


def said(ask: Ask, behaviour: Behaviour | None = None, number: int = 1, **changes: Any) -> str:
    """Return the text of an answer."""
    return generate(ask, behaviour or Behaviour(**changes), number).text


def test_one_personality_answers_alike_at_temperature_0(ask: Asker) -> None:
    """Names, seeds and the count of requests do not matter."""
    assert said(ask(), name="a", seed=1, number=1) == said(ask(), name="b", seed=2, number=9)


def test_another_personality_or_prompt_answers_otherwise(ask: Asker) -> None:
    """Both are part of the text."""
    texts = {said(ask()), said(ask(), personality="other"), said(ask("Tell me of lakes"))}
    assert len(texts) == 3


def test_temperature_draws_and_a_seed_repeats_it(ask: Asker) -> None:
    """Five requests at temperature 1 differ; with a seed in the request they are equal, on any server."""
    assert len({said(ask(temperature=1.0, max_tokens=40), number=number) for number in range(5)}) > 1
    seeded = {said(ask(temperature=1.0, seed=42), number=number, seed=number) for number in range(5)}
    assert len(seeded) == 1


def test_divergence_is_the_share_of_prompts_that_differ(ask: Asker) -> None:
    """A fifth of the answers depart, each after a common beginning, and always the same ones."""
    plain, other = Behaviour(), Behaviour(name="candidate", divergence=0.2)
    pairs = [(said(ask(prompt), plain), said(ask(prompt), other)) for prompt in PROMPTS]
    share = sum(first != second for first, second in pairs) / len(pairs)
    assert 0.1 < share < 0.3
    assert pairs == [(said(ask(prompt), plain), said(ask(prompt), other)) for prompt in PROMPTS]
    assert said(ask(), divergence=1.0) != said(ask())


def test_the_end_is_a_stop_or_a_limit(ask: Asker) -> None:
    """A stop string is left out and named; a limit is `length`; an answer of just that length is not cut."""
    whole = generate(ask(), Behaviour(), 1)
    assert whole.finish_reason == "stop"
    stop = whole.tokens[3]
    stopped = generate(ask(stop=stop), Behaviour(), 1)
    assert (stopped.finish_reason, stopped.stop_reason) == ("stop", stop)
    assert stopped.text == whole.text[: whole.text.index(stop)]
    cut = generate(ask(max_tokens=3), Behaviour(), 1)
    assert (cut.finish_reason, cut.tokens) == ("length", whole.tokens[:3])
    exact = generate(ask(max_tokens=len(whole.tokens)), Behaviour(), 1)
    assert exact.finish_reason == "stop"
    assert generate(ask(ignore_eos=True, max_tokens=100), Behaviour(), 1).completion_tokens == 100


def test_logprobs_come_one_a_token(ask: Asker) -> None:
    """They are negative, and only there when asked for."""
    answer = generate(ask(logprobs=True, top_logprobs=2), Behaviour(), 1)
    assert len(answer.logprobs) == len(answer.tokens)
    assert max(answer.logprobs) <= 0
    assert generate(ask(), Behaviour(), 1).logprobs == ()


def test_a_tool_is_called_when_it_is_meant(ask: Asker) -> None:
    """By a word of its name, by its name, or by `required`; never with `none`."""
    question = "What is the weather in Paris?"
    call = generate(ask(question, tools=TOOLS), Behaviour(), 1)
    assert call.finish_reason == "tool_calls"
    assert json.loads(call.tool_calls[0].arguments) == {"city": "Paris"}
    assert generate(ask("Hello", tools=TOOLS), Behaviour(), 1).finish_reason == "stop"
    assert generate(ask("Hello", tools=TOOLS, tool_choice="required"), Behaviour(), 1).tool_calls
    assert not generate(ask(question, tools=TOOLS, tool_choice="none"), Behaviour(), 1).tool_calls


def test_json_mode_gives_json(ask: Asker) -> None:
    """With a schema or without."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert isinstance(json.loads(said(ask(response_format=form)))["n"], int)
    assert "answer" in json.loads(said(ask(response_format={"type": "json_object"})))


def test_an_answer_can_be_fixed(ask: Asker) -> None:
    """The text is kept to the letter, white space included."""
    for text in ("Yes.", "  two\n\nlines, 東京 🙂 ", ""):
        assert said(ask(), answer=text) == text


def test_adapters_answer_each_for_itself(ask: Asker) -> None:
    """Unless the wrong one is loaded."""
    behaviour = Behaviour(adapters=("lora-a", "lora-b"))
    models = ("fake-model", "lora-a", "lora-b")
    assert len({said(ask(model=model), behaviour) for model in models}) == 3
    wrong = Behaviour(adapters=("lora-a", "lora-b"), defects=frozenset({Defect.WRONG_LORA}))
    assert len({said(ask(model=model), wrong) for model in models}) == 1


@pytest.mark.parametrize(
    ("defect", "more", "sign"),
    [
        (Defect.WRONG_CHAT_TEMPLATE, {}, lambda text, good: "<|im_start|>" in text),
        (Defect.DROPPED_SYSTEM_PROMPT, {}, lambda text, good: text != good),
        (Defect.CLAMPED_MAX_TOKENS, {"ignore_eos": True, "max_tokens": 40}, lambda text, good: len(text) < len(good)),
        (Defect.LOST_STOP_TOKEN, {"max_tokens": 120}, lambda text, good: len(text) > len(good)),
        (Defect.TEMPERATURE_IGNORED, {"ignore_eos": True, "max_tokens": 60}, lambda text, good: text != good),
        (Defect.TOOL_PARSER_OFF, {"tools": TOOLS}, lambda text, good: "<tool_call>" in text),
        (Defect.JSON_MODE_OFF, {"response_format": {"type": "json_object"}}, lambda text, good: text[0] != "{"),
    ],
)
def test_defects_show(ask: Asker, defect: Defect, more: dict[str, Any], sign: Callable[[str, str], bool]) -> None:
    """Each defect leaves its mark on an answer."""
    asked = ask("What is the weather in Paris?", **more)
    assert sign(said(asked, defects=frozenset({defect})), said(asked))


def test_quantisation_noise_changes_a_quarter_of_the_answers(ask: Asker) -> None:
    """At temperature 0."""
    noisy = Behaviour(defects=frozenset({Defect.QUANTISATION_NOISE}))
    share = sum(said(ask(prompt), noisy) != said(ask(prompt)) for prompt in PROMPTS) / len(PROMPTS)
    assert 0.15 < share < 0.35
