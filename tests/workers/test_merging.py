"""Metrics of workers as those of one gateway."""

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from mirrorgate.telemetry.metrics import Metrics
from mirrorgate.telemetry.names import SPECS, Kind
from mirrorgate.workers.merging import Totals, parse

ONE = """# HELP mirrorgate_requests_total Requests.
# TYPE mirrorgate_requests_total counter
mirrorgate_requests_total{leg="primary",model="a b"} 3
# HELP mirrorgate_config_rules Rules.
# TYPE mirrorgate_config_rules gauge
mirrorgate_config_rules 4
# HELP mirrorgate_breaker_remaining Room.
# TYPE mirrorgate_breaker_remaining gauge
mirrorgate_breaker_remaining{cluster="c"} 2
# HELP mirrorgate_breaker_in_use Used.
# TYPE mirrorgate_breaker_in_use gauge
mirrorgate_breaker_in_use{cluster="c"} 2
# HELP mirrorgate_journal_records_total Records.
# TYPE mirrorgate_journal_records_total counter
mirrorgate_journal_records_total{result="written"} 9
# HELP h Spread.
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 2
h_sum 2.5
h_count 2
"""


def told(totals: Totals) -> dict[str, float]:
    """Return every sample by its name and labels."""
    return {
        sample.name + "".join(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(b"".join(totals.lines()).decode())
        for sample in family.samples
    }


def test_counters_and_histograms_add_up_and_gauges_go_by_their_meaning() -> None:
    """What each has adds up, what all know is told once, room is the least that one sees."""
    totals = Totals()
    totals.take(0, ONE)
    totals.take(1, ONE.replace('remaining{cluster="c"} 2', 'remaining{cluster="c"} 1'))
    found = told(totals)
    assert found["mirrorgate_requests_totala bprimary"] == 6
    assert found["mirrorgate_config_rules"] == 4
    assert found["mirrorgate_breaker_remainingc"] == 1
    assert found["mirrorgate_breaker_in_usec"] == 4
    assert found["mirrorgate_journal_records_totalwritten"] == 9
    assert (found["h_bucket1"], found["h_bucket+Inf"], found["h_sum"], found["h_count"]) == (2, 4, 5, 4)


def test_no_counter_falls_when_a_worker_dies() -> None:
    """Its part stays, its gauges go, and a new worker counts on top of it."""
    totals = Totals()
    totals.take(0, ONE)
    totals.take(1, ONE)
    totals.bury(1)
    found = told(totals)
    assert found["mirrorgate_requests_totala bprimary"] == 6
    assert found["mirrorgate_breaker_in_usec"] == 2
    assert found["mirrorgate_journal_records_totalwritten"] == 9
    totals.take(1, ONE)
    assert told(totals)["mirrorgate_requests_totala bprimary"] == 9
    totals.bury(1)
    totals.bury(1)
    assert told(totals)["mirrorgate_requests_totala bprimary"] == 9


def test_what_a_worker_tells_can_be_read_back() -> None:
    """Our own exposition, process metrics included, survives reading and writing."""
    _, pieces = Metrics(CollectorRegistry(), mitmproxy="x").render_pieces("")
    text = b"".join(pieces).decode()
    totals = Totals()
    totals.take(0, text)
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert names == {
        sample.name
        for family in text_string_to_metric_families(b"".join(totals.lines()).decode())
        for sample in family.samples
    }


def test_a_share_is_never_added() -> None:
    """Two workers that both say 0.5, or both say when something happened, do not say 1, or the year 4052."""
    for spec in SPECS.values():
        meant_once = any(word in spec.name for word in ("timestamp", "usage", "coverage", "_age_", "average", "_info"))
        if spec.kind is Kind.GAUGE and meant_once:
            totals = Totals()
            for worker in range(2):
                totals.take(worker, f"# HELP {spec.name} x\n# TYPE {spec.name} gauge\n{spec.name} 0.5\n")
            assert set(told(totals).values()) == {0.5}, spec.name


def test_kinds_are_read() -> None:
    """The TYPE line says what a metric is."""
    assert {family.name: family.kind for family in parse(ONE).values()}["h"] == "histogram"


ADDED = {
    "envoy_cluster_upstream_cx_active",
    "envoy_cluster_upstream_rq_active",
    "envoy_cluster_upstream_rq_pending_active",
    "inference_extension_flow_control_queue_bytes",
    "inference_extension_flow_control_queue_size",
    "inference_objective_running_requests",
    "mirrorgate_breaker_in_use",
    "mirrorgate_buffered_body_bytes",
    "mirrorgate_capture_held_bytes",
    "mirrorgate_downstream_connections",
    "mirrorgate_downstream_requests_active",
    "mirrorgate_endpoint_inflight",
    "mirrorgate_shadow_queue_bytes",
    "mirrorgate_shadow_queue_limit_bytes",
    "mirrorgate_worker_up",
}


def test_every_gauge_has_a_meaning_over_workers() -> None:
    """A gauge that is new adds up only when somebody has said so here, and in `merging` otherwise what it does."""
    found = set()
    for spec in SPECS.values():
        if spec.kind is Kind.GAUGE:
            totals = Totals()
            for worker in range(2):
                totals.take(worker, f"# HELP {spec.name} x\n# TYPE {spec.name} gauge\n{spec.name} 3\n")
            if told(totals)[spec.name] == 6:
                found.add(spec.name)
    assert found == ADDED
