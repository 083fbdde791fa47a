"""What the tests of the director share: from a few lines of manifests to a director, and a question to it."""

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

from mirrorgate.director import Director
from mirrorgate.errors import Severity
from mirrorgate.plans import Plan, Refused, RequestFacts
from mirrorgate.resources.loading import Document, load
from mirrorgate.scheduling.endpoints import EndpointHealth
from mirrorgate.snapshot import Snapshot
from mirrorgate.testing.left_open import LEFT_OPEN, close_what_is_left_open

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("mirrorgate", deadline=None)
settings.load_profile("mirrorgate")

close_what_is_left_open()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell of connections that tests have left open."""
    for line in LEFT_OPEN:
        terminalreporter.write_line(f"left open by {line}", yellow=True)


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""


class Manifests:
    """Writes manifests, and what they compile to."""

    @staticmethod
    def route(rules: str) -> str:
        """Return an HTTPRoute `route` with these rules, a list in YAML."""
        return (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: route}\n"
            f"spec: {{parentRefs: [{{name: gateway}}], rules: {rules}}}"
        )

    @staticmethod
    def server(name: str, *ports: int) -> str:
        """Return a Backend with an endpoint on each of these ports of loopback."""
        endpoints = ", ".join(f"{{ip: {{address: 127.0.0.1, port: {port}}}}}" for port in ports)
        return (
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\n"
            f"metadata: {{name: {name}}}\nspec: {{endpoints: [{endpoints}]}}"
        )

    @staticmethod
    def pool(name: str, *ports: int) -> str:
        """Return an InferencePool with an endpoint on each of these ports of loopback."""
        texts = [
            f"apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: {name}}}\n"
            f"spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}]}}"
        ]
        texts += [
            f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-{port}, labels: {{app: {name}}},"
            f' annotations: {{mirrorgate.dev/target-port: "{port}"}}}}\nstatus: {{podIP: 127.0.0.1}}'
            for port in ports
        ]
        return "\n---\n".join(texts)

    @staticmethod
    def policy(kind: str, spec: str) -> str:
        """Return a policy of a kind, on the route."""
        group = "gateway.envoyproxy.io" if kind == "BackendTrafficPolicy" else "mirrorgate.dev"
        target = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: route}"
        return (
            f"apiVersion: {group}/v1alpha1\nkind: {kind}\nmetadata: {{name: policy}}\n"
            f"spec: {{targetRefs: [{target}], {spec}}}"
        )

    @staticmethod
    def to_server(name: str, rest: str = "") -> str:
        """Return a backendRef to a Backend."""
        return f"{{group: gateway.envoyproxy.io, kind: Backend, name: {name}{rest}}}"

    @staticmethod
    def to_pool(name: str) -> str:
        """Return a backendRef to an InferencePool."""
        return f"{{group: inference.networking.k8s.io, kind: InferencePool, name: {name}}}"

    @staticmethod
    def snapshot(*texts: str) -> Snapshot:
        """Compile manifests, beside those of a Gateway with a listener on port 80."""
        loaded = load([Document("test.yaml", "\n---\n".join((GATEWAY, *texts)))])
        assert [str(problem) for problem in loaded.problems if problem.severity is Severity.ERROR] == []
        return Snapshot.of(loaded.inventory, 1)


@pytest.fixture(scope="session")
def manifests() -> Manifests:
    """Give tests the texts; a fixture, because test files import nothing from each other."""
    return Manifests()


@pytest.fixture(scope="session")
def directing(manifests: Manifests) -> Callable[..., Director]:
    """Return a function from manifests to a director with a seeded draw."""

    def direct(
        *texts: str,
        seed: int = 7,
        loads: Mapping[str, EndpointHealth] | None = None,
        calm: Callable[[str], bool] = lambda cluster: False,
    ) -> Director:
        known = loads or {}
        return Director(manifests.snapshot(*texts), lambda: known, lambda: 5.0, random.Random(seed), calm)

    return direct


@pytest.fixture(scope="session")
def facts() -> Callable[..., RequestFacts]:
    """Return a function from a path and more to what a request is decided by."""

    def make(
        path: str = "/",
        *,
        method: str = "POST",
        host: str = "",
        port: int = 80,
        headers: Mapping[str, str] | None = None,
    ) -> RequestFacts:
        fields = tuple((name.encode(), value.encode()) for name, value in (headers or {}).items())
        return RequestFacts(port, method.encode(), path.encode(), host.encode(), fields, "http", "127.0.0.1")

    return make


@pytest.fixture(scope="session")
def ask(facts: Callable[..., RequestFacts]) -> Callable[..., Plan | Refused]:
    """Return a function that routes a request and plans it; `body` may be `None` for one that streams."""

    def asked(director: Director, path: str = "/", body: bytes | None = b"", **more: object) -> Plan | Refused:
        request = facts(path, **more)
        directed = director.route(request)
        return directed.refused or director.plan(directed, request, body)

    return asked


@pytest.fixture(scope="session")
def planned(ask: Callable[..., Plan | Refused]) -> Callable[..., Plan]:
    """Return what `ask` does, for requests that are not refused."""

    def plan(director: Director, path: str = "/", body: bytes | None = b"", **more: object) -> Plan:
        answer = ask(director, path, body, **more)
        assert isinstance(answer, Plan), answer
        return answer

    return plan
