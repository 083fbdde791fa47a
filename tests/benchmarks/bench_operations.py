"""What the most frequent operations cost in time: `pytest tests/benchmarks/bench_operations.py`.

Not collected otherwise. `scripts/bench --micro` counts their bytecodes, which do not depend on the machine.
"""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.bench.operations import OPERATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(benchmark: Any, name: str) -> None:
    """Repeated as often as pytest-benchmark finds right."""
    benchmark(OPERATIONS[name]())
