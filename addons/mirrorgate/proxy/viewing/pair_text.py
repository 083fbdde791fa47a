"""A pair as readable text: summary, numbers, guardrails, the texts with the words that differ marked, tool calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...comparison.differences import Span, word_spans
from ...comparison.pairs import PairComparison
from ...inference.completions import Choice, Completion, Shape
from .flow_pairs import LegNumbers, PairNumbers
from .pair_reading import Reading

__all__ = ["text_of"]

_MOST_TEXT = 64 * 1024
"""Characters of one answer that are shown."""
_MOST_CHOICES = 8
_MOST_CALLS = 32
_COLUMN = 22


def text_of(readings: Sequence[Reading]) -> str:
    """Return the text of all pairs of one exchange, in the form of YAML."""
    return "\n\n".join("\n".join(_lines(reading)) for reading in readings)


def _lines(reading: Reading) -> Iterator[str]:
    pair, numbers, comparison = reading.pair, reading.numbers, reading.comparison
    yield f"# Mirrorgate: primary and {pair.leg or 'candidate'}"
    if numbers is not None and numbers.outcome and pair.leg != "control":
        yield f"summary: {_one_line(numbers.summary)}"
        yield f"outcome: {_one_line(numbers.outcome)}"
    elif comparison is not None:
        yield f"outcome: {comparison.outcome.value}"
    if comparison is not None and comparison.similarity is not None:
        yield f"similarity: {comparison.similarity:.3f}"
    yield f"mirror: {_one_line(pair.mirror)}"
    for name, held in (("primary", pair.primary), (pair.leg or "candidate", pair.shadow)):
        yield f"{name}: {held.id}" if held is not None else f"{name}: its flow is not in the view any more"
    yield ""
    yield from _numbers(reading)
    yield ""
    yield from _guardrails(reading)
    yield ""
    yield from _texts(reading)
    yield from _calls(reading)
    yield from _structure(comparison)


def _numbers(reading: Reading) -> Iterator[str]:
    known = reading.numbers or PairNumbers()
    control = reading.pair.leg == "control"
    legs = [("primary", known.primary, reading.primary)]
    if not control:
        legs.append(("candidate", known.candidate, reading.shadow))
    if known.control is not None:
        legs.append(("control", known.control, reading.shadow if control else None))
    yield "numbers:" + " " * 14 + "".join(f"{name:<{_COLUMN}}" for name, _, _ in legs).rstrip()
    rows: list[tuple[str, list[str]]] = [
        ("status", [_status(leg, completion) for _, leg, completion in legs]),
        ("ended", [_ended(leg, completion) for _, leg, completion in legs]),
        ("finish reason", [_finish(completion) for _, _, completion in legs]),
        ("endpoint", [leg.endpoint or "–" for _, leg, _ in legs]),
        ("model", [leg.model or "–" for _, leg, _ in legs]),
        ("TTFT", [_seconds(leg.ttft) for _, leg, _ in legs]),
        ("ITL mean", [_seconds(leg.itl_mean) for _, leg, _ in legs]),
        ("ITL p95", [_seconds(leg.itl_p95) for _, leg, _ in legs]),
        ("E2E", [_seconds(leg.e2e) for _, leg, _ in legs]),
        ("prompt tokens", [_count(leg, completion, "prompt_tokens") for _, leg, completion in legs]),
        ("output tokens", [_count(leg, completion, "completion_tokens") for _, leg, completion in legs]),
        ("characters", ["–" if c is None else str(sum(len(x.text) for x in c.choices)) for _, _, c in legs]),
    ]
    for name, cells in rows:
        if any(cell != "–" for cell in cells):
            shown = "".join(f"{_one_line(cell):<{_COLUMN}}" for cell in cells).rstrip()
            yield f"  {name + ':':<19} {shown}"


def _guardrails(reading: Reading) -> Iterator[str]:
    if reading.comparison is None:
        yield "guardrails: unknown, for both answers are needed"
        return
    losses = {name: loss for name, loss in reading.losses.items() if loss}
    if not reading.losses:
        yield "guardrails: not scored, for the exchange ended for a reason that is not the servers'"
    elif not losses:
        yield "guardrails: none differs"
    else:
        yield "guardrails:  # loss of the candidate minus the primary's: above 0 the candidate is worse"
        for name, loss in losses.items():
            yield f"  {name}: {loss:+.2f}  # the {'candidate' if loss > 0 else 'primary'} loses"


def _texts(reading: Reading) -> Iterator[str]:
    primary, shadow = reading.primary, reading.shadow
    count = max(len(primary.choices) if primary else 0, len(shadow.choices) if shadow else 0, 1)
    for index in range(min(count, _MOST_CHOICES)):
        left, right = _text(primary, index), _text(shadow, index)
        title = "text" if count == 1 else f"text of choice {index}"
        leg = reading.pair.leg or "candidate"
        if left is None or right is None:
            yield f"{title}:"
            yield from _block("primary", left if left is not None else "(not kept)")
            yield from _block(leg, right if right is not None else "(not kept)")
        elif left == right:
            yield f"{title}:  # the same on both sides"
            yield from _block("both", left)
        else:
            first, second = word_spans(left, right)
            yield f"{title}:  # words that only one side has are marked: [-primary-] {{+{leg}+}}"
            yield from _block("primary", _marked(first, "[-", "-]"))
            yield from _block(leg, _marked(second, "{+", "+}"))
        yield ""


def _text(completion: Completion | None, index: int) -> str | None:
    """Return what a choice says to a person: reasoning, text and refusal, or the error or body there is instead."""
    if completion is None:
        return None
    if completion.choices:
        choice = completion.choices[index] if index < len(completion.choices) else Choice(index)
        parts = (f"(reasoning) {choice.reasoning}" if choice.reasoning else "", choice.text, choice.refusal)
        return "\n".join(part for part in parts if part)[:_MOST_TEXT]
    if index:
        return ""
    if completion.errors:
        return "\n".join(error.message or error.type for error in completion.errors)[:_MOST_TEXT]
    if completion.shape is Shape.EMBEDDINGS:
        return f"({len(completion.embeddings)} embeddings)"
    if completion.content:
        return completion.content[:_MOST_TEXT].decode("utf-8", "replace")
    return "" if completion.value is None else repr(completion.value)[:_MOST_TEXT]


def _marked(spans: tuple[Span, ...], before: str, after: str) -> str:
    """Mark what differs; white space at the edges stays outside of the marks."""
    parts: list[str] = []
    for span in spans:
        core = span.text.strip()
        if span.differs and core:
            head, _, tail = span.text.partition(core)
            parts.append(f"{head}{before}{core}{after}{tail}")
        else:
            parts.append(span.text)
    return "".join(parts)


def _block(name: str, text: str) -> Iterator[str]:
    yield f"  {name}: |"
    for line in text.splitlines() or [""]:
        yield f"    {line}"


def _calls(reading: Reading) -> Iterator[str]:
    sides = ((_side, _made(completion)) for _side, completion in _sides(reading))
    shown = [(name, calls) for name, calls in sides]
    if not any(calls for _, calls in shown):
        return
    yield "tool calls:"
    for name, calls in shown:
        yield f"  {name}:" if calls else f"  {name}: none"
        for call in calls[:_MOST_CALLS]:
            yield f"    - {call}"
        if len(calls) > _MOST_CALLS:
            yield f"    # and {len(calls) - _MOST_CALLS} more"
    yield ""


def _sides(reading: Reading) -> tuple[tuple[str, Completion | None], ...]:
    return (("primary", reading.primary), (reading.pair.leg or "candidate", reading.shadow))


def _made(completion: Completion | None) -> list[str]:
    if completion is None:
        return []
    return [
        f"{_one_line(call.name)}({_one_line(call.arguments)})"
        for choice in completion.choices
        for call in choice.tool_calls
    ]


def _structure(comparison: PairComparison | None) -> Iterator[str]:
    differences = () if comparison is None else comparison.structural_differences
    if differences:
        yield "structure:"
        for each in differences[:20]:
            change = f"{each.change.value}, {_one_line(repr(each.primary))} → {_one_line(repr(each.candidate))}"
            yield f"  - {_one_line(each.path)}: {change}"
        if len(differences) > 20:
            yield f"  # and {len(differences) - 20} more"


def _status(leg: LegNumbers, completion: Completion | None) -> str:
    status = completion.status if completion is not None else leg.status
    return str(status) if status else "none"


def _ended(leg: LegNumbers, completion: Completion | None) -> str:
    broken = completion.broken.value if completion is not None else leg.broken
    flag = "" if leg.flag in ("", "-") else f" {leg.flag}"
    return f"{leg.outcome or (completion.outcome if completion else '–')}{flag}" + (f", {broken}" if broken else "")


def _finish(completion: Completion | None) -> str:
    return (completion.finish_reason if completion is not None else None) or "–"


def _count(leg: LegNumbers, completion: Completion | None, name: str) -> str:
    value = (leg.usage or {}).get(name)
    if value is None and completion is not None and completion.usage is not None:
        value = getattr(completion.usage, name)
    return "–" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f} s"


def _one_line(text: str, most: int = 500) -> str:
    line = "".join(char if char.isprintable() else " " for char in text[:most])
    return line if len(text) <= most else line + "…"
