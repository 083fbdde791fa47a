import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.evidence import Evidence
from mirrorgate.testing.verdict_bench.bettors import Bettors

MARGINS = (0.005, 0.03, 0.3)
_rows = st.lists(
    st.tuples(*(st.sampled_from([-1.0, 0.0, 0.0, 1.0]) | st.floats(-1.0, 1.0) for _ in MARGINS)), max_size=60
)


@given(st.tuples(_rows, _rows).map(lambda runs: list(zip(*runs, strict=False))))
def test_arrays_gather_the_same_evidence(pairs: list[tuple[tuple[float, ...], ...]]) -> None:
    """For every run and guardrail what `Evidence` gathers, to nine digits."""
    bettors = Bettors(2, np.array(MARGINS))
    single = [[Evidence(margin) for margin in MARGINS] for _ in range(2)]
    for rows in pairs:
        bettors.update(np.array(rows))
        for run, row in enumerate(rows):
            for evidence, difference in zip(single[run], row, strict=True):
                evidence.update(difference)
    for run in range(2):
        for column, evidence in enumerate(single[run]):
            assert math.log(bettors.non_inferiority()[run, column]) == pytest.approx(evidence.log_ni, abs=1e-9)
            assert math.log(bettors.inferiority()[run, column]) == pytest.approx(evidence.log_rej, abs=1e-9)


def test_wealth_never_overflows() -> None:
    """A candidate that is far better or far worse for ever stays countable."""
    bettors = Bettors(2, np.array([0.3]))
    for _ in range(3000):
        bettors.update(np.array([[-1.0], [1.0]]))
    assert np.isfinite(bettors.non_inferiority()).all()
    assert np.isfinite(bettors.inferiority()).all()
