"""The page: one file that fetches nothing and in which nothing that a model wrote can do anything."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from plotly.offline import get_plotlyjs

from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.reporting.page import page_of
from mirrorgate.reporting.reading import report_of
from mirrorgate.testing.journals import JournalMaker, plain_basis

HOSTILE = "</pre></script><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)>\u202e\x1b[2J"
VOID = {"meta", "br", "hr", "link"}


class Reader(HTMLParser):
    """Reads the page as a browser would, and keeps what a check needs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)
        if name == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        else:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """Return the page of a journal in which everything that a stranger chooses is an attack."""
    basis = plain_basis()
    policy = dataclasses.replace(basis.policy, guardrails=(*basis.policy.guardrails, Guardrail(HOSTILE, 0.1)))
    basis = msgspec.structs.replace(basis, subject={"candidate": {"ref": HOSTILE}}, mode=HOSTILE, policy=policy)
    journal = JournalMaker(tmp_path / "exchanges.jsonl", basis)
    for _ in range(5):
        journal.pair({"judge": 1.0}, text=HOSTILE, candidate=f"not {HOSTILE}", similarity=0.1, outcome=HOSTILE)
        journal.pair(summary=HOSTILE, route=HOSTILE, similarity=0.2, outcome="different", candidate=HOSTILE)
    journal.drop(**{HOSTILE: 3})
    journal.line(HOSTILE.encode())
    return page_of(report_of([tmp_path / "exchanges.jsonl"], 0.0))


def test_what_strangers_wrote_is_text(hostile: str) -> None:
    """No element, attribute or script comes from a journal, and the texts are all there."""
    reader = read(hostile)
    assert reader.open == []
    assert len(reader.scripts) == 3
    assert not [name for name, _ in reader.elements if name in ("img", "iframe", "object", "a", "form")]
    assert not [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert "<img src=//evil.example/x onerror=alert(1)>" in reader.text
    assert not set(hostile.replace(get_plotlyjs(), "")) & {"\x1b", "\u202e"}


def test_the_policy_allows_these_scripts_and_no_request(hostile: str) -> None:
    """The hashes are those of the library and of the page's own script; the data is none."""
    reader = read(hostile)
    policy = next(a["content"] for n, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = [text for attributes, text in reader.scripts if "type" not in attributes]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts} == allowed
    assert "connect-src" not in policy
    assert "unsafe-eval" not in policy


def test_nothing_comes_from_elsewhere(mixed: JournalMaker) -> None:
    """Outside of the plotting library no address stands in the page."""
    page = page_of(report_of([mixed.file], 0.0)).replace(get_plotlyjs(), "")
    assert not re.search(r"https?:|@import|url\(|\ssrc=|\shref=\"(?!#)", page)
    assert "prefers-color-scheme: dark" in page


def test_every_plot_has_its_drawing_and_its_data(mixed: JournalMaker) -> None:
    """The script knows each kind of plot, and the data is JSON with what it reads."""
    reader = read(page_of(report_of([mixed.file], 0.0)))
    (data,) = [json.loads(text) for attributes, text in reader.scripts if attributes.get("id") == "data"]
    script = next(text for attributes, text in reader.scripts if "DRAWN" in text)
    plots = {a["data-plot"] for _, a in reader.elements if "data-plot" in a}
    assert plots == {"promote", "reject", "focus", "ttft", "itl", "e2e", "similarity"}
    drawn = script[script.index("const DRAWN") :]
    assert all(re.search(rf"\b{plot}\b", drawn) for plot in plots if plot)
    assert len(data) == 1
    assert set(re.findall(r"shadow\.([a-z_]+)", script)) <= set(data[0])
    assert all(len(curve["values"]) == len(data[0]["pairs"]) for curve in data[0]["promote"])


def test_the_page_says_what_the_report_says(mixed: JournalMaker) -> None:
    """Verdict, reason, guardrails, worst pairs with marked words, drops."""
    report = report_of([mixed.file], 0.0)
    (shadow,) = report.shadows
    reader = read(page_of(report))
    for words in (report.verdict.value, shadow.document.reason, "token budget", "How to read this", "llama-70b"):
        assert words in reader.text
    assert all(standing.name in reader.text for standing in shadow.document.standings)
    assert sum(attributes.get("class") == "pair" for _, attributes in reader.elements) == len(shadow.document.worst)
    assert "mark" in {name for name, _ in reader.elements}


def test_a_journal_without_content_shows_no_text(tmp_path: Path) -> None:
    """Numbers and kinds are shown, and it is said why there is no text."""
    journal = JournalMaker(tmp_path / "exchanges.jsonl")
    for _ in range(4):
        journal.pair({"errors": 1.0}, text=None, similarity=None, outcome="candidate_failed", status=503)
    reader = read(page_of(report_of([tmp_path], 0.0)))
    assert "keeps no content" in reader.text
    assert "capital of France" not in reader.text


def test_several_candidates_are_linked(tmp_path: Path) -> None:
    """Each has its part, and the verdict over all stands above."""
    one = JournalMaker(tmp_path / "exchanges.jsonl", id="one")
    other = JournalMaker(tmp_path / "exchanges.jsonl", msgspec.structs.replace(one.basis, mirror="other"), "two")
    one.pair()
    other.pair()
    reader = read(page_of(report_of([tmp_path], 0.0)))
    assert [a["href"] for name, a in reader.elements if name == "a"] == ["#shadow-0", "#shadow-1"]
    assert {a.get("id") for name, a in reader.elements if name == "article"} == {"shadow-0", "shadow-1"}
    assert "over 2 candidates" in reader.text


def test_an_empty_journal_is_a_page(tmp_path: Path) -> None:
    """It says that there is nothing."""
    (tmp_path / "exchanges.jsonl").touch()
    assert "the journal holds no evidence" in read(page_of(report_of([tmp_path], 0.0))).text
