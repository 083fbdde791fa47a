"""HTML that is safe by construction: what is not marked as markup is escaped.

Prompts, answers, model names and paths come from clients and models; none of them is ever read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from .wording import safe

__all__ = ["Content", "Markup", "join", "tag"]

_VOID: Final = frozenset({"br", "hr", "link", "meta"})
"""Elements of HTML that have no end; those of SVG do."""


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


type Content = str | Iterable[Content] | None


def join(*contents: Content) -> Markup:
    """Return contents one after the other; texts are escaped, `None` is left out."""
    return Markup("".join(_pieces(contents)))


def tag(name: str, /, *contents: Content, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    An attribute's `_` is written as `-` and one at its end is dropped, as in `class_`; `True` is an attribute without
    a value, `False` and `None` leave it out.
    """
    shown = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        text = f"{value:g}" if isinstance(value, float) else str(value)
        shown += f" {key}" if value is True else f' {key}="{escape(safe(text))}"'
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(*contents)}</{name}>")


def _pieces(contents: Iterable[Content]) -> Iterable[str]:
    for content in contents:
        if content is None:
            continue
        if isinstance(content, Markup):
            yield content
        elif isinstance(content, str):
            yield escape(safe(content))
        else:
            yield from _pieces(content)
