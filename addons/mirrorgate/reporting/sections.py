"""The parts of the page about one candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..comparison.guardrails import GuardrailName
from ..comparison.sketches import Quantiles
from ..comparison.verdict import Decision
from ..comparison.verdict_document import VerdictDocument
from .graphics import bar, evidence_bar, interval_graphic, standing_kind
from .markup import Content, Markup, join, tag
from .report import LegReport, ShadowReport
from .wording import count, explanation, percent, period, points, seconds, state

__all__ = ["shadow_sections", "table"]

_LATENCY_NAMES: Final = (
    ("ttft", "Time to first token"),
    ("itl", "Between tokens, mean of an answer"),
    ("e2e", "End to end"),
)
_OUTCOME_KINDS: Final = {
    "same": "good",
    "similar": "good",
    "different": "warn",
    "candidate_failed": "bad",
    "both_failed": "idle",
    "primary_failed": "idle",
    "not_comparable": "idle",
}


def shadow_sections(shadow: ShadowReport, index: int) -> Markup:
    """Return everything about one candidate but the worst pairs."""
    return join(
        _banner(shadow),
        _facts(shadow),
        _section("Guardrails", _GUARDRAILS, _guardrails(shadow)),
        _section("How the evidence grew", _EVIDENCE, _plots(index, "promote", "reject"), _focus(shadow, index)),
        _section("Latency", _LATENCY, _plots(index, *(name for name, _ in _LATENCY_NAMES)), _latencies(shadow)),
        _section("What the answers were", None, tag("div", *_answers(shadow, index), class_="two")),
        _section("By route and model", None, _groups(shadow)),
        _section("What was not compared", _COVERAGE, _coverage(shadow)),
    )


_GUARDRAILS: Final = (
    "Each guardrail is a loss of 1 or 0 for every answer; what counts is the candidate's minus the primary's, over the "
    "same requests. The dot is the mean so far, the line the interval that holds the true mean at all times at once "
    "with 95 % probability, the shaded side is worse than the margin that was declared acceptable. "
    "All guardrails that decide must pass for PROMOTE; one that fails is enough for REJECT."
)
_EVIDENCE: Final = (
    "Evidence is the gain of a bet against the opposite: at 100 : 1 the chance to be fooled is 1 in 100, however often "
    "one looks. Guardrails with the same history share a line."
)
_LATENCY: Final = (
    "The share of answers that are no slower than a time, measured from the request to each leg's server. The control "
    "is the primary asked again: its first token is flattered by a warm prefix cache."
)
_COVERAGE: Final = (
    "Drops are decided before the candidate is asked, from the request alone, so that they favour neither side. "
    "A pair whose client left scores neither side."
)


def table(columns: Iterable[tuple[str, str]], rows: Iterable[Iterable[Content]], none: str) -> Markup:
    """Return a table; a column is its title and the class of its cells, `n` for numbers."""
    heads = list(columns)
    body = [
        tag("tr", *(tag("td", cell, class_=kind or None) for cell, (_, kind) in zip(row, heads, strict=True)))
        for row in rows
    ]
    if not body:
        return tag("p", none, class_="empty")
    head = tag("tr", *(tag("th", title, class_=kind or None, scope="col") for title, kind in heads))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")


def _section(title: str, explained: str | None, *contents: Content) -> Markup:
    note = tag("p", explained, class_="explain") if explained else None
    return tag("section", tag("h3", title), note, *contents)


def _banner(shadow: ShadowReport) -> Markup:
    word = shadow.document.verdict.value
    return tag("div", tag("strong", word), tag("span", shadow.document.reason), class_=f"banner {word.lower()}")


def _facts(shadow: ShadowReport) -> Markup:
    document, legs = shadow.document, shadow.legs
    needed = "–"
    if document.verdict is Decision.HOLD:
        needed = "not to be expected" if document.pairs_needed is None else f"about {count(document.pairs_needed)}"
    open_now = f", {count(document.open_conversations)} still open" if document.open_conversations else ""
    facts: list[tuple[str, Content, str]] = [
        ("Observations", count(document.pairs), f"pairs, or conversations of several turns{open_now}"),
        ("More needed", needed, f"if the rest is like the past; at least {count(document.min_pairs)} in all"),
        ("Exchanges read", count(shadow.pairs), period(shadow.first, shadow.last)),
        (
            "Compared",
            percent(document.coverage.share),
            f"of what was mirrored; {percent(document.coverage.minimum, 0)} is the least",
        ),
        ("Primary", _models(legs["primary"]), "production"),
        ("Candidate", _models(legs["candidate"]), shadow.cluster),
        ("Mode", document.mode, _mode_words(document)),
        (
            "Chance to be wrong",
            f"PROMOTE ≤ {percent(document.alpha_promote, 0)}, REJECT ≤ {percent(document.alpha_reject, 0)}",
            "at any moment at which one looks",
        ),
    ]
    if len(document.ledgers) > 1:
        facts.append(
            ("Streams of evidence", count(len(document.ledgers)), "added up: replicas, or starts without a state")
        )
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value), tag("small", note)) for name, value, note in facts),
        class_="facts",
    )


def _mode_words(document: VerdictDocument) -> str:
    if document.mode == "replacement":
        return "another model: divergence is shown and decides nothing"
    measured = any(standing.name == GuardrailName.DIVERGENCE for standing in document.standings)
    return (
        f"the same model served anew: divergence {'decides' if measured else 'is not measured without a control arm'}"
    )


def _models(leg: LegReport) -> str:
    names = list(leg.models)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "unknown"


def _guardrails(shadow: ShadowReport) -> Markup:
    document = shadow.document
    rows: list[list[Content]] = []
    for standing in document.standings:
        kind = standing_kind(standing)
        worse, better = shadow.worse.get(standing.name, 0), shadow.better.get(standing.name, 0)
        interval = tag("small", f"{points(standing.low)} to {points(standing.high)}")
        rows.append(
            [
                join(tag("b", standing.name), tag("small", explanation(standing.name))),
                tag("span", state(standing), class_=f"tag {kind}"),
                join(points(standing.mean), interval),
                interval_graphic(standing),
                points(standing.margin),
                join(
                    evidence_bar("within", standing.log_ni, document.promote_at, "good"),
                    evidence_bar("worse", standing.log_rej, document.reject_at, "bad"),
                ),
                f"{count(worse)} / {count(better)}",
            ]
        )
    heads = (
        ("guardrail", "name"),
        ("state", ""),
        ("difference", "n"),
        ("better ← 0 → worse", ""),
        ("margin", "n"),
        ("evidence", ""),
        ("worse / better", "n"),
    )
    return table(heads, rows, "No guardrail is declared.")


def _plots(index: int, *kinds: str) -> Markup:
    plots = (tag("div", class_="plot", data_plot=kind, data_shadow=str(index)) for kind in kinds)
    return tag("div", *plots, class_="plots")


def _focus(shadow: ShadowReport, index: int) -> Markup | None:
    if not shadow.focus or shadow.document.guardrail is None:
        return None
    return tag("div", tag("div", class_="plot", data_plot="focus", data_shadow=str(index)), class_="plots")


def _latencies(shadow: ShadowReport) -> Markup:
    rows: list[list[Content]] = []
    for name, title in _LATENCY_NAMES:
        for leg, by_name in shadow.document.latencies.items():
            found: Quantiles = by_name[name]
            if found.count:
                numbers = (found.p50, found.p90, found.p95, found.p99)
                rows.append([title, tag("span", leg, class_=f"leg {leg}"), count(found.count), *map(seconds, numbers)])
    numeric = [(title, "n") for title in ("answers", "p50", "p90", "p95", "p99")]
    return table([("", ""), ("leg", ""), *numeric], rows, "No latency was measured.")


def _answers(shadow: ShadowReport, index: int) -> Iterable[Markup]:
    yield tag(
        "div",
        tag("h4", "Similarity"),
        tag("p", "Of the candidate's text to the primary's; 1 is equal.", class_="explain"),
        _plots(index, "similarity"),
    )
    yield tag("div", tag("h4", "Outcomes"), _counts(shadow.document.outcomes, _OUTCOME_KINDS))
    legs = [(leg, report) for leg, report in shadow.legs.items() if report.answers]
    yield tag("div", tag("h4", "Why answers ended"), _by_leg(legs, "finish_reasons"))
    yield tag("div", tag("h4", "Status"), _by_leg(legs, "statuses"))


def _counts(counts: Mapping[str, int], kinds: Mapping[str, str]) -> Markup:
    whole = sum(counts.values())
    rows = [
        [word.replace("_", " "), count(number), bar(number / whole, kinds.get(word, "")), percent(number / whole)]
        for word, number in counts.items()
    ]
    return table((("outcome", ""), ("pairs", "n"), ("", "wide"), ("share", "n")), rows, "None.")


def _by_leg(legs: list[tuple[str, LegReport]], field: str) -> Markup:
    counts: list[dict[str, int]] = [getattr(report, field) for _, report in legs]
    words = sorted(
        {word for each in counts for word in each}, key=lambda word: -sum(each.get(word, 0) for each in counts)
    )
    rows = [
        [word, *(percent(each.get(word, 0) / (sum(each.values()) or 1)) if each else "–" for each in counts)]
        for word in words
    ]
    heads = [("", ""), *((f"{leg}", "n") for leg, _ in legs)]
    return table(heads, rows, "None.")


def _groups(shadow: ShadowReport) -> Markup:
    rows = []
    for group in shadow.groups:
        different = group.outcomes.get("different", 0)
        failed = group.outcomes.get("candidate_failed", 0)
        rows.append(
            [
                group.route,
                group.model,
                count(group.pairs),
                percent(failed / group.pairs),
                percent(different / group.pairs),
                "–" if group.similarity is None else f"{group.similarity:.3f}",
                *(seconds(group.ttft[leg]) for leg in ("primary", "candidate")),
                *(seconds(group.e2e[leg]) for leg in ("primary", "candidate")),
            ]
        )
    names = ("pairs", "candidate failed", "different", "similarity", "TTFT p50", "candidate", "E2E p50", "candidate")
    return table([("route and rule", "id"), ("model", "id"), *((name, "n") for name in names)], rows, "No pairs.")


def _coverage(shadow: ShadowReport) -> Markup:
    coverage = shadow.document.coverage
    rows: list[list[Content]] = [
        ["compared", count(coverage.compared), "scored"],
        ["unscored", count(coverage.unscored), "says nothing of either side, such as a client that left"],
    ]
    rows += [["dropped", count(number), reason.replace("_", " ")] for reason, number in coverage.reasons.items()]
    rows += [
        ["no score", count(number), f"the scorer of {name} gave no number"]
        for name, number in shadow.document.scorer_failures.items()
    ]
    return table((("", ""), ("exchanges", "n"), ("", "wide")), rows, "Nothing.")
