"""What the shadow process reads of a ShadowPolicy; it travels as JSON with each target.

Read with msgspec instead of the pydantic model, which would double the process's start-up time. Field names are taken
as the API writes them or as Python does. A policy that cannot be read counts as the default one, which stores nothing.
"""

from __future__ import annotations

import enum
import functools
import logging
import re
from typing import Any, Final

import msgspec

__all__ = [
    "Candidate",
    "ContentPolicy",
    "Control",
    "Guardrail",
    "Ignore",
    "Journal",
    "Policy",
    "Scorer",
    "Slo",
    "TokenBudget",
    "policy_of",
]

logger = logging.getLogger(__name__)


class ContentPolicy(enum.StrEnum):
    """What of prompts and answers may be stored."""

    NONE = "none"
    """Keyed hashes and numbers only."""
    REDACTED = "redacted"
    FULL = "full"


class TokenBudget(msgspec.Struct, frozen=True):
    tokens: int
    interval: float


class Candidate(msgspec.Struct, frozen=True):
    model_name: str | None = None
    token_budget: TokenBudget | None = None


class Control(msgspec.Struct, frozen=True):
    percent: int = 0


class Scorer(msgspec.Struct, frozen=True):
    url: str | None = None
    entry_point: str | None = None


class Guardrail(msgspec.Struct, frozen=True):
    name: str
    margin: float | None = None
    enabled: bool = True
    scorer: Scorer | None = None


class Slo(msgspec.Struct, frozen=True):
    """Seconds; `None` is not declared."""

    ttft: float | None = None
    itl: float | None = None
    e2e: float | None = None


class Ignore(msgspec.Struct, frozen=True):
    json_paths: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


class Journal(msgspec.Struct, frozen=True):
    content: ContentPolicy = ContentPolicy.NONE
    redact_patterns: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """Fields and defaults of `resources.shadow_policy.ShadowPolicySpec`."""

    mode: str = "replacement"
    candidate: Candidate = Candidate()
    control: Control = Control()
    guardrails: tuple[Guardrail, ...] = ()
    alpha_promote: float = 0.01
    alpha_reject: float = 0.05
    min_pairs: int = 200
    conversation_window: float = 60.0
    slo: Slo | None = None
    ignore: Ignore = Ignore()
    journal: Journal = Journal()


_DURATIONS: Final = frozenset({"conversation_window", "interval", "ttft", "itl", "e2e"})
_DURATION_PART: Final = re.compile(r"(\d{1,5})(h|ms|m|s)")
_DURATION: Final = re.compile(r"(\d{1,5}(h|ms|m|s)){1,4}")
"""As the Gateway API writes it (GEP-2257)."""
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_HUMP: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


@functools.lru_cache(maxsize=256)
def policy_of(spec: bytes) -> Policy:
    """Read a policy; never raises."""
    try:
        return msgspec.convert(_snaked(msgspec.json.decode(spec or b"{}")), Policy)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        logger.error("a ShadowPolicy cannot be read, so nothing of its exchanges is stored: %s", error)
        return Policy()


def _snaked(value: Any, field: str = "") -> Any:
    """Return a JSON value with the names of its fields in snake case, and its durations as seconds."""
    if field in _DURATIONS and isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    if isinstance(value, dict):
        names = {key: _HUMP.sub(lambda hump: "_" + hump[1].lower(), key) for key in value}
        return {name: _snaked(value[key], name) for key, name in names.items()}
    if isinstance(value, list):
        return [_snaked(each) for each in value]
    return value
