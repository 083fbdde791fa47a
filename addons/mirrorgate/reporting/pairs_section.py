"""The worst pairs on the page: what was asked, and both answers side by side with the differing words marked."""

from __future__ import annotations

from typing import Final

from ..comparison.worst_pairs import PairSide, WorstPair
from .markup import Markup, join, tag
from .report import ShadowReport
from .variety import varied
from .wording import explanation, seconds, when

__all__ = ["worst_section"]

_OPEN: Final = 3
"""Pairs that are shown without a click."""


def worst_section(shadow: ShadowReport) -> Markup:
    """Return the pairs, the first ones opened."""
    if not shadow.document.worst:
        return tag(
            "section", tag("h3", "Worst pairs"), tag("p", "No pair speaks against the candidate.", class_="empty")
        )
    note = (
        "A few of each kind of harm, the worst first. Words that only one side has are marked. "
        "A candidate that differs is not thereby worse: that is what a scorer decides."
    )
    pairs = (_pair(pair, opened=place < _OPEN) for place, pair in enumerate(varied(shadow.document.worst)))
    return tag("section", tag("h3", "Worst pairs"), tag("p", note, class_="explain"), *pairs)


def _pair(pair: WorstPair, opened: bool) -> Markup:
    alike = "" if pair.similarity is None else f" · similarity {pair.similarity:.2f}"
    head = tag(
        "summary",
        tag("span", pair.kind, class_="tag bad", title=explanation(pair.kind)),
        " ",
        tag("span", pair.summary or pair.outcome.replace("_", " ")),
        tag("small", f"{when(pair.at)} · {pair.route} · {pair.id}{alike}"),
    )
    prompt = None if pair.prompt is None else join(tag("h4", "Asked"), tag("pre", pair.prompt, class_="prompt"))
    return tag("details", head, prompt, _sides(pair), open=opened, class_="pair")


def _sides(pair: WorstPair) -> Markup:
    return tag("div", _side("primary", pair.primary), _side("candidate", pair.candidate), class_="sides")


def _side(leg: str, side: PairSide) -> Markup:
    facts = [side.model, str(side.status) if side.status else side.outcome.replace("_", " ")]
    if side.broken:
        facts.append(side.broken.replace("_", " "))
    if side.finish_reason:
        facts.append(f"finish {side.finish_reason}")
    if side.completion_tokens is not None:
        facts.append(f"{side.completion_tokens} tokens")
    if side.ttft is not None:
        facts.append(f"TTFT {seconds(side.ttft)}")
    if side.e2e is not None:
        facts.append(f"E2E {seconds(side.e2e)}")
    line = tag("small", " · ".join(fact for fact in facts if fact))
    return tag("div", tag("h4", tag("span", leg, class_=f"leg {leg}")), line, _text(leg, side))


def _text(leg: str, side: PairSide) -> Markup:
    if side.spans is None:
        return tag("p", "The journal keeps no content (journal.content of the ShadowPolicy).", class_="empty")
    if not any(text for text, _ in side.spans):
        return tag("p", "No text.", class_="empty")
    return tag("pre", *(tag("mark", text) if differs else text for text, differs in side.spans), class_=leg)
