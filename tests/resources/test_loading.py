"""Tests of loading: from texts to objects and problems."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorgate.errors import Severity
from mirrorgate.resources.endpoints import pool_endpoints, service_endpoints
from mirrorgate.resources.kinds import KINDS
from mirrorgate.resources.loading import Document, Loaded, load, parse_object
from mirrorgate.resources.places import Place

LoadText = Callable[[str], Loaded]

CONFIG = Path(__file__).parents[2] / "config"


def load_folder(name: str) -> Loaded:
    files = sorted((CONFIG / name).glob("*.yaml"))
    assert files
    return load(Document(file.name, file.read_text(encoding="utf-8")) for file in files)


def test_the_mirroring_tutorial_loads_unmodified() -> None:
    """Its objects are all there, without a problem, and lead to endpoints."""
    loaded = load_folder("seeds/mirroring")
    assert loaded.problems == ()
    inventory = loaded.inventory
    assert [obj.title for obj in inventory] == [
        "GatewayClass example-gateway-class",
        "Gateway default/example-gateway",
        "HTTPRoute default/mirror-route",
        "Service default/vllm-llama2-7b-pool-1",
        "Service default/sleep",
        "Pod default/vllm-llama2-7b-pool-0",
        "Pod default/vllm-llama2-7b-pool-1",
        "Pod default/vllm-llama2-7b-pool-1-0",
        "Pod default/vllm-llama2-7b-pool-1-1",
        "ConfigMap default/chat-template",
        "InferencePool default/vllm-llama2-7b-pool",
        "InferenceModel default/inferencemodel-sample",
        "EnvoyProxy default/custom-proxy-config",
    ]
    route = inventory.http_routes["default", "mirror-route"]
    (rule,) = route.spec.rules
    assert rule.backend_refs[0].kind == "InferencePool"
    mirror = rule.filters[0].request_mirror
    assert mirror is not None
    assert (mirror.backend_ref.name, mirror.backend_ref.port, mirror.share) == ("vllm-llama2-7b-pool-1", 8000, 1.0)
    pool = pool_endpoints(inventory, "default", "vllm-llama2-7b-pool")
    assert [str(address) for address in pool.addresses] == ["127.0.0.1:18001", "127.0.0.1:18002"]
    shadow = service_endpoints(inventory, "default", "vllm-llama2-7b-pool-1", 8000)
    assert [str(address) for address in shadow.addresses] == ["127.0.0.1:18003", "127.0.0.1:18004"]


def test_the_circuit_breaker_tutorial_loads_unmodified() -> None:
    """Its policy limits the route to one request."""
    loaded = load_folder("seeds/circuit-breaker")
    assert loaded.problems == ()
    inventory = loaded.inventory
    assert list(inventory.http_routes) == [("default", "test-httproute")]
    spec = inventory.backend_traffic_policies["default", "circuitbreaker-for-route"].spec
    assert spec.circuit_breaker is not None
    assert (spec.circuit_breaker.max_pending_requests, spec.circuit_breaker.max_parallel_requests) == (1, 1)
    assert len(pool_endpoints(inventory, "default", "vllm-llama2-7b-pool").addresses) == 2


def test_the_quickstart_loads() -> None:
    """Both pools have endpoints, and the ShadowPolicy names the candidate's model."""
    loaded = load_folder("quickstart")
    assert loaded.problems == ()
    inventory = loaded.inventory
    assert len(pool_endpoints(inventory, "default", "production").addresses) == 2
    assert len(pool_endpoints(inventory, "default", "candidate").addresses) == 2
    policy = inventory.shadow_policies["default", "chat-shadow"].spec
    assert policy.candidate.model_name is not None
    assert policy.journal.content == "full"
    assert inventory.gateways["default", "inference-gateway"].spec.listeners[0].port == 8080


BAD = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: bad
spec:
  rules:
    - matches:
        - path:
            value: relative
      backendRefs:
        - name: s
          prot: 80
---
apiVersion: v1
kind: Pod
metadata:
  name: good
"""


def test_every_problem_at_once_with_its_line_and_path(load_text: LoadText) -> None:
    """The bad object is left out, the good one stays."""
    loaded = load_text(BAD)
    assert [str(problem) for problem in loaded.problems] == [
        "m.yaml:9: error: HTTPRoute default/bad: spec.rules[0].matches[0].path.value: "
        "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
        "m.yaml:12: error: HTTPRoute default/bad: spec.rules[0].backendRefs[0].prot: unknown field 'prot' "
        "(did you mean port?)",
    ]
    assert [obj.title for obj in loaded.inventory] == ["Pod default/good"]


def test_problems_come_in_the_order_of_the_text(load_text: LoadText) -> None:
    """Syntax and content of one file are sorted by line."""
    loaded = load_text(BAD + "---\na: 'b\n---\napiVersion: v1\nkind: Pod\n")
    lines = [problem.line for problem in loaded.problems]
    assert lines == [9, 12, 20, 21]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- 1\n", 1, "a document must be an object, a mapping with apiVersion and kind, not a list"),
        ("\nwords\n", 2, "not 'words'"),
        ("replicas: 3\nkind: Pod\n", 1, "an object must have apiVersion, a string"),
        ("apiVersion: v1\n", 1, "an object must have kind, a string"),
        ("apiVersion: 1\nkind: Pod\n", 1, "an object must have apiVersion, a string"),
        ("apiVersion: v1\nkind: Pod\n", 1, "is required"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n", 3, "is required"),
        ("kind: Gateway\napiVersion: gateway.networking.k8s.io/v1alpha2\n", 2, "Gateway is not known in apiVersion"),
    ],
)
def test_what_is_no_object(load_text: LoadText, text: str, line: int, words: str) -> None:
    """Each is an error at its line."""
    (problem,) = load_text(text).problems
    assert (problem.line, problem.severity) == (line, Severity.ERROR)
    assert words in problem.message


def test_kinds_that_we_do_not_know_are_warned_about(load_text: LoadText) -> None:
    """With a hint when something near is known."""
    loaded = load_text("apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: x}\n")
    (problem,) = loaded.problems
    assert problem.severity is Severity.WARNING
    assert "GRPCRoute of apiVersion 'gateway.networking.k8s.io/v1' is not supported and ignored" in problem.message
    assert problem.path == "GRPCRoute default/x"


def test_kinds_of_others_are_left_alone(load_text: LoadText) -> None:
    """What a tutorial deploys beside the gateway is no problem, even without a name."""
    text = "".join(
        f"apiVersion: {version}\nkind: {kind}\n---\n"
        for version, kind in (
            ("apps/v1", "Deployment"),
            ("batch/v1", "CronJob"),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
            ("policy/v1", "PodDisruptionBudget"),
            ("networking.k8s.io/v1", "Ingress"),
            ("v1", "PersistentVolumeClaim"),
        )
    )
    assert load_text(text) == load_text("")


def test_lists_are_their_items(load_text: LoadText) -> None:
    """`kubectl get -o yaml` writes a List, the API a list of one kind; lists may hold lists."""
    text = """\
        apiVersion: v1
        kind: List
        items:
          - apiVersion: v1
            kind: Pod
            metadata: {name: a}
          - apiVersion: v1
            kind: PodList
            metadata: {resourceVersion: "1"}
            items:
              - metadata: {name: b}
              - metadata: {name: B}
              - 7
    """
    loaded = load_text(text)
    assert [obj.title for obj in loaded.inventory] == ["Pod default/a", "Pod default/b"]
    assert loaded.inventory.pods["default", "b"].place.line == 11
    assert [problem.line for problem in loaded.problems] == [12, 13]


def test_cluster_scoped_objects_take_no_namespace(load_text: LoadText) -> None:
    """It is ignored with a warning."""
    loaded = load_text("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n  namespace: y\n")
    (problem,) = loaded.problems
    assert (problem.severity, problem.line) == (Severity.WARNING, 5)
    assert list(loaded.inventory.namespaces) == [("", "x")]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {a: b}}\n"


def test_the_same_object_twice() -> None:
    """Identical is a warning, different an error; the first stays."""
    twice = load([Document("a", POD), Document("b", "\n" + POD + "status: {}\n")])
    (problem,) = twice.problems
    assert (problem.severity, problem.file, problem.line) == (Severity.WARNING, "b", 2)
    assert problem.message == "is declared twice, identically; the first is a:1"
    other = load([Document("a", POD), Document("b", POD.replace("a: b", "a: c"))])
    (problem,) = other.problems
    assert problem.severity is Severity.ERROR
    assert problem.message == "is declared twice, differently; the first is a:1"
    assert other.inventory.pods["default", "x"].metadata.labels == {"a": "b"}


V1 = """\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}]}
"""
V1ALPHA2 = """\
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: p}
spec: {selector: {a: b}, targetPortNumber: 2, extensionRef: {name: e}}
"""


@pytest.mark.parametrize("text", [f"{V1}---\n{V1ALPHA2}", f"{V1ALPHA2}---\n{V1}"])
def test_a_pool_in_both_groups_is_that_of_the_newer(load_text: LoadText, text: str) -> None:
    """A cluster looks like that while it migrates."""
    loaded = load_text(text)
    problem, _lonely = loaded.problems
    assert problem.severity is Severity.WARNING
    assert "that of inference.networking.k8s.io is used" in problem.message
    assert loaded.inventory.inference_pools["default", "p"].spec.target_ports[0].number == 1


def test_objects_of_the_api_have_no_place() -> None:
    """A mapping from elsewhere is parsed the same way, problems and all."""
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "uid": "u", "creationTimestamp": None}}
    parsed = parse_object(raw, Place())
    assert parsed.problems == ()
    assert parsed.object is not None
    assert (parsed.object.title, parsed.object.place.line) == ("Pod default/x", None)
    (problem,) = parse_object({**raw, "metadata": {"name": "X"}}, Place("api")).problems
    assert (problem.file, problem.line, problem.path) == ("api", None, "Pod default/X: metadata.name")
    assert raw["metadata"] == {"name": "x", "uid": "u", "creationTimestamp": None}


def test_times_may_come_without_quotes(load_text: LoadText) -> None:
    """YAML's own timestamps are text for Kubernetes."""
    loaded = load_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x, creationTimestamp: 2025-04-21T08:00:00Z}\n")
    assert loaded.problems == ()


FIELDS = st.sampled_from(
    [
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "rules",
        "matches",
        "path",
        "value",
        "type",
        "backendRefs",
        "filters",
        "requestMirror",
        "backendRef",
        "port",
        "weight",
        "listeners",
        "tls",
        "targetRefs",
        "selector",
        "matchLabels",
        "targetPorts",
        "number",
        "status",
        "podIP",
        "endpoints",
        "addresses",
        "items",
        "data",
        "stringData",
        "candidate",
        "timeout",
        "guardrails",
        "circuitBreaker",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["x", "1s", "/"]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=4), children, max_size=5)
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(FIELDS | st.text(max_size=4), VALUES, max_size=6), VALUES)
def test_no_object_raises(kind: tuple[str, str], body: dict[str, object], metadata: object) -> None:
    """Whatever an object holds, it is parsed or has problems."""
    raw = {**body, "apiVersion": kind[0], "kind": kind[1], "metadata": metadata}
    parsed = parse_object(raw, Place("f", 1))
    errors = [problem for problem in parsed.problems if problem.severity is Severity.ERROR]
    assert (parsed.object is None) == bool(errors)


@settings(deadline=None)
@given(st.lists(st.binary() | st.just(BAD.encode()) | st.sampled_from([POD.encode(), b"\n---\n", b"kind: List"])))
def test_no_file_raises(parts: list[bytes]) -> None:
    """Whatever files hold, loading ends with an inventory and problems."""
    load([Document("f", b"".join(parts).decode("utf-8", errors="surrogateescape"))])


def test_two_thousand_routes(capsys: pytest.CaptureFixture[str]) -> None:
    """A large configuration loads in well under a second or two; the time is printed, not asserted."""
    route = textwrap.dedent("""\
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {{name: route-{0}, labels: {{team: a}}}}
        spec:
          parentRefs: [{{name: g}}]
          hostnames: ["h{0}.example.com"]
          rules:
            - matches:
                - path: {{type: PathPrefix, value: /v1}}
                  headers: [{{name: X-Model, value: m}}]
              backendRefs:
                - {{group: inference.networking.k8s.io, kind: InferencePool, name: p, weight: 9}}
                - {{name: s, port: 8000}}
              filters:
                - type: RequestMirror
                  requestMirror: {{backendRef: {{name: s, port: 8000}}, percent: 10}}
              timeouts: {{request: 0s}}
    """)
    text = "---\n".join(route.format(index) for index in range(2000))
    start = time.perf_counter()
    loaded = load([Document("many.yaml", text)])
    with capsys.disabled():
        print(f"\n2,000 HTTPRoutes loaded in {time.perf_counter() - start:.2f} s")
    assert len(loaded.inventory.http_routes) == 2000
    assert loaded.problems == ()
