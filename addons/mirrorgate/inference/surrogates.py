"""Lone surrogates in JSON, as JavaScript clients write them after cutting a text in the middle of an emoji.

Python's decoder, hence most model servers, takes them; msgspec does not, since no Unicode text has them.
"""

from __future__ import annotations

import re

__all__ = ["repaired"]

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def repaired(body: bytes) -> bytes:
    r"""Replace each escaped lone surrogate by `\ufffd`, the replacement character; the length stays the same."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], body)
