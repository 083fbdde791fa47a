"""Regular expressions that a route declares: RE2's, which take time in proportion to what they read.

The Gateway's owner writes the pattern and a stranger writes the path: with backtracking, `(a+)+` and a few dozen
characters would hold the gateway for hours. RE2 is also the syntax that Envoy has, and so Envoy Gateway's manifests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import re2

__all__ = ["BadPattern", "Regex"]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class BadPattern(ValueError):
    """A pattern that RE2 does not understand, or that is too large for it."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled pattern. Raises `BadPattern`."""

    pattern: str
    _compiled: re2._Regexp = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = re2.compile(self.pattern.encode(), _OPTIONS)
        except re2.error as error:
            reason = error.args[0]
            raise BadPattern(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
        object.__setattr__(self, "_compiled", compiled)

    def fits(self, text: str) -> bool:
        """Tell whether the whole text matches; bytes that are no UTF-8 match nothing."""
        return self._compiled.fullmatch(text.encode("utf-8", "surrogateescape")) is not None
