"""Two texts side by side, with the words that differ marked."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Span", "word_spans"]

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text that both sides have, or that only this side has."""

    text: str
    differs: bool


def word_spans(first: str, second: str, limit: int = 2000) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Split each text into spans that are common to both or not.

    Words, runs of white space and punctuation marks are compared whole. Of each text the first `limit` of them are
    compared; what lies beyond is one span that differs unless both sides have the same. The spans of a side joined
    are its text.
    """
    left, left_rest = _words(first, limit)
    right, right_rest = _words(second, limit)
    from rapidfuzz.distance import Indel  # as in `texts`

    left_spans: list[Span] = []
    right_spans: list[Span] = []
    for code in Indel.opcodes(left, right):
        differs = code.tag != "equal"
        _add(left_spans, "".join(left[code.src_start : code.src_end]), differs)
        _add(right_spans, "".join(right[code.dest_start : code.dest_end]), differs)
    _add(left_spans, left_rest, left_rest != right_rest)
    _add(right_spans, right_rest, left_rest != right_rest)
    return tuple(left_spans), tuple(right_spans)


def _words(text: str, limit: int) -> tuple[list[str], str]:
    words: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        if len(words) == limit:
            break
        words.append(match[0])
        end = match.end()
    return words, text[end:]


def _add(spans: list[Span], text: str, differs: bool) -> None:
    if not text:
        return
    if spans and spans[-1].differs == differs:
        spans[-1] = Span(spans[-1].text + text, differs)
    else:
        spans.append(Span(text, differs))
