"""The documents say what is so: links lead somewhere, options exist, the transcript is what the command prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from mirrorgate.cli.__main__ import main
from mirrorgate.wiring.options import OPTIONS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Within the repository; other sites are not asked."""
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    inside = [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]
    assert [target for target in inside if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    """Paths of the source tree in code quotes."""
    named = re.findall(r"`((?:addons|config|docs|scripts|tests)/[\w./-]+)`", document.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_options_of_the_readme_are_the_gateways() -> None:
    """Names and defaults."""
    known = {option.name: option.default for option in OPTIONS}
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|", README, re.MULTILINE)
    assert len(rows) >= 8
    for name, shown in rows:
        default = known[name]
        if shown.startswith("`"):
            assert shown.strip("`") == str(default)
        elif shown.endswith("MiB"):
            assert int(shown.split()[0]) << 20 == default
        else:
            assert not default


def test_the_explanation_in_the_readme_is_what_check_prints(tmp_path: Path) -> None:
    """For the tutorial's manifests and request."""
    body = tmp_path / "request.json"
    body.write_text('{"model": "/model/llama2", "messages": [{"role": "user", "content": "introduce yourself"}]}')
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tutorial = str(ROOT / "config" / "seeds" / "circuit-breaker")
        request = ["--explain", "POST /v1/chat/completions", "-H", "host: example.com", "--body", str(body)]
        assert main(["check", tutorial, *request]) == 0
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert [line.strip() for line in shown[1].splitlines()] == [
        line.strip() for line in printed.getvalue().splitlines()[: shown[1].count("\n")]
    ]
