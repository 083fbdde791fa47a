"""Compiling: golden pairs of manifests and what they come to, named after the feature that they show.

`UPDATE_GOLDEN=1 pytest tests/routing` writes the outcomes anew; the diff is what a reviewer reads.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from mirrorgate.errors import Severity
from mirrorgate.resources.loading import Document, load
from mirrorgate.routing.compiling import Compiled, CompileOptions, compile
from mirrorgate.routing.rendering import render

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "routing"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))
EXAMPLES = {
    "tutorial-mirroring": "seeds/mirroring",
    "tutorial-circuit-breaker": "seeds/circuit-breaker",
    "quickstart": "quickstart",
}


def compiled_from(paths: Iterable[Path], options: CompileOptions | None = None) -> Compiled:
    loaded = load([Document(path.name, path.read_text(encoding="utf-8")) for path in paths])
    assert [str(problem) for problem in loaded.problems if problem.severity is Severity.ERROR] == []
    return compile(loaded.inventory, options)


def outcome(compiled: Compiled) -> str:
    document = {
        **render(compiled.table),
        "statuses": {" ".join(part for part in key if part): status for key, status in compiled.statuses.items()},
        "problems": [str(problem) for problem in compiled.problems],
    }
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def check(name: str, compiled: Compiled) -> None:
    expected = GOLDEN / f"{name}.out.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(outcome(compiled), encoding="utf-8")
    assert outcome(compiled) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    """A feature's manifests compile to the recorded table, statuses and problems."""
    check(name, compiled_from([GOLDEN / f"{name}.in.yaml"]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    """The manifests of the two tutorials, unmodified, and the quickstart compile without a problem."""
    compiled = compiled_from(sorted((ROOT / "config" / EXAMPLES[name]).glob("*.yaml")))
    assert compiled.problems == ()
    check(name, compiled)


def test_every_outcome_has_its_manifests() -> None:
    """No recorded outcome is left over."""
    recorded = {path.name.removesuffix(".out.yaml") for path in GOLDEN.glob("*.out.yaml")}
    assert recorded == {*CASES, *EXAMPLES}


def test_a_cluster_serves_its_own_classes_only() -> None:
    """Outside of files, Gateways of other controllers' classes and of no class are left alone."""
    case = [GOLDEN / "httproute-attaches-to-gateway.in.yaml"]
    ours = compiled_from(case, CompileOptions(serve_all_classes=False))
    assert len(ours.table.listeners) == 1
    others = compiled_from(case, CompileOptions("example.com/other", serve_all_classes=False))
    assert others.table.listeners == ()
    assert [key for key in others.statuses if key[0] in ("Gateway", "GatewayClass", "HTTPRoute")] == []
    assert others.problems == ()
    classless = compiled_from([GOLDEN / "gatewayclass-missing.in.yaml"], CompileOptions(serve_all_classes=False))
    assert classless.table.listeners == ()


def test_compiling_is_deterministic() -> None:
    """The same manifests give an equal result."""
    for name in CASES:
        path = GOLDEN / f"{name}.in.yaml"
        assert outcome(compiled_from([path])) == outcome(compiled_from([path]))


def test_an_empty_inventory_compiles() -> None:
    """Nothing declared is nothing served."""
    compiled = compiled_from([])
    assert (compiled.table.listeners, compiled.statuses, compiled.problems) == ((), {}, ())
