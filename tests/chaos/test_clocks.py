"""Clocks that jump: what decides looks at the monotonic clock, so that a step of the wall clock cuts nothing short."""

from __future__ import annotations

import re

from mirrorgate.testing.processes import PROJECT

PACKAGE = PROJECT / "addons" / "mirrorgate"
DECIDING = (
    *("admission", "comparison", "routing", "scheduling", "inference", "shadow"),
    *("proxy/clocks.py", "proxy/flow_control.py", "proxy/upstream_side.py", "proxy/shedding.py", "proxy/dialing.py"),
    *("health.py", "director.py", "tries.py"),
)
"""Where timeouts, limits, ejections, budgets and evidence are decided."""


def test_nothing_that_decides_reads_the_wall_clock() -> None:
    """Timestamps are for people to read; intervals are of the monotonic clock, or of a `now` that is given."""
    files = [PACKAGE / name for name in DECIDING]
    modules = [module for each in files for module in (each.rglob("*.py") if each.is_dir() else [each])]
    assert len(modules) > 80
    wall = re.compile(r"\btime\.time(_ns)?\(|datetime\.now\(|from time import[^\n]*\btime\b")
    assert [str(each.relative_to(PACKAGE)) for each in modules if wall.search(each.read_text())] == []
