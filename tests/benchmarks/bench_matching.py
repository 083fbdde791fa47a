"""What a match costs by the number of rules: `pytest tests/benchmarks/bench_matching.py`.

Not collected otherwise. Compare the `10000` of a shape with its `10`: at most 1.5 times as much is the aim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirrorgate.routing.matching import Router
from mirrorgate.routing.table import HeaderMatch, Listener, Match, PathKind, PathMatch, RouteTable, Rule

SHAPES: dict[str, Callable[[int], tuple[str, PathMatch, list[HeaderMatch], list[HeaderMatch]]]] = {
    "hosts": lambda n: (f"h{n}.test", PathMatch(PathKind.PREFIX, "/"), [], []),
    "wildcards": lambda n: (f"*.h{n}.test", PathMatch(PathKind.PREFIX, "/"), [], []),
    "exact": lambda n: ("", PathMatch(PathKind.EXACT, f"/p/{n}/x"), [], []),
    "prefixes": lambda n: ("", PathMatch(PathKind.PREFIX, f"/p/{n}"), [], []),
    "models": lambda n: ("", PathMatch(PathKind.PREFIX, "/"), [HeaderMatch("x-model", f"m{n}")], []),
    "models-second": lambda n: (
        "", PathMatch(PathKind.PREFIX, "/"), [HeaderMatch("x-tenant", "t"), HeaderMatch("x-model", f"m{n}")], [],
    ),
    "queries": lambda n: ("", PathMatch(PathKind.PREFIX, "/"), [], [HeaderMatch("version", f"v{n}")]),
}  # fmt: skip


@pytest.mark.parametrize("rules", [10, 10_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_match(benchmark: Any, shape: str, rules: int) -> None:
    """The request fits the last rule of a table."""
    matches = []
    for index in range(rules):
        host, path, headers, query = SHAPES[shape](index)
        rule = Rule(("default", f"r{index}"), 0, None, f"c{index}")
        matches.append(Match(host, path, None, tuple(headers), tuple(query), rule, 0))
    listener = Listener(("default", "gw"), "http", 80, "HTTP", "", (), tuple(matches))
    router, last = Router(RouteTable((listener,))), rules - 1
    host = {"hosts": f"h{last}.test", "wildcards": f"a.h{last}.test"}.get(shape, "any.test")
    target = f"/p/{last}/x?version=v{last}"
    fields = ((b"host", host.encode()), (b"x-tenant", b"t"), (b"x-model", f"m{last}".encode()))
    found = benchmark(router.match, listener, "POST", host, target, fields)
    assert found is matches[-1]
