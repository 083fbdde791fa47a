"""Names of the API for every kind that manifests may hold."""

from mirrorgate.sources.kubernetes.kinds import WATCHED


def test_plurals_are_the_apis() -> None:
    """As `kubectl api-resources` lists them."""
    assert {each.title for each in WATCHED} == {
        "gatewayclasses.gateway.networking.k8s.io",
        "gateways.gateway.networking.k8s.io",
        "httproutes.gateway.networking.k8s.io",
        "referencegrants.gateway.networking.k8s.io",
        "backendtlspolicies.gateway.networking.k8s.io",
        "services",
        "endpointslices.discovery.k8s.io",
        "pods",
        "secrets",
        "configmaps",
        "namespaces",
        "inferencepools.inference.networking.k8s.io",
        "inferencepools.inference.networking.x-k8s.io",
        "inferencemodels.inference.networking.x-k8s.io",
        "inferenceobjectives.inference.networking.x-k8s.io",
        "inferenceobjectives.llm-d.ai",
        "inferencemodelrewrites.inference.networking.x-k8s.io",
        "inferencemodelrewrites.llm-d.ai",
        "backendtrafficpolicies.gateway.envoyproxy.io",
        "backends.gateway.envoyproxy.io",
        "envoyproxies.gateway.envoyproxy.io",
        "shadowpolicies.mirrorgate.dev",
        "failurebreakerpolicies.mirrorgate.dev",
        "tokenratelimitpolicies.mirrorgate.dev",
    }


def test_the_stable_version_comes_first() -> None:
    """v1beta1 is asked for only where v1 is not served."""
    route = next(each for each in WATCHED if each.kind == "HTTPRoute")
    assert route.versions == ("v1", "v1beta1")
    assert route.path("v1", "a") == "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes"
    namespace = next(each for each in WATCHED if each.kind == "Namespace")
    assert namespace.path("v1", "a") == "/api/v1/namespaces"
