"""What is installed is what is locked, and what is locked is what is asked for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")


def names(text: str) -> list[str]:
    """Return the requirement lines of a file."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def test_the_project_asks_for_what_is_locked() -> None:
    """`pyproject.toml` and `requirements.in` name the same packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == names((ROOT / "requirements.in").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_place(lock: str) -> None:
    """An exact version and its hashes, and the name of no index or machine."""
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==\S+(.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*)", text, re.MULTILINE)
    assert len(pins) > 20
    assert all("--hash" in rest for _, rest in pins)
    assert "://" not in text
    assert not re.search(r"(^|\s)-(i|f|-index|-extra|-find)", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_that_is_asked_for_is_locked(lock: str) -> None:
    """Adding a name without running `scripts/lock` fails here."""
    asked = names((ROOT / lock.replace(".txt", ".in")).read_text())
    locked = {name.lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)}
    assert {re.split(r"[=<>]", name)[0].lower() for name in asked} - locked == set()


def test_beside_the_addon_lies_one_package() -> None:
    """mitmproxy puts `addons/` on the path: a module there could shadow the standard library's."""
    found = {path.name for path in (ROOT / "addons").iterdir() if not path.name.startswith((".", "__"))}
    assert found <= {"gateway.py", "mirrorgate"}


def test_the_quickstart_is_part_of_the_package() -> None:
    """A wheel carries the manifests that the checkout keeps in `config/`."""
    packaged = ROOT / "addons" / "mirrorgate" / "quickstart"
    assert packaged.resolve() == ROOT / "config" / "quickstart"
    assert list(packaged.glob("*.yaml"))
