"""The parts of the benchmark: which proxies do which work."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from .proxies import PROXIES

__all__ = ["HEALTHY", "TROUBLED", "Part", "pairs_of"]


class Part(enum.StrEnum):
    """What can be measured by itself."""

    COMPARE = "compare"
    """What a request and an event cost, beside other proxies."""
    PACED = "paced"
    """What streams at the pace of tokens are held up by."""
    TROUBLE = "trouble"
    """The same, with a shadow that hangs, floods, crashes, or whose process is killed."""
    WORKERS = "workers"
    """What a request costs several workers."""
    MEMORY = "memory"
    """What an idle proxy, an idle client and a stream hold."""


HEALTHY = ("mirrorgate", "mirrorgate-mirror")
"""Without a shadow, and with one that is well."""
TROUBLED = tuple(name for name, proxy in PROXIES.items() if proxy.trouble is not None)
"""With one in each kind of trouble."""

_COMPARED = ("mirrorgate", "mitmdump", "envoy", "nginx", "litellm", "mirrorgate-mirror", "envoy-mirror")
_READ = (*_COMPARED, "envoy-model")
"""Where the request has a body that says which model is asked for, so that reading it matters."""
_PACED = ("direct", "mirrorgate", "envoy", "mirrorgate-mirror", "envoy-mirror")

_WORK: dict[Part, dict[str, tuple[str, ...]]] = {
    Part.COMPARE: dict.fromkeys(("small", "upload"), _READ) | dict.fromkeys(("fresh", "download", "stream"), _COMPARED),
    Part.PACED: {"paced": _PACED},
    Part.TROUBLE: {"paced": ("direct", *HEALTHY, *TROUBLED)},
    Part.WORKERS: {"small": ("mirrorgate", "mirrorgate-workers")},
}


def pairs_of(parts: Iterable[Part]) -> dict[str, tuple[str, ...]]:
    """Return the proxies by scenario, each pair once and in the order of `PROXIES`."""
    wanted: dict[str, set[str]] = {}
    for part in parts:
        for scenario, names in _WORK.get(part, {}).items():
            wanted.setdefault(scenario, set()).update(names)
    return {scenario: tuple(name for name in PROXIES if name in names) for scenario, names in wanted.items()}
