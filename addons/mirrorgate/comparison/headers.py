"""Header fields against header fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["HeaderDifference", "compare_headers"]


@dataclass(frozen=True, slots=True)
class HeaderDifference:
    """A field that differs. Values of a repeated field are joined as in RFC 9110, section 5.3."""

    name: str
    primary: str | None
    """`None` where that side does not have the field."""
    candidate: str | None


def compare_headers(
    primary: Iterable[tuple[bytes, bytes]], candidate: Iterable[tuple[bytes, bytes]], ignored: Iterable[str]
) -> tuple[HeaderDifference, ...]:
    """Compare two lists of fields by name, in the order of their names; `ignored` is in lower case."""
    left, right = _joined(primary), _joined(candidate)
    names = sorted((left.keys() | right.keys()) - set(ignored))
    return tuple(
        HeaderDifference(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)
    )


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return {name: ", ".join(held) for name, held in values.items()}
