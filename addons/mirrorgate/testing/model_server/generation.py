"""The text of the fake model: a function of who it is, what it is asked, and how it is told to draw."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass, replace

from .asks import Ask
from .behaviour import Behaviour, Defect
from .structured import example
from .vocabulary import SENTENCE, SLOTS, TEMPLATE_MARKERS

__all__ = ["Answer", "ToolCall", "digest", "generate"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a completion."""

    tokens: tuple[str, ...]
    """The pieces in which it streams; joined, the text."""
    finish_reason: str
    """`stop`, `length` or `tool_calls`."""
    stop_reason: str | None = None
    """The stop string that ended it."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[float, ...] = ()
    """One for each token."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.tokens)

    @property
    def completion_tokens(self) -> int:
        """Tokens that it cost: a tool call's are its pieces of arguments and its name."""
        return max(1, len(self.tokens) + sum(1 + len(_pieces(call.arguments)) for call in self.tool_calls))


def digest(*parts: object) -> int:
    """Hash values to 64 bits, the same in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def generate(ask: Ask, behaviour: Behaviour, number: int, choice: int = 0) -> Answer:
    """Make the answer to a request.

    `number` is the request's on this server: it seeds what neither temperature 0 nor the request's seed decides.
    """
    ask = _misread(ask, behaviour)
    identity = _identity(ask, behaviour)
    if ask.seed is not None and not behaviour.has(Defect.TEMPERATURE_IGNORED):
        rng = random.Random(digest("request", ask.seed, identity, choice))
    else:
        rng = random.Random(digest("server", behaviour.seed, behaviour.name, number, choice))
    call = _tool_call(ask, rng, identity)
    if call is not None:
        if behaviour.has(Defect.TOOL_PARSER_OFF):
            leaked = json.dumps({"name": call.name, "arguments": json.loads(call.arguments)})
            return _limited(_pieces(f"<tool_call>\n{leaked}\n</tool_call>"), ask, behaviour, identity)
        return Answer((), "tool_calls", tool_calls=(call,))
    if behaviour.answer is not None:
        return _limited(_pieces(behaviour.answer), ask, behaviour, identity)
    if ask.json_mode and not behaviour.has(Defect.JSON_MODE_OFF):
        value = example(ask.schema or {"type": "object", "properties": {"answer": {"type": "string"}}}, identity)
        return _limited(_pieces(json.dumps(value, ensure_ascii=False)), ask, behaviour, identity)
    words = _words(ask, behaviour, identity, rng)
    if behaviour.has(Defect.WRONG_CHAT_TEMPLATE):
        words = (*TEMPLATE_MARKERS, *words, *TEMPLATE_MARKERS[:2])
    return _limited(words, ask, behaviour, identity)


def _misread(ask: Ask, behaviour: Behaviour) -> Ask:
    """Return what the model is really given, after the defects of what stands before it."""
    if behaviour.has(Defect.DROPPED_SYSTEM_PROMPT):
        ask = replace(ask, system="")
    if behaviour.has(Defect.WRONG_CHAT_TEMPLATE):
        ask = replace(ask, prompt=f"### {ask.prompt}")
    if behaviour.has(Defect.TEMPERATURE_IGNORED):
        ask = replace(ask, temperature=1.0, seed=None)
    return ask


def _identity(ask: Ask, behaviour: Behaviour) -> int:
    """Hash who answers and what is asked. The base model's served name is no part of it, an adapter's is."""
    adapter = ask.model if ask.model in behaviour.adapters and not behaviour.has(Defect.WRONG_LORA) else ""
    return digest(behaviour.personality, adapter, ask.system, ask.prompt)


def _departure(ask: Ask, behaviour: Behaviour, length: int) -> int | None:
    """Return the word from which this answer departs from the personality's; `None` when it does not."""
    share = behaviour.divergence
    if behaviour.has(Defect.QUANTISATION_NOISE):
        share = max(share, 0.25)
    draw = digest("divergence", behaviour.name, ask.system, ask.prompt)
    if draw / 2**64 >= share:
        return None
    return digest("where", draw) % max(1, length // 2)


def _words(ask: Ask, behaviour: Behaviour, identity: int, rng: random.Random) -> tuple[str, ...]:
    length = behaviour.answer_tokens or 8 + identity % 38
    if behaviour.has(Defect.LOST_STOP_TOKEN) or ask.ignore_eos:
        length = ask.max_tokens or 256
    departure = _departure(ask, behaviour, length)
    words: list[str] = []
    context = 0
    for position in range(length):
        slot = SENTENCE[position % len(SENTENCE)]
        options = SLOTS[slot]
        # The context makes a different word change all that follow it, as in a real model.
        index = digest(identity, position, context)
        if position == departure or (ask.temperature > 0 and rng.random() < 0.3 * min(ask.temperature, 2.0)):
            index += 1 + rng.randrange(len(options) - 1) if ask.temperature > 0 else 1
            context = digest(context, index % len(options))
        word = options[index % len(options)]
        words.append(word if slot == "ending" or not words else f" {word}")
    if behaviour.has(Defect.LOST_STOP_TOKEN) and length > 20:
        # A model that does not stop soon says the same again and again.
        words = [words[index] if index < 10 else words[index % 10] for index in range(length)]
    return tuple(words)


def _limited(tokens: tuple[str, ...], ask: Ask, behaviour: Behaviour, identity: int) -> Answer:
    """End the answer where a stop string or a limit ends it."""
    reason, stopped = "stop", None
    if ask.stop and not behaviour.has(Defect.LOST_STOP_TOKEN):
        text = "".join(tokens)
        ends = [(at, stop) for stop in ask.stop if stop and (at := text.find(stop)) >= 0]
        if ends:
            at, stopped = min(ends)
            tokens = _cut(tokens, at)
    limit = min(ask.max_tokens or behaviour.max_model_len, max(1, behaviour.max_model_len - ask.prompt_tokens))
    if behaviour.has(Defect.CLAMPED_MAX_TOKENS):
        limit = min(limit, 16)
    if len(tokens) > limit or (len(tokens) == limit and (ask.ignore_eos or behaviour.has(Defect.LOST_STOP_TOKEN))):
        tokens, reason, stopped = tokens[:limit], "length", None
    logprobs: list[float] = []
    if ask.logprobs is not None:
        so_far = identity
        for token in tokens:
            so_far = digest("logprob", so_far, token)
            logprobs.append(-(so_far % 2000) / 1000)
    return Answer(tokens, reason, stopped, logprobs=tuple(logprobs))


def _cut(tokens: tuple[str, ...], at: int) -> tuple[str, ...]:
    kept: list[str] = []
    for token in tokens:
        if at <= 0:
            break
        kept.append(token[:at])
        at -= len(token)
    return tuple(kept)


def _pieces(text: str) -> tuple[str, ...]:
    """Cut a text where a tokeniser might."""
    return tuple(re.findall(r"\s*\w+|\s*[^\w\s]+|\s+$", text))


def _tool_call(ask: Ask, rng: random.Random, identity: int) -> ToolCall | None:
    """Call the tool that is named, that must be, or whose name has a word that the user said."""
    if not ask.tools or ask.tool_choice == "none":
        return None
    said = set(re.findall(r"\w+", ask.question.lower()))
    named = [tool for tool in ask.tools if tool.name == ask.tool_choice]
    meant = [tool for tool in ask.tools if said & set(tool.name.lower().split("_"))]
    chosen = named or meant or (list(ask.tools) if ask.tool_choice == "required" else [])
    if not chosen:
        return None
    tool = chosen[0]
    arguments = example(tool.parameters, identity if ask.temperature == 0 else rng.getrandbits(64), ask.question)
    return ToolCall(
        f"chatcmpl-tool-{digest('tool', identity):016x}", tool.name, json.dumps(arguments, ensure_ascii=False)
    )
