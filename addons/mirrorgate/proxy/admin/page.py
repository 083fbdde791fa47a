"""The dashboard as one document: markup, style and script from the files beside this module, put together once."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

__all__ = ["Page", "load_page"]


_SCRIPTS: Final = ("dashboard.js", "verdict.js", "refreshing.js")
"""Joined into one, in this order."""


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    policy: str
    """Its Content-Security-Policy: this style and this script, by their hashes, requests to this server, no more."""


def load_page() -> Page:
    """Read the files and join them; nothing in the page comes from elsewhere, so it works without a network."""
    folder = files(__package__).joinpath("dashboard")
    markup, style, *scripts = (
        folder.joinpath(name).read_text("utf-8") for name in ("dashboard.html", "dashboard.css", *_SCRIPTS)
    )
    script = "".join(scripts)
    body = markup.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(body.encode("utf-8"), policy)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
