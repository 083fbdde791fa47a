"""References of HTTPRoutes over a real gateway: permitted, known, found; weights, Services of every type, status."""

from __future__ import annotations

import pytest

from mirrorgate.testing.conformance import Case, Conformance, conditions

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


ACCEPTED = {"Accepted": ("True", "Accepted")}
RESOLVED = {"ResolvedRefs": ("True", "ResolvedRefs")}


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        pytest.param("nonexistent", "BackendNotFound", id="httproute-invalid-nonexistent-backendref"),
        pytest.param("unknown-kind", "InvalidKind", id="httproute-invalid-backendref-unknown-kind"),
        pytest.param("ungranted-namespace", "RefNotPermitted", id="httproute-invalid-reference-grant"),
    ],
)
async def test_an_invalid_reference(conformance: Conformance, route: str, reason: str) -> None:
    """The route is accepted all the same, says why, and its requests are answered 500. Grants from another namespace,
    for another kind and in a third namespace permit nothing."""
    assert await conformance.route_conditions(route) == {**ACCEPTED, "ResolvedRefs": ("False", reason)}
    await conformance.expect(Case("/", status=500), f"{route}.test")


async def test_omitted_backends(conformance: Conformance) -> None:
    """httproute-omitted-backendrefs: accepted, resolved, and 500."""
    assert await conformance.route_conditions("omitted") == {**ACCEPTED, **RESOLVED}
    await conformance.expect(Case("/", status=500), "omitted.test")


async def test_a_partly_permitted_route(conformance: Conformance) -> None:
    """httproute-partially-invalid-via-invalid-reference-grant: one rule is answered 500, the other forwarded."""
    assert (await conformance.route_conditions("not-granted"))["ResolvedRefs"] == ("False", "RefNotPermitted")
    await conformance.expect(Case("/v2", status=500), "not-granted.test")
    await conformance.expect(Case("/", "app-v1"), "not-granted.test")


async def test_a_grant_that_comes_and_goes(conformance: Conformance) -> None:
    """httproute-reference-grant, httproute-invalid-cross-namespace-backend-ref: 500 without a grant, 200 with it, and
    500 once it is deleted."""
    source = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "infra"}
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "permits", "namespace": "web"},
        "spec": {"from": [source], "to": [{"group": "", "kind": "Service", "name": "web-backend"}]},
    }
    await conformance.expect(Case("/", status=500), "granted.test")
    async with conformance.changed("grant.yaml", [grant]):
        assert await conformance.route_conditions("granted") == {**ACCEPTED, **RESOLVED}
        await conformance.expect(Case("/", "web-backend"), "granted.test")
    await conformance.expect(Case("/", status=500), "granted.test")
    assert (await conformance.route_conditions("granted"))["ResolvedRefs"] == ("False", "RefNotPermitted")


async def test_weights(conformance: Conformance) -> None:
    """httproute-weight: 70, 30 and 0 of 100, within five points of 500 requests; an invalid backend keeps its share."""
    drawn = dict.fromkeys(("v1", "v2", "v3"), 0)
    failed = 0
    async with await conformance.gateway.connect() as client:
        for _ in range(500):
            drawn[(await client.request("GET", "/", [("host", "weight.test")])).json()["service"]] += 1
        for _ in range(200):
            failed += (await client.request("GET", "/", [("host", "weight-of-invalid.test")])).status == 500
    assert drawn["v3"] == 0
    assert abs(drawn["v1"] - 350) <= 25 * 2
    assert abs(failed - 100) <= 4 * 7.1


async def test_types_of_services(conformance: Conformance) -> None:
    """httproute-service-types: endpoints that somebody else wrote, of Services with and without a cluster IP; 503
    without one that is ready."""

    def endpoints(service: str, *, ready: bool = True) -> dict[str, object]:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-ip4",
                "namespace": "infra",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
            "ports": [{"name": "first-port", "port": conformance.servers["v1"].port}],
        }

    slices = [endpoints("headless"), endpoints("manual"), endpoints("unready", ready=False)]
    async with conformance.changed("slices.yaml", slices):
        for path in ("/headless", "/manual"):
            await conformance.expect(Case(path, "v1"), "headless.test")
        await conformance.expect(Case("/unready", status=503), "headless.test")


@pytest.mark.parametrize(
    ("route", "namespace", "reason", "test"),
    [
        ("not-allowed-namespace", "web", "NotAllowedByListeners", "httproute-invalid-cross-namespace-parent-ref"),
        ("disallowed-kind", "infra", "NotAllowedByListeners", "httproute-disallowed-kind"),
        ("no-such-section", "infra", "NoMatchingParent", "httproute-invalid-parentref-not-matching-section-name"),
        ("no-such-port", "infra", "NoMatchingParent", "httproute-invalid-parentref-not-matching-listener-port"),
        (
            "section-on-another-port",
            "infra",
            "NoMatchingParent",
            "httproute-invalid-parentref-section-name-not-matching-port",
        ),
        ("no-intersection", "infra", "NoMatchingListenerHostname", "httproute-hostname-intersection"),
    ],
)
async def test_a_parent_that_does_not_take_the_route(
    conformance: Conformance, route: str, namespace: str, reason: str, test: str
) -> None:
    """The route says why, its references are judged all the same, and no request reaches it; `test` is the suite's."""
    assert await conformance.route_conditions(route, namespace) == {"Accepted": ("False", reason), **RESOLVED}
    await conformance.expect(Case("/", status=404), f"{route}.test")


async def test_observed_generations(conformance: Conformance) -> None:
    """httproute-, gateway- and gatewayclass-observed-generation-bump: conditions name the generation they are about."""
    route = await conformance.status("HTTPRoute", "generation")
    gateway = await conformance.status("Gateway", "same-namespace")
    of_class = await conformance.status("GatewayClass", "mirrorgate", "")
    assert {each["observedGeneration"] for each in route["parents"][0]["conditions"]} == {5}
    assert {each["observedGeneration"] for each in gateway["conditions"]} == {7}
    assert {each["observedGeneration"] for listener in gateway["listeners"] for each in listener["conditions"]} == {7}
    assert {each["observedGeneration"] for each in of_class["conditions"]} == {3}
    assert conditions(of_class)["Accepted"] == ("True", "Accepted")
