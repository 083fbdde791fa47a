"""Take personal data and secrets out of text before it is stored.

Patterns cannot find everything: a name in prose stays. Where that is not acceptable the content policy is `none`.
Checksums (Luhn, ISO 7064 mod 97) keep order numbers from being taken for cards and accounts. Every pattern of ours
has bounded repeats, so that no text makes it slow; a user's patterns are the user's to keep so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

__all__ = ["Redactor", "is_card", "is_iban"]

_SECRET_FIELD: Final = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|password|passwd|secret|access[_-]?token|authorization|cookie)$"
)
"""Names of fields whose text is a secret, whatever it looks like."""

_DEEPEST: Final = 200
"""Nesting beyond which a JSON value is replaced as a whole."""


def is_card(text: str) -> bool:
    """Say whether the digits of `text` are a payment card number: 13 to 19 of them, with a valid Luhn check digit."""
    digits = [int(c) for c in text if c.isdecimal() and c.isascii()]
    if not 13 <= len(digits) <= 19 or not any(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Say whether `text` is an IBAN with valid check digits (ISO 13616, ISO 7064 mod 97-10)."""
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_phone(text: str) -> bool:
    return 9 <= sum(c.isdecimal() for c in text) <= 15


def _always(_text: str) -> bool:
    return True


type _Rule = tuple[re.Pattern[str], str, Callable[[str], bool]]

_BUILT_IN: Final[tuple[_Rule, ...]] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,20000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"),
        "[PRIVATE KEY]",
        _always,
    ),
    (re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]{4,4096}"), "[TOKEN]", _always),
    (re.compile(r"\b(?i:bearer|basic)\s{1,3}[A-Za-z0-9._~+/=-]{12,4096}"), "[TOKEN]", _always),
    (
        re.compile(
            r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,256}|\bgh[pousr]_[A-Za-z0-9]{20,255}|\bgithub_pat_\w{20,255}"
            r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bxox[abeoprs]-[A-Za-z0-9-]{10,255}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{20,255}"
            r"|\bglpat-[\w-]{20,255}|\bnpm_[A-Za-z0-9]{36}"
        ),
        "[API KEY]",
        _always,
    ),
    (
        re.compile(
            r"(?i)(?<![a-z0-9])(?:api[_-]?key|password|passwd|secret|token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
            r"[^\s\"',;]{6,256}"
        ),
        "[SECRET]",
        _always,
    ),
    (re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[EMAIL]", _always),
    (re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?\b"), "[IBAN]", is_iban),
    (re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)"), "[CARD]", is_card),
    (
        re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\.?\d)"),
        "[IP]",
        _always,
    ),
    (re.compile(r"(?<![\w.])(?:\+|\(|\d)(?:[\d ()-]|(?<=\d{3})\.(?=\d{3})){7,22}\d(?![\w.]?\d)"), "[PHONE]", _is_phone),
)


class Redactor:
    """Replaces what the built-in and the user's patterns match."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Raises re.error for a pattern that cannot be compiled; the ShadowPolicy's validation refuses it earlier."""
        self._rules: tuple[_Rule, ...] = (
            *((re.compile(pattern), "[REDACTED]", _always) for pattern in patterns),
            *_BUILT_IN,
        )

    def text(self, text: str) -> str:
        """Return the text with every match replaced by the kind of what stood there."""
        for pattern, label, check in self._rules:
            text = pattern.sub(lambda match, label=label, check=check: _replaced(match, label, check), text)  # type: ignore[misc]
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value with every string in it redacted, the names of fields included."""
        if isinstance(value, str):
            return self.text(value)
        if depth >= _DEEPEST:
            return "[TOO DEEP]"
        if isinstance(value, list):
            return [self.value(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {self.text(str(key)): self._member(str(key), each, depth + 1) for key, each in value.items()}
        if isinstance(value, int) and not isinstance(value, bool):
            shown = self.text(str(value))
            return value if shown == str(value) else shown
        return value

    def _member(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str) and value and _SECRET_FIELD.search(name):
            return "[SECRET]"
        return self.value(value, depth)


def _replaced(match: re.Match[str], label: str, check: Callable[[str], bool]) -> str:
    found = match.group()
    return label if found and check(found) else found
