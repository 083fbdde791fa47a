"""Text against text: equality that is blind to form, similarity, and where two texts part."""

from __future__ import annotations

import unicodedata

__all__ = ["first_divergence", "normalised", "similarity"]


def normalised(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), with each run of white space as one space and none outside."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def similarity(first: str, second: str, limit: int) -> float:
    """Return the share of characters that the two have in common in order, from 0 to 1; symmetric.

    The normalised Indel similarity (2 * LCS / total length) of the first `limit` characters of each side. Two empty
    texts are equal: 1.
    """
    from rapidfuzz.distance import Indel  # only the shadow process and reports compare: 2 MiB that a gateway spares

    return Indel.normalized_similarity(first[:limit], second[:limit])


def first_divergence(first: str, second: str) -> int | None:
    """Return the index of the first character that differs, `None` for equal texts.

    Where one text is the beginning of the other it is the shorter one's length.
    """
    if first == second:
        return None
    low, high = 0, min(len(first), len(second))
    # Bisection over prefixes: slices compare at memory speed, characters in a loop would not.
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
