"""The subscriber behind /metrics, as its scrapers see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mirrorgate.events import ExchangeDone, Picked
from mirrorgate.telemetry.metrics import Metrics
from mirrorgate.telemetry.samples import Sample

Done = Callable[..., ExchangeDone]
Value = Callable[..., float | None]


def _samples(
    text: str, parse: Callable[[str], Iterator[object]]
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples  # type: ignore[attr-defined]
        if not sample.name.startswith(("process_", "python_"))
    }


def test_both_formats_are_what_their_parsers_read(metrics: Metrics, done: Done) -> None:
    """Text and OpenMetrics carry the same samples, which are also those of the registry."""
    metrics.handle(done())
    metrics.handle(done(model='odd "name"\\ \n', target_model="ünïcode"))
    metrics.register_gauges(lambda: [Sample("mirrorgate_ready", 1.0)])
    text = _samples(metrics.render().decode(), parse_text)
    opened = _samples(metrics.render("application/openmetrics-text; version=1.0.0").decode(), parse_open_metrics)
    collected = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.startswith(("process_", "python_"))
    }
    assert len(text) > 300
    assert text == opened == collected


def test_the_process_is_in_the_scrape_once(metrics: Metrics) -> None:
    """prometheus_client's own collectors follow ours, and ours are not written twice."""
    text = metrics.render().decode()
    assert text.count("# TYPE process_resident_memory_bytes gauge") == 1
    assert text.count("# TYPE mirrorgate_build_info gauge") == 1
    assert 'mitmproxy="12.2.3"' in text


def test_other_collectors_of_the_registry_are_in_the_scrape(metrics: Metrics) -> None:
    """An addon of the user's can put its metrics beside ours."""
    Gauge("mine", "Of the user's.", registry=metrics.registry).set(7)
    assert b"\nmine 7.0\n" in metrics.render()
    assert b"\nmine 7.0\n" in metrics.render("application/openmetrics-text")


def test_pieces_are_small(metrics: Metrics, done: Done) -> None:
    """However many series there are, the event loop gets a turn after some hundred lines."""
    for number in range(200):
        metrics.handle(done(model=f"m{number}"))
    kind, pieces = metrics.render_pieces()
    sizes = [piece.count(b"\n") for piece in pieces]
    assert kind.startswith("text/plain")
    assert sum(sizes) > 10_000
    assert max(sizes) <= 210


def test_a_second_gateway_needs_a_registry_of_its_own(metrics: Metrics) -> None:
    """Two in one registry would add up to nonsense; two registries live side by side in one process."""
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(metrics.registry)
    Metrics(CollectorRegistry())


def test_models_are_capped(done: Done) -> None:
    """The label holds no more values than its cap, whatever clients send, and says how often it overflowed."""
    metrics = Metrics(CollectorRegistry(), max_models=3)
    metrics.models.declare(["declared"])
    for number in range(50):
        metrics.handle(done(model=f"m{number}", target_model=f"m{number}"))
    models = {labels[3] for labels in metrics.tally("mirrorgate_requests_total").cells}
    assert models == {"m0", "m1", "other"}
    value = metrics.registry.get_sample_value
    assert value("mirrorgate_label_overflow_total", {"label": "model"}) == 96


def test_invented_models_take_no_place(metrics: Metrics, done: Done) -> None:
    """A client that asks for thousands of models that no server has cannot push the real ones out."""
    for number in range(1000):
        metrics.handle(done(model=f"invented-{number}", target_model="", status=404))
    metrics.handle(done(model="real"))
    models = {labels[3] for labels in metrics.tally("mirrorgate_requests_total").cells}
    assert models == {"other", "real"}


def test_endpoints_and_clusters_that_left_are_forgotten(metrics: Metrics, done: Done, value: Value) -> None:
    """Their series go, others stay, and a second call finds nothing."""
    metrics.handle(Picked("c", "p", "127.0.0.1:1", "gaie-v1", 0.001))
    metrics.handle(Picked("c", "p", "127.0.0.1:2", "gaie-v1", 0.001))
    metrics.handle(done(cluster="c", endpoint="127.0.0.1:1"))
    assert metrics.forget_endpoints({"127.0.0.1:1"}) == 2
    assert metrics.forget_endpoints({"127.0.0.1:1"}) == 0
    assert value("mirrorgate_endpoint_picked_total", cluster="c", endpoint="127.0.0.1:2", profile="gaie-v1") == 1
    assert metrics.forget_clusters({"c"}) > 5
    text = metrics.render().decode()
    assert 'cluster="c"' not in text
    assert 'envoy_cluster_name="c"' not in text


def test_a_fault_never_reaches_the_exchange(metrics: Metrics, value: Value, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be counted is counted as such."""
    metrics.handle("no event")  # type: ignore[arg-type]
    assert value("mirrorgate_telemetry_errors_total", source="event") == 1
    assert "could not be counted" in caplog.text


def test_a_source_can_leave(metrics: Metrics, value: Value) -> None:
    """Gauges are asked for at each scrape, until their owner goes."""
    numbers = iter(range(10))
    leave = metrics.register_gauges(lambda: [Sample("mirrorgate_shadow_queue_bytes", next(numbers))])
    assert value("mirrorgate_shadow_queue_bytes") == 0
    assert value("mirrorgate_shadow_queue_bytes") == 1
    leave()
    leave()
    assert value("mirrorgate_shadow_queue_bytes") is None


def test_a_name_of_the_wrong_kind_is_an_error(metrics: Metrics) -> None:
    """A typing error in a name shows at once."""
    for name in ("mirrorgate_requests_totals", "mirrorgate_ttft_seconds"):
        with pytest.raises(KeyError):
            metrics.tally(name)
    with pytest.raises(KeyError):
        metrics.distribution("mirrorgate_requests_total")


def test_exchanges_that_wait_count_as_one_after_another(metrics: Metrics, done: Done) -> None:
    """Whatever has come together: the samples are those of exchanges that were counted at once."""
    other = Metrics(CollectorRegistry(), mitmproxy="12.2.3")
    for each in (metrics, other):
        each.models.declare(("a", "b", "llama-v1"))
    events = [
        done(
            status=(200, 200, 500)[number % 3],
            model=("a", "b")[number % 2],
            duration=number / 7,
            ttft=None if number % 5 else number / 70,
            completion_tokens=None if number % 4 == 3 else number,
            refusal="" if number % 9 else "pending_overflow",
            attempts=number % 3,
        )
        for number in range(300)
    ]
    for event in events:
        metrics.handle(event)
        metrics.handle(Picked("c", "p", event.endpoint, "gaie-v1", event.duration))
    for event in events:
        for told in (event, Picked("c", "p", event.endpoint, "gaie-v1", event.duration)):
            other.handle(told)
            other.settle()
    there, here = (_samples(each.render().decode(), parse_text) for each in (other, metrics))
    assert here.keys() == there.keys()
    assert [here[key] for key in here] == [pytest.approx(there[key]) for key in here]


def test_a_fault_costs_only_what_counts_in_the_same_cells(metrics: Metrics, done: Done, value: Value) -> None:
    """It is counted itself, and the other events are."""
    metrics.handle(done(duration="no number"))
    metrics.handle(done(model="b"))
    assert value("mirrorgate_telemetry_errors_total", source="event") == 1
    assert value("inference_objective_request_total", model_name="b", target_model_name="llama-v1") == 1


def test_the_event_loop_waits_for_nobody_who_scrapes(metrics: Metrics, done: Done, value: Value) -> None:
    """While another thread counts what has come, the loop goes on; what comes meanwhile is counted later."""
    held, go = threading.Event(), threading.Event()

    def scrape() -> None:
        with metrics._settling:
            held.set()
            go.wait(30)

    thread = threading.Thread(target=scrape)
    thread.start()
    assert held.wait(30)
    for _ in range(600):
        metrics.handle(done())
    go.set()
    thread.join()
    assert value("inference_objective_request_total", model_name="llama", target_model_name="llama-v1") == 600
