"""config/kubernetes: what `kubectl apply -k` takes, checked without a cluster."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import crds
from mirrorgate.sources.kubernetes.kinds import STATUS_KINDS, WATCHED
from mirrorgate.wiring.options import OPTIONS

CONFIG = Path(__file__).resolve().parents[1] / "config"
FOLDER = CONFIG / "kubernetes"
FOLDERS = sorted(path.parent for path in FOLDER.rglob("kustomization.yaml"))
_NOT_OF_KUBERNETES = ("kustomize.config.k8s.io", "gateway.", "monitoring.coreos.com", "apiextensions.k8s.io")

Object = dict[str, Any]


def documents(path: Path) -> list[Object]:
    """Return the objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def objects() -> Iterator[Object]:
    """Yield every object that is declared whole, which a patch is not."""
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path.name not in ("kustomization.yaml", "cluster-role.yaml"):
            yield from documents(path)


def check(rendered: Iterable[Object]) -> None:
    """Hold objects against Kubernetes' own schemas, strictly: a field that is misspelt is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the validator's own making
        for each in rendered:
            if not each["apiVersion"].startswith(_NOT_OF_KUBERNETES):
                kubernetes_validate.validate(each, "1.32", strict=True)


def pods() -> Iterator[tuple[str, Object]]:
    """Yield the Pod templates."""
    for each in objects():
        if each["kind"] in ("Deployment", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_kustomizations_list_what_is_there(folder: Path) -> None:
    """Every file that is named exists, and no manifest lies unused."""
    [kustomization] = documents(folder / "kustomization.yaml")
    named = {*kustomization.get("resources", ()), *kustomization.get("components", ())}
    named |= {patch["path"] for patch in kustomization.get("patches", ()) if "path" in patch}
    for generator in kustomization.get("configMapGenerator", ()):
        named |= set(generator["files"])
    for name in named:
        assert (folder / name).exists(), name
        if (folder / name).is_dir():
            assert (folder / name / "kustomization.yaml").exists(), name
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} <= named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which has kustomize")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_kustomize_builds(folder: Path) -> None:
    """Each base and overlay by itself, components only within them; what they render fits Kubernetes' schemas."""
    [kustomization] = documents(folder / "kustomization.yaml")
    if kustomization["kind"] == "Component":
        pytest.skip("a component is built by its overlay")
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert built.returncode == 0, built.stderr
    rendered = list(yaml.safe_load_all(built.stdout))
    assert rendered
    check(rendered)


def test_kubernetes_schemas_take_every_object() -> None:
    """Also those that no overlay renders."""
    check(objects())


def test_a_misspelt_field_is_found() -> None:
    """The schemas are strict, or the other tests would say nothing."""
    [deployment] = documents(FOLDER / "gateway" / "deployment.yaml")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check([deployment])


BY_KIND = {definition.model.__name__: definition for definition in crds.DEFINITIONS}


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_crd_is_what_the_model_says(kind: str) -> None:
    """`python scripts/crds.py` writes it."""
    assert BY_KIND[kind].target.read_text(encoding="utf-8") == crds.rendered(BY_KIND[kind])


def test_the_crd_takes_our_examples() -> None:
    """Every ShadowPolicy below config/ fits the schema; and a wrong one does not."""
    [version] = crds.crd(BY_KIND["ShadowPolicy"])["spec"]["versions"]
    schema = _json_schema(version["schema"]["openAPIV3Schema"])
    found = 0
    for path in sorted(CONFIG.rglob("*.yaml")):
        for each in documents(path):
            if each.get("kind") == "ShadowPolicy":
                jsonschema.validate(each, schema)
                found += 1
    assert found
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}
    spec = {"targetRefs": [target], "candidate": {"timeout": "5 minutes"}}
    with pytest.raises(jsonschema.ValidationError, match="5 minutes"):
        jsonschema.validate({"spec": spec}, schema)
    with pytest.raises(jsonschema.ValidationError, match="0 is less"):
        jsonschema.validate({"spec": {"targetRefs": [target], "alphaPromote": 0}}, schema)


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_crd_is_structural(kind: str) -> None:
    """The API server refuses references, nulls and `additionalProperties` beside `properties`."""
    for schema in _schemas(crds.crd(BY_KIND[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        assert "$ref" not in schema
        assert "anyOf" not in schema
        assert schema["type"] in ("object", "array", "string", "boolean", "integer", "number")
        assert not ("additionalProperties" in schema and "properties" in schema)
        assert schema.get("default", "") is not None


def test_rights_are_what_is_watched_and_written() -> None:
    """No right that is not used, and none that is missing."""
    [role] = [each for each in objects() if each["kind"] == "ClusterRole"]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for each in WATCHED:
        assert granted[each.group, each.plural] == {"get", "list", "watch"}, each.title
        if each.kind in STATUS_KINDS:
            assert granted[each.group, f"{each.plural}/status"] == {"update"}, each.title
    statuses = {plural for _, plural in granted if plural.endswith("/status")}
    assert statuses == {f"{each.plural}/status" for each in WATCHED if each.kind in STATUS_KINDS}
    assert {plural for _, plural in granted} - statuses == {each.plural for each in WATCHED}


def test_one_namespace_grants_the_same_there() -> None:
    """Its Role and its ClusterRole together are the base's ClusterRole."""
    folder = FOLDER / "overlays" / "one-namespace"
    parts = [*documents(folder / "rbac.yaml"), *documents(folder / "cluster-role.yaml")]
    [base] = [each for each in objects() if each["kind"] == "ClusterRole"]
    assert _rights(*(each for each in parts if each["kind"] in ("Role", "ClusterRole"))) == _rights(base)


def test_pods_run_confined() -> None:
    """No root, no writable image, no privilege; memory bounded; our containers probe /ready and drain in time."""
    for name, pod in pods():
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            if container["image"] != "mirrorgate":
                continue
            assert context["readOnlyRootFilesystem"] is True
            assert (pod["securityContext"] | context)["runAsNonRoot"] is True
            settings = dict(_settings(container))
            if "readinessProbe" in container:
                assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
                assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
                drained = int(settings["gateway_drain_delay"]) + int(settings["gateway_drain_timeout"])
                assert pod["terminationGracePeriodSeconds"] > drained + 10


def test_options_exist() -> None:
    """What is set on a command line is an option of the gateway, or of mitmproxy."""
    known = {option.name for option in OPTIONS} | {"confdir"}
    named = {name for _, pod in pods() for each in _containers(pod) for name, _ in _settings(each)}
    assert named <= known


def _containers(pod: Object) -> list[Object]:
    return [*pod["containers"], *pod.get("initContainers", ())]


def _settings(container: Object) -> Iterator[tuple[str, str]]:
    for word in container.get("args", ()):
        if word.startswith("--set="):
            name, _, value = word.removeprefix("--set=").partition("=")
            yield name, value


def _rights(*roles: Object) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _schemas(schema: Object) -> Iterator[Object]:
    yield schema
    for below in schema.get("properties", {}).values():
        yield from _schemas(below)
    if "items" in schema:
        yield from _schemas(schema["items"])


def _json_schema(schema: Object) -> Object:
    """Turn OpenAPI 3.0 into JSON Schema: exclusive bounds are numbers there."""
    result = dict(schema)
    for end, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if result.pop(end, False):
            result[end] = result.pop(bound)
    if "properties" in result:
        result["properties"] = {key: _json_schema(value) for key, value in result["properties"].items()}
        result["additionalProperties"] = result["properties"].keys() == {"apiVersion", "kind", "metadata"}
    if schema.get("type") == "object" and "properties" not in schema:
        result["additionalProperties"] = True
    if "items" in result:
        result["items"] = _json_schema(result["items"])
    return result
