"""The table of metric names."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path

import yaml

from mirrorgate.telemetry.names import GROUPS, SPECS, Kind, Read, Spec

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"\b(?:mirrorgate|envoy|inference|gen_ai)_[a-z0-9_]+\b")
LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')


def test_every_name_is_there_once() -> None:
    """No two entries share a name, so that none hides another."""
    names = [spec.name for spec in chain.from_iterable(GROUPS.values())]
    assert len(names) == len(set(names)) == len(SPECS)


def test_names_follow_the_conventions() -> None:
    """Counters end in `_total`, gauges and histograms do not, and names and labels are valid."""
    for spec in SPECS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)
        assert spec.name.endswith("_total") == (spec.kind is Kind.COUNTER) or spec.name.startswith("envoy_")
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) and label != "le" for label in spec.labels)
        assert len(set(spec.labels)) == len(spec.labels)
        assert spec.help
        assert spec.help.endswith((".", ")."))


def test_buckets_ascend() -> None:
    """A histogram has ascending bounds and everything else has none; no histogram is read at scrape time."""
    for spec in SPECS.values():
        assert (spec.kind is Kind.HISTOGRAM) == bool(spec.buckets)
        assert list(spec.buckets) == sorted(set(spec.buckets))
        assert spec.kind is not Kind.HISTOGRAM or spec.read is Read.EVENT


def _exposed(spec: Spec) -> set[str]:
    if spec.kind is Kind.HISTOGRAM:
        return {f"{spec.name}_bucket", f"{spec.name}_count", f"{spec.name}_sum"}
    return {spec.name}


EXPOSED = {name: spec for spec in SPECS.values() for name in _exposed(spec)}


def _check(expression: str) -> None:
    used = set(WORD.findall(re.sub(r"label_values\(.*?,", "", expression))) - {"mirrorgate"}
    for name in used:
        assert name in EXPOSED, f"{name} of {expression!r} is in no table"
    known = {label for name in used for label in EXPOSED[name].labels} | {"le", "job", "instance"}
    assert not used or set(LABEL.findall(expression)) <= known, expression
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= known, expression


def test_the_dashboard_asks_only_for_names_in_the_table() -> None:
    """Every expression and variable of the Grafana dashboard names metrics and labels that exist."""
    dashboard = json.loads((ROOT / "config/grafana/mirrorgate.json").read_text("utf-8"))
    panels = [p for row in dashboard["panels"] for p in [row, *row.get("panels", [])]]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(expressions) > 30
    for expression in expressions:
        assert WORD.search(expression) or "process_" in expression
        _check(expression)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert label in EXPOSED[name].labels
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))


def test_the_dashboard_has_the_rows_that_operators_look_for() -> None:
    """The rows stand in the order in which an incident is read: verdict first, drops last."""
    dashboard = json.loads((ROOT / "config/grafana/mirrorgate.json").read_text("utf-8"))
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == [
        "Verdict",
        "Guardrails",
        "Latency by leg",
        "Errors by leg",
        "Tokens by leg",
        "Circuit breaker",
        "Endpoints",
        "Gateway",
        "Shadow: sent, dropped, compared",
    ]


def test_the_alerts_ask_only_for_names_in_the_table() -> None:
    """Every alert has an expression over existing metrics, a severity and a sentence for the person on call."""
    rules = yaml.safe_load((ROOT / "config/prometheus/alerts.yaml").read_text("utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len(alerts) >= 10
    for alert in alerts:
        assert WORD.search(alert["expr"])
        _check(alert["expr"])
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
