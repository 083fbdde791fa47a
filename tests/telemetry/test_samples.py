"""Values that are asked for at scrape time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mirrorgate.telemetry.samples import Sample, gather


def test_a_faulty_source_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """What it had said before, and what others say, is in the scrape."""
    faults: list[str] = []

    def broken() -> Iterator[Sample]:
        yield Sample("mirrorgate_ready", 1)
        raise RuntimeError("gone")

    families = gather([broken, lambda: [Sample("mirrorgate_shadow_paused", 0)]], faults.append)
    assert set(families) == {"mirrorgate_ready", "mirrorgate_shadow_paused"}
    assert faults == ["source"]
    assert "gone" in caplog.text


@pytest.mark.parametrize(
    "sample",
    [
        Sample("no_such_metric", 1),
        Sample("mirrorgate_requests_total", 1),
        Sample("mirrorgate_ttft_seconds", 1),
        Sample("mirrorgate_ready", 1, {"extra": "x"}),
        Sample("mirrorgate_breaker_open", 1, {"cluster": "c"}),
        Sample("mirrorgate_breaker_open", 1, {"cluster": "c", "limits": "x"}),
        Sample("mirrorgate_ready", "one"),  # type: ignore[arg-type]
    ],
)
def test_a_sample_that_the_table_does_not_know_is_left_out(sample: Sample) -> None:
    """Wrong names, kinds, labels and values are reported and never written."""
    faults: list[str] = []
    assert gather([lambda: [sample]], faults.append) == {}
    assert faults == ["sample"]


def test_the_later_of_two_samples_counts() -> None:
    """A scrape never has one series twice, which Prometheus would refuse whole."""
    samples = [Sample("mirrorgate_ready", 0), Sample("mirrorgate_ready", 1)]
    families = gather([lambda: samples], lambda _: None)
    assert families["mirrorgate_ready"].cells == {(): 1.0}
