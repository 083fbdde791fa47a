"""The report as one HTML file: style, script, plotting library and data are in it, and nothing is fetched.

A Content-Security-Policy in the file allows exactly its own scripts, by their hashes, and no request at all: what
clients and models wrote is shown as text, and could do nothing if it were not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

import msgspec
from plotly.offline import get_plotlyjs

from .facts import READER_FACTS, reading_facts, subject_words
from .markup import Content, Markup, tag
from .pairs_section import worst_section
from .plots import plot_data
from .report import Reading, Report, ShadowReport
from .sections import shadow_sections, table
from .wording import count, period, safe, when

__all__ = ["page_of"]


def page_of(report: Report) -> str:
    """Return the document."""
    library, script = get_plotlyjs(), _asset("report.js")
    sources = " ".join(f"'{_hash(text)}'" for text in (library, script))
    policy = (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = msgspec.json.encode([plot_data(shadow) for shadow in report.shadows]).decode()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{report.verdict.value}: Mirrorgate report"),
        tag("style", Markup(_asset("report.css"))),
    )
    body = tag(
        "body",
        _header(report),
        tag("main", *_shadows(report), _reading(report.reading), _reader()),
        # `<` in a JSON text can only stand in a string, where its escape means the same.
        tag("script", Markup(safe(data).replace("<", "\\u003c")), type="application/json", id="data"),
        tag("script", Markup(library)),
        tag("script", Markup(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _header(report: Report) -> Markup:
    links: Markup | None = None
    if len(report.shadows) > 1:
        links = tag(
            "nav",
            *(
                tag("a", f"{shadow.cluster}: {shadow.document.verdict.value}", href=f"#shadow-{index}")
                for index, shadow in enumerate(report.shadows)
            ),
        )
    made = f"made {when(report.made)} by version {report.version}"
    return tag("header", tag("h1", "Mirrorgate report"), tag("p", made, class_="muted"), links)


def _shadows(report: Report) -> Iterable[Markup]:
    if not report.shadows:
        yield tag("div", tag("strong", report.verdict.value), tag("span", report.reason), class_="banner hold")
    elif len(report.shadows) > 1:
        words = (
            tag("strong", report.verdict.value),
            tag("span", f"over {len(report.shadows)} candidates: {report.reason}"),
        )
        yield tag("div", *words, class_=f"banner {report.verdict.value.lower()}")
    for index, shadow in enumerate(report.shadows):
        yield tag(
            "article",
            tag("h2", shadow.cluster, tag("small", subject_words(shadow.document.subject))),
            shadow_sections(shadow, index),
            worst_section(shadow),
            _earlier(shadow),
            id=f"shadow-{index}",
        )


def _earlier(shadow: ShadowReport) -> Markup | None:
    if not shadow.earlier:
        return None
    rows = [
        [each.identity, each.decision.value, each.reason, count(each.pairs), period(each.since, each.until)]
        for each in shadow.earlier
    ]
    heads = (("identity", "id"), ("verdict", ""), ("reason", "wide"), ("pairs", "n"), ("period", ""))
    note = "Models, targets or policy were others then: that is no evidence for what is compared now."
    return tag(
        "section", tag("h3", "Compared before"), tag("p", note, class_="explain"), table(heads, rows, "Nothing.")
    )


def _reading(reading: Reading) -> Markup:
    damage: Content = None
    if reading.damages:
        rows = [[each.file, count(each.line), each.reason] for each in reading.damages]
        damage = table((("file", "id"), ("line", "n"), ("why", "wide")), rows, "None.")
    facts = (tag("p", fact, class_="explain") for fact in reading_facts(reading))
    return tag("section", tag("h3", "What was read"), *facts, damage)


def _reader() -> Markup:
    return tag("section", tag("h3", "How to read this"), tag("ul", *(tag("li", fact) for fact in READER_FACTS)))
