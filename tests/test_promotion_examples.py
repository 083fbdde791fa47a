"""The examples for Argo Rollouts and Flagger ask for what the gateway really has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirrorgate.comparison.verdict_document import VerdictDocument
from mirrorgate.proxy.admin.access import Access
from mirrorgate.proxy.admin.handlers import application
from mirrorgate.proxy.admin.page import load_page
from mirrorgate.proxy.admin.sources import AdminSources
from mirrorgate.telemetry.names import SPECS

CONFIG = Path(__file__).parents[1] / "config"
FILES = [CONFIG / "argo-rollouts" / "analysistemplate.yaml", *sorted((CONFIG / "flagger").glob("*.yaml"))]
CLUSTER = "httproute/default/chat/rule/0-mirror-0"


def objects(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_metric_and_label_exists(file: Path) -> None:
    """A query for a name that is not there would never promote."""
    text = file.read_text()
    for name, labels in re.findall(r"(mirrorgate_\w+)\{([^}]*(?:\}\}[^}]*)?)\}", text):
        assert name in SPECS
        assert set(re.findall(r"(\w+)!?=", labels)) <= set(SPECS[name].labels)
    for each in objects(file):
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(each)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_page_exists(file: Path) -> None:
    """The paths that a tool asks are the admin server's."""
    sources = AdminSources(ready=lambda: (True, ""), metrics=lambda accept: ("", iter(())))
    rules = application(sources, Access("", ""), load_page()).default_router.rules
    (routes,) = [rule.target.rules for rule in rules if hasattr(rule.target, "rules")]
    known = {route.matcher.regex.pattern.rstrip("$") for route in routes if hasattr(route.matcher, "regex")}
    asked = re.findall(r"(?:9901|address\}\})(/[\w/]+)\?", file.read_text())
    assert set(asked) <= known
    if "metric" not in file.name:
        assert asked


def test_argo_reads_fields_that_a_document_has() -> None:
    """The conditions name the document's own numbers."""
    for template in objects(FILES[0]):
        for metric in template["spec"]["metrics"]:
            for condition in (metric.get("successCondition", ""), metric.get("failureCondition", "")):
                assert set(re.findall(r"result\.(\w+)", condition)) <= set(VerdictDocument.__struct_fields__)


def test_the_cluster_is_one_that_the_quickstarts_route_would_have() -> None:
    """Envoy Gateway's name for the mirror of the route `chat`."""
    assert all(CLUSTER in file.read_text() for file in FILES)
