"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group as Rows
from rich.console import RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..comparison.verdict import Decision, Standing
from ..comparison.worst_pairs import PairSide, Spans, WorstPair
from .facts import reading_facts, subject_words
from .report import Report, ShadowReport
from .variety import varied
from .wording import count, odds, percent, period, points, safe, seconds, state

__all__ = ["text_of"]

_STYLES: Final = {Decision.PROMOTE: "green", Decision.HOLD: "yellow", Decision.REJECT: "red"}
_LEGS: Final = {"primary": "blue", "candidate": "dark_orange", "control": "bright_black"}
_LATENCIES: Final = (("ttft", "TTFT"), ("itl", "between tokens"), ("e2e", "end to end"))
_WORST: Final = 5
_GROUPS: Final = 12
_EXCERPT: Final = 400


def text_of(report: Report) -> RenderableType:
    """Return what a console prints."""
    parts: list[RenderableType] = []
    if len(report.shadows) != 1:
        parts.append(_banner(report.verdict, report.reason, "all candidates" if report.shadows else "report"))
    for shadow in report.shadows:
        parts += _shadow(shadow)
    parts += [Text(safe(fact), style="bright_black") for fact in reading_facts(report.reading)]
    return Rows(*parts)


def _banner(decision: Decision, reason: str, title: str) -> RenderableType:
    style = _STYLES[decision]
    words = Text.assemble((decision.value, f"bold {style}"), "  ", safe(reason))
    return Panel(words, title=Text(safe(title)), title_align="left", border_style=style)


def _shadow(shadow: ShadowReport) -> Iterable[RenderableType]:
    yield _banner(shadow.document.verdict, shadow.document.reason, shadow.cluster)
    yield _facts(shadow)
    yield _guardrails(shadow)
    yield _latencies(shadow)
    yield _answers(shadow)
    if len(shadow.groups) > 1:
        yield _groups(shadow)
    if shadow.document.worst:
        yield Text("Worst pairs", style="bold")
        for pair in varied(shadow.document.worst)[:_WORST]:
            yield Padding(_pair(pair), (0, 0, 1, 2))


def _facts(shadow: ShadowReport) -> RenderableType:
    document = shadow.document
    table = Table.grid(padding=(0, 2))
    drops = ", ".join(f"{count(number)} {reason}" for reason, number in document.coverage.reasons.items())
    rows = [
        (
            "observations",
            f"{count(document.pairs)} from {count(shadow.pairs)} exchanges, {period(shadow.first, shadow.last)}",
        ),
        (
            "compared",
            f"{percent(document.coverage.share)} of what was mirrored" + (f"; dropped: {drops}" if drops else ""),
        ),
        ("subject", subject_words(document.subject) or "–"),
        ("primary", _models(shadow, "primary")),
        ("candidate", _models(shadow, "candidate")),
        (
            "chance to be wrong",
            f"PROMOTE at most {percent(document.alpha_promote, 0)}, REJECT at most "
            f"{percent(document.alpha_reject, 0)}, {document.mode} mode",
        ),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="bright_black"), Text(safe(value)))
    return Padding(table, (0, 0, 1, 1))


def _models(shadow: ShadowReport, leg: str) -> str:
    return ", ".join(list(shadow.legs[leg].models)[:4]) or "unknown"


def _table(title: str, columns: Sequence[str], words: int = 1) -> Table:
    """Return a table whose first `words` columns hold words and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bright_black")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < words else "right", overflow="fold")
    return table


def _guardrails(shadow: ShadowReport) -> RenderableType:
    document = shadow.document
    columns = ("guardrail", "state", "difference", "interval", "margin", "within", "worse", "pairs worse / better")
    table = _table("Guardrails: the candidate's loss minus the primary's", columns, 2)
    for standing in document.standings:
        worse, better = shadow.worse.get(standing.name, 0), shadow.better.get(standing.name, 0)
        table.add_row(
            Text(safe(standing.name)),
            Text(state(standing), style=_style(standing)),
            points(standing.mean),
            f"{points(standing.low)} … {points(standing.high)}",
            points(standing.margin),
            f"{odds(standing.log_ni)}",
            f"{odds(standing.log_rej)}",
            f"{count(worse)} / {count(better)}",
        )
    needs = f"PROMOTE when every one is within at {odds(document.promote_at)}, REJECT when one is worse at "
    return Rows(table, Text(f"{needs}{odds(document.reject_at)}\n", style="bright_black"))


def _style(standing: Standing) -> str:
    if not standing.gating:
        return "bright_black"
    if standing.failed:
        return "bold red"
    return "green" if standing.passed else "yellow"


def _latencies(shadow: ShadowReport) -> RenderableType:
    table = _table("Latency", ("", "leg", "answers", "p50", "p90", "p95", "p99"), 2)
    for name, title in _LATENCIES:
        for leg, found in ((leg, by_name[name]) for leg, by_name in shadow.document.latencies.items()):
            if found.count:
                numbers = map(seconds, (found.p50, found.p90, found.p95, found.p99))
                table.add_row(title, Text(leg, style=_LEGS.get(leg, "")), count(found.count), *numbers)
    return table


def _answers(shadow: ShadowReport) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    outcomes = shadow.document.outcomes
    whole = sum(outcomes.values()) or 1
    ranked = sorted(outcomes.items(), key=lambda item: -item[1])
    words = (f"{word.replace('_', ' ')} {count(number)} ({percent(number / whole)})" for word, number in ranked)
    table.add_row(Text("outcomes", style="bright_black"), Text(", ".join(words)))
    for leg, report in shadow.legs.items():
        if report.answers:
            reasons = ", ".join(f"{word} {count(number)}" for word, number in list(report.finish_reasons.items())[:6])
            table.add_row(Text(f"{leg} ended by", style="bright_black"), Text(safe(reasons or "–")))
    return Padding(table, (0, 0, 1, 1))


def _groups(shadow: ShadowReport) -> RenderableType:
    columns = ("route and rule", "model", "pairs", "candidate failed", "similarity", "TTFT p50", "candidate")
    table = _table("By route and model", columns, 2)
    for group in shadow.groups[:_GROUPS]:
        table.add_row(
            Text(safe(group.route)),
            Text(safe(group.model)),
            count(group.pairs),
            percent(group.outcomes.get("candidate_failed", 0) / group.pairs),
            "–" if group.similarity is None else f"{group.similarity:.3f}",
            seconds(group.ttft["primary"]),
            seconds(group.ttft["candidate"]),
        )
    return table


def _pair(pair: WorstPair) -> RenderableType:
    head = Text.assemble((safe(pair.kind), "red"), "  ", safe(pair.summary), (f"  {safe(pair.id)}", "bright_black"))
    parts: list[RenderableType] = [head]
    if pair.prompt:
        parts.append(Text.assemble(("asked      ", "bright_black"), _excerpt(pair.prompt)))
    parts += (
        _side(leg, side) for leg, side in (("primary", pair.primary), ("candidate", pair.candidate)) if side.spans
    )
    return Rows(*parts)


def _side(leg: str, side: PairSide) -> Text:
    text = Text(f"{leg:<11}", style=_LEGS[leg])
    text.append_text(_spans(side.spans or []))
    return text


def _spans(spans: Spans) -> Text:
    """Return a text with what the other side does not have in reverse."""
    text = Text(style="none")
    room = _EXCERPT
    for stretch, differs in spans:
        text.append(_flat(stretch[:room]), style="reverse" if differs else "")
        room -= len(stretch)
        if room <= 0:
            text.append(" …")
            break
    return text


def _excerpt(text: str) -> str:
    return _flat(text[:_EXCERPT]) + (" …" if len(text) > _EXCERPT else "")


def _flat(text: str) -> str:
    return safe(text).replace("\n", " ").replace("\t", " ")
