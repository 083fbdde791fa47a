"""Label values that clients choose, capped so that no client can grow the memory of whoever scrapes us."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NO_STATUS", "OTHER", "CappedLabel", "code_class", "operation"]

OTHER = "other"
"""What stands for every value without a place of its own."""

NO_STATUS = "none"

_LONGEST = 128
"""Characters of a label value. Model names are repository paths with a tag; nothing longer is one."""


class CappedLabel:
    """Up to *limit* distinct values; everything after is `other`.

    A value takes a place only once it is *proven*: the configuration declares it, or a server answered a request
    for it with success. Otherwise a client could fill the places with invented names, for which servers answer 404,
    and the real models would be `other` from then on.
    """

    def __init__(self, limit: int = 200) -> None:
        if limit < 1:
            raise ValueError("a label needs room for at least one value")
        self.limit = limit
        self.overflowed = 0
        self._known: dict[str, str] = {"": ""}

    def __len__(self) -> int:
        return len(self._known) - 1

    def declare(self, values: Iterable[str]) -> None:
        """Give the configuration's own values their places; they count towards the limit but are never refused."""
        for value in values:
            self._known.setdefault(value, _printable(value))

    def of(self, value: str, *, proven: bool) -> str:
        """Return the label for *value*; empty stays empty."""
        known = self._known.get(value)
        if known is not None:
            return known
        if proven and len(self) < self.limit and len(value) <= _LONGEST:
            return self._known.setdefault(value, _printable(value))
        self.overflowed += 1
        return OTHER


def _printable(value: str) -> str:
    """Replace what cannot be written as UTF-8 (lone surrogates) and what breaks a terminal or a log."""
    clean = value.encode("utf-8", "replace").decode("utf-8")
    return clean if clean.isprintable() else "".join(c if c.isprintable() else "�" for c in clean)


_CLASSES = {n: f"{n}xx" for n in range(1, 6)}


def code_class(status: int) -> str:
    """Return `2xx` and so on; `none` for 0 and for what is no HTTP status."""
    return _CLASSES.get(status // 100, NO_STATUS)


_OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "text_completion"),
    ("/embeddings", "embeddings"),
    ("/responses", "chat"),
    ("/messages", "chat"),
)


_KNOWN = {f"/v1{ending}": name for ending, name in _OPERATIONS}


def operation(path: str) -> str:
    """Return OpenTelemetry's `gen_ai.operation.name` for a request target; empty for anything else."""
    known = _KNOWN.get(path)
    if known is not None:
        return known
    bare = path.partition("?")[0]
    for ending, name in _OPERATIONS:
        if bare.endswith(ending):
            return name
    return ""
