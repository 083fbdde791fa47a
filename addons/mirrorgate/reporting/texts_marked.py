"""Two answers side by side, with the words that differ marked."""

from __future__ import annotations

from typing import Final

from ..comparison.differences import Span, word_spans
from .markup import Markup, join, tag

__all__ = ["marked"]

_WORDS: Final = 2000


def marked(primary: str, candidate: str) -> tuple[Markup, Markup]:
    """Return both texts as markup; a stretch that only one side has is a `mark`."""
    left, right = word_spans(primary, candidate, _WORDS)
    return _side(left), _side(right)


def _side(spans: tuple[Span, ...]) -> Markup:
    return join(tag("mark", span.text) if span.differs else span.text for span in spans)
