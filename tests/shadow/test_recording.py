"""A record is built from what the policy allows."""

import json
from pathlib import Path
from typing import Any

import msgspec

from mirrorgate.shadow.answering import AnswerReader
from mirrorgate.shadow.comparing import Comparer
from mirrorgate.shadow.pairing import Pair
from mirrorgate.shadow.policy import ContentPolicy, Journal, Policy
from mirrorgate.shadow.recording import Content

KEY = b"k" * 32


def content(kind: ContentPolicy) -> Content:
    return Content(Policy(journal=Journal(content=kind)), KEY)


def test_nothing_is_kept_without_content() -> None:
    """Every way to content gives `None`; hashes are there."""
    none = content(ContentPolicy.NONE)
    assert (none.kept, none.text("x"), none.value({"a": 1}), none.body(b"{}")) == (False, None, None, None)
    assert none.hash("abc") == none.hash(b"abc") != Content(Policy(), b"other key").hash("abc")


def test_a_body_is_stored_as_json_or_as_text() -> None:
    """JSON bodies are values, others are text, large ones are left out."""
    full = content(ContentPolicy.FULL)
    assert full.body(b'{"a": [1, "b"]}') == {"a": [1, "b"]}
    assert full.body(b"\xff plain") == "\ufffd plain"
    assert full.body(b"[" * 100_000) == "[" * 100_000
    assert full.body(b" " * (2 << 20)) is None
    assert full.body(None) is None


def test_long_texts_are_cut_and_say_so() -> None:
    """A text beyond the limit ends in an ellipsis; one that is no Unicode is made so."""
    full = content(ContentPolicy.FULL)
    cut = full.text("x" * 1_000_000)
    assert cut is not None
    assert len(cut) < 300_000
    assert cut.endswith("…")
    assert json.loads(msgspec.json.encode(full.text("a\ud800b"))) == "a?b"


def test_redaction_reaches_bodies_that_hide_behind_escapes() -> None:
    """An address that is written with JSON escapes is found."""
    redacted = content(ContentPolicy.REDACTED)
    assert redacted.body(b'{"m": "a\\u0040b.org"}') == {"m": "[EMAIL]"}
    assert redacted.body(b"mail a@b.org") == "mail [EMAIL]"


def test_the_documentation_names_every_field(new: Any) -> None:
    """A field that is added to the record is added to docs/journal.md."""
    reader = AnswerReader("POST")
    reader.feed(new.chat("hi"), 1.0)
    target = new.target(1, policy=b'{"journal": {"content": "full"}}')
    pair = Pair(
        1, new.started("a", [target]), new.finished("a", new.chat("ho")), 0, reader.answer, target, reader.answer
    )
    record = json.loads(Comparer(lambda: 1.0).judge(pair).compared.record)
    text = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()
    names = {*record, *record["request"], *record["candidate"], *record["candidate"]["choices"][0]}
    names |= {
        *record["comparison"],
        *record["comparison"]["candidate"],
        *record["policy"],
        *record["candidate"]["usage"],
    }
    assert sorted(name for name in names if f"`{name}`" not in text) == []
