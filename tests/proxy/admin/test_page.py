"""The dashboard's document."""

from __future__ import annotations

import base64
import hashlib
import re

from mirrorgate.comparison.verdict import Standing
from mirrorgate.comparison.verdict_document import VerdictDocument
from mirrorgate.comparison.worst_pairs import PairSide, WorstPair
from mirrorgate.proxy.admin.page import load_page
from mirrorgate.reporting.wording import EXPLANATIONS


def test_nothing_comes_from_elsewhere() -> None:
    """No address of another server, no import, no font, no image: it works without a network."""
    text = load_page().body.decode().replace('"http://www.w3.org/2000/svg"', "")  # a name, never fetched
    assert not re.search(r"https?:|//[a-z0-9-]+\.|@import|url\(|src=|integrity", text)
    assert re.findall(r'href="([^"]*)"', text) == [
        "data:,", "/resources", "/routes", "/clusters", "/exchanges", "/verdict", "/metrics",
    ]  # fmt: skip


def test_the_policy_names_what_is_in_the_page() -> None:
    """The hashes are those of the one style and the one script, and nothing inline escapes them."""
    page = load_page()
    text = page.body.decode()
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        expected = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{expected}'" in page.policy
    assert not re.search(r"\sstyle=|\son[a-z]+=", text)


def test_the_script_writes_text_only() -> None:
    """What clients and servers say is never read as markup."""
    text = load_page().body.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)


def test_the_page_has_its_parts() -> None:
    """Everything the script looks for is in the markup; both colour schemes are there."""
    text = load_page().body.decode()
    for name in re.findall(r'byId\("([a-z-]+)"\)', text):
        assert f'id="{name}"' in text
    assert "prefers-color-scheme: dark" in text
    assert "collecting" in text


def test_the_script_reads_what_the_verdict_has() -> None:
    """Every field that is asked of a document, a guardrail's standing and a pair is one that it has."""
    text = load_page().body.decode()
    for word, kind in (("shadow", VerdictDocument), ("standing", Standing), ("pair", WorstPair), ("answer", PairSide)):
        asked = set(re.findall(rf"\b{word}\.([a-z0-9_]+)", text)) - {"id"}
        assert asked <= set(kind.__annotations__), kind


def test_every_guardrail_is_explained_as_in_the_report() -> None:
    """Page and report say the same words."""
    (losses,) = re.findall(r"const LOSSES = \{(.*?)\n\};", load_page().body.decode(), re.DOTALL)
    assert dict(re.findall(r'  ([a-z0-9_]+): "([^"]+)"', losses)) == {
        str(name): text for name, text in EXPLANATIONS.items()
    }
