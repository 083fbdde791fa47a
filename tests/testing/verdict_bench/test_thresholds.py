from mirrorgate.testing.verdict_bench.thresholds import FixedThresholds


def rolled_back(rule: FixedThresholds, answers: list[tuple[int, float]]) -> int | None:
    return next((number for number, answer in enumerate(answers, 1) if rule.observe(*answer)), None)


def test_a_window_is_checked_when_it_is_full() -> None:
    """Two failures in a hundred fail the check, one does not; nothing is looked at in between."""
    good = [(200, 0.1)] * 99
    assert rolled_back(FixedThresholds(1.0, 1), [*good, (500, 0.1)]) is None
    assert rolled_back(FixedThresholds(1.0, 1), [(0, 0.0), (503, 0.1), *good]) == 100
    assert rolled_back(FixedThresholds(1.0, 1), [(404, 0.1)] * 300) is None


def test_the_slowest_hundredth_may_be_slower() -> None:
    """The 99th percentile of a window of a hundred is its second slowest answer."""
    assert rolled_back(FixedThresholds(1.0, 1), [(200, 9.0), *[(200, 0.1)] * 99]) is None
    assert rolled_back(FixedThresholds(1.0, 1), [(200, 9.0)] * 2 + [(200, 0.1)] * 98) == 100


def test_failed_checks_add_up() -> None:
    """Good windows in between do not make up for bad ones."""
    bad, good = [(500, 0.1)] * 100, [(200, 0.1)] * 100
    assert rolled_back(FixedThresholds(1.0, 3), [*bad, *good, *bad, *good, *bad]) == 500
