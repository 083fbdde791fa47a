"""The document of options and commands is what the source says."""

from __future__ import annotations

from pathlib import Path

from mirrorgate.cli.__main__ import COMMANDS
from mirrorgate.cli.reference import markdown
from mirrorgate.wiring.options import OPTIONS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "options.md"


def test_the_document_is_current() -> None:
    """`python -m mirrorgate.cli.reference > docs/options.md` writes it anew."""
    assert DOCUMENT.read_text("utf-8") == markdown()


def test_every_option_and_command_is_in_it() -> None:
    """With a row or a heading of its own."""
    text = markdown()
    assert all(f"| `{option.name}` |" in text for option in OPTIONS)
    assert all(f"### mirrorgate {name}\n" in text for name in COMMANDS)
