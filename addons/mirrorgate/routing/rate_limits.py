"""Which rate limits a request falls under, and under which key: the selectors of a rule, compiled.

Envoy Gateway, `BackendTrafficPolicy.rateLimit` v1alpha1. All selectors of a rule must hold, of its methods one
(measured: `docs/compatibility.md`). A `Distinct` selector gives each value a bucket of its own.
"""

from __future__ import annotations

import enum
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .paths import has_prefix, query_value
from .regexes import Regex

if TYPE_CHECKING:
    from .matching import Question

__all__ = [
    "AddressSelector",
    "Charge",
    "Limit",
    "MethodSelector",
    "PathSelector",
    "RateLimits",
    "Selector",
    "ValueSelector",
    "applying",
]

_LONGEST = 128
"""Characters of a key. Clients choose them, and ten thousand are kept: of a longer one its digest stands for it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ValueSelector:
    """Of a header (name lower case) or a query parameter. Neither `value` nor `regex`: each value is distinct."""

    name: str
    query: bool = False
    value: str | None = None
    regex: Regex | None = None
    invert: bool = False

    def key(self, question: Question, client: str) -> str | None:
        found = query_value(question.query, self.name) if self.query else question.header(self.name)
        if self.value is None and self.regex is None:
            return found
        if found is None:
            holds = False
        elif self.regex is None:
            holds = found == self.value
        else:
            holds = self.regex.fits(found)
        return "" if holds != self.invert else None


@dataclass(frozen=True, slots=True)
class MethodSelector:
    """One of several methods; each with whether any other is meant."""

    methods: tuple[tuple[str, bool], ...]

    def key(self, question: Question, client: str) -> str | None:
        return "" if any((question.method == name) != invert for name, invert in self.methods) else None


@dataclass(frozen=True, slots=True)
class PathSelector:
    """Exact when neither `prefix` nor `regex` says otherwise; the query is not looked at."""

    value: str
    prefix: bool = False
    regex: Regex | None = None
    invert: bool = False

    def key(self, question: Question, client: str) -> str | None:
        path = question.path
        if self.regex is not None:
            holds = self.regex.fits(path)
        else:
            holds = has_prefix(path, self.value) if self.prefix else path == self.value
        return "" if holds != self.invert else None


@dataclass(frozen=True, slots=True)
class AddressSelector:
    """The address that the client's connection comes from; `distinct` gives each one in the network its own bucket."""

    network: Network
    distinct: bool = False
    invert: bool = False

    def key(self, question: Question, client: str) -> str | None:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if (address in self.network) == self.invert:
            return None
        return str(address) if self.distinct else ""


Selector = ValueSelector | MethodSelector | PathSelector | AddressSelector
"""`key` returns `None` where a request does not fit, the value that tells buckets apart, or empty where none does."""


class Charge(enum.StrEnum):
    """What of an answer is charged to a limit once it is over."""

    NOTHING = "Nothing"
    TOTAL = "Total"
    """Tokens of the prompt and of the completion."""
    INPUT = "Input"
    OUTPUT = "Output"


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket, or one for each key."""

    meter: tuple[str, int, float]
    """The limit's name, how many it allows and in how many seconds: limits of the same meter are one."""
    selectors: tuple[Selector, ...] = ()
    cost: int = 1
    """What a request takes when it comes; 0 only asks that something is left."""
    charge: Charge = Charge.NOTHING
    shadow: bool = False
    """Whether a request over the limit is only counted."""
    told: bool = True
    """Whether answers carry the limit's headers."""

    def key(self, question: Question, client: str) -> tuple[str, ...] | None:
        """Return the bucket's key for a request, `None` when the limit does not apply to it."""
        parts: tuple[str, ...] = ()
        for selector in self.selectors:
            part = selector.key(question, client)
            if part is None:
                return None
            if part:
                parts += (
                    part if len(part) <= _LONGEST else hashlib.blake2b(part.encode("utf-8", "replace")).hexdigest(),
                )
        return parts


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits of one rule of an HTTPRoute."""

    local: tuple[Limit, ...] = ()
    """Slowest to fill first, the order in which Envoy takes from them (measured)."""
    default: Limit | None = None
    """Applies where none of `local` does."""
    every: tuple[Limit, ...] = ()
    """Apply whatever `local` says: global rules and limits by tokens."""


Applied = tuple[Limit, tuple[str, ...]]


def applying(limits: RateLimits, question: Question, client: str) -> Sequence[Applied]:
    """Return the limits that a request falls under with their keys, in the order in which they are taken from."""
    found: list[Applied] = []
    for limit in limits.local:
        key = limit.key(question, client)
        if key is not None:
            found.append((limit, key))
    if not found and limits.default is not None:
        found.append((limits.default, ()))
    for limit in limits.every:
        key = limit.key(question, client)
        if key is not None:
            found.append((limit, key))
    return found
