import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.vectors import cosine, mean_cosine


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ((1.0, 0.0), (2.0, 0.0), 1.0),
        ((1.0, 0.0), (0.0, 3.0), 0.0),
        ((1.0, 0.0), (-1.0, 0.0), -1.0),
        ((1e300, 1e300), (1e300, 1e300), 1.0),
        ((0.0, 0.0), (1.0, 0.0), None),
        ((1.0,), (1.0, 2.0), None),
        ((), (), None),
        ((float("inf"),), (1.0,), None),
    ],
)
def test_cosine(first: tuple[float, ...], second: tuple[float, ...], value: float | None) -> None:
    """Directions are compared whatever their length; what has none has no answer."""
    assert cosine(first, second) == (value if value is None else pytest.approx(value))


def test_mean_needs_every_pair() -> None:
    """Vectors that cannot be compared leave no mean."""
    assert mean_cosine([(1.0, 0.0), (0.0, 1.0)], [(1.0, 0.0), (1.0, 0.0)]) == pytest.approx(0.5)
    assert mean_cosine([(1.0,)], [(1.0,), (1.0,)]) is None
    assert mean_cosine([(1.0,), (0.0,)], [(1.0,), (1.0,)]) is None


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8))
def test_cosine_is_symmetric_and_bounded(pairs: list[tuple[float, float]]) -> None:
    """It never leaves [-1, 1]."""
    first, second = zip(*pairs, strict=True)
    value = cosine(first, second)
    assert value == cosine(second, first)
    assert value is None or -1.0 <= value <= 1.0
