"""Every input that a fuzzer was started with or has found, as a plain test; `scripts/fuzz` finds more."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirrorgate.testing.fuzzing.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_each_target_has_inputs() -> None:
    """And each folder is a target's."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_shows_no_defect(path: Path) -> None:
    """Whole and cut off at each eighth: what a fuzzer would try first."""
    data = path.read_bytes()
    for eighth in range(1, 9):
        TARGETS[path.parent.name](data[: len(data) * eighth // 8])
