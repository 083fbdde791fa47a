"""Gateways and their listeners over a real gateway: isolation, hostnames, ports, counts, conflicts, status."""

from __future__ import annotations

import pytest

from mirrorgate.testing.conformance import Case, Conformance, conditions

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


HOSTS = {
    "empty-hostname": "bar.com",
    "wildcard-example-com": "bar.example.com",
    "wildcard-foo-example-com": "bar.foo.example.com",
    "abc-foo-example-com": "abc.foo.example.com",
}


@pytest.mark.parametrize("address", ["127.0.1.3", "127.0.1.4"])
async def test_listeners_are_isolated(conformance: Conformance, address: str) -> None:
    """gateway-http-listener-isolation, also with routes whose hostnames intersect: a request belongs to the most
    specific listener, and to that one's routes only."""
    for own, host in HOSTS.items():
        for path in HOSTS:
            there = {"to": "v1"} if path == own else {"status": 404}
            await conformance.expect(Case(f"/{path}", host=host, address=address, **there))  # type: ignore[arg-type]


INTERSECTION = {
    "/s1": (
        "v1",
        ("very.specific.com", "very.specific.com:1234"),
        ("non.matching.com", "foo.nonmatchingwildcard.io", "foo.wildcard.io"),
    ),
    "/s2": (
        "v2",
        ("foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"),
        ("non.matching.com", "wildcard.io", "very.specific.com"),
    ),
    "/s3": ("v3", ("very.specific.com",), ("non.matching.com", "foo.specific.com", "foo.wildcard.io")),
    "/s4": (
        "v1",
        ("foo.anotherwildcard.io", "bar.anotherwildcard.io", "foo.bar.anotherwildcard.io"),
        ("anotherwildcard.io", "foo.wildcard.io", "very.specific.com"),
    ),
    "/s5": ("", (), ("specific.but.wrong.com", "wildcard.io")),
}


@pytest.mark.parametrize("path", INTERSECTION)
async def test_hostname_intersection(conformance: Conformance, path: str) -> None:
    """httproute-hostname-intersection: hosts that listener and route share; a port in Host plays no part."""
    to, shared, others = INTERSECTION[path]
    for host in shared:
        await conformance.expect(Case(path, to, host=host, address="127.0.1.5"))
        await conformance.expect(Case("/non-matching-prefix", status=404, host=host, address="127.0.1.5"))
    for host in others:
        await conformance.expect(Case(path, status=404, host=host, address="127.0.1.5"))


async def test_only_accepted_routes_are_counted(conformance: Conformance) -> None:
    """httproute-hostname-intersection: the route without a common hostname is not counted."""
    counts = {n: (await conformance.listener("hostnames", f"listener-{n}"))["attachedRoutes"] for n in (1, 2, 3)}
    assert counts == {1: 2, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("host", "to"),
    [
        ("bar.com", "v1"),
        ("foo.bar.com", "v2"),
        ("baz.bar.com", "v3"),
        ("boo.bar.com", "v3"),
        ("multiple.prefixes.bar.com", "v3"),
        ("multiple.prefixes.foo.com", "v3"),
        ("foo.com", ""),
        ("no.matching.host", ""),
    ],
)
async def test_listener_hostnames(conformance: Conformance, host: str, to: str) -> None:
    """httproute-listener-hostname-matching: a wildcard takes any number of labels, and never the bare domain."""
    await conformance.expect(Case("/", to, status=200 if to else 404, host=host, address="127.0.1.6"))


@pytest.mark.parametrize(
    ("port", "host", "to"),
    [
        (80, "foo.com", "v1"),
        (8080, "foo.com", "v2"),
        (8080, "bar.com", "v2"),
        (8090, "foo.com", "v3"),
        (8090, "bar.com", ""),
    ],
)
async def test_parent_ports(conformance: Conformance, port: int, host: str, to: str) -> None:
    """httproute-listener-port-matching: a parentRef's port selects listeners, with its sectionName one."""
    status = 200 if to else 404
    await conformance.expect(Case("/", to, status=status, host=f"{host}:{port}", port=port, address="127.0.1.7"))


@pytest.mark.parametrize(
    ("gateway", "listener", "attached"),
    [
        ("one-attached", "http", 1),
        ("two-attached", "http", 2),
        ("unresolved", "tls", 1),
        ("two-listeners-one-attached", "http-unattached", 0),
        ("two-listeners-one-attached", "http", 1),
    ],
)
async def test_attached_routes(conformance: Conformance, gateway: str, listener: str, attached: int) -> None:
    """gateway-with-attached-routes, with a second port, and with a listener whose references lead nowhere."""
    status = await conformance.listener(gateway, listener)
    assert status["attachedRoutes"] == attached
    assert status["supportedKinds"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]
    found = conditions(status)
    fine = "False" if gateway == "unresolved" else "True"
    assert (found["Programmed"][0], found["ResolvedRefs"][0]) == (fine, fine)


async def test_a_route_of_a_broken_listener(conformance: Conformance) -> None:
    """gateway-with-attached-routes: the route on the unresolved Gateway tells of its own reference."""
    assert (await conformance.route_conditions("attached-unresolved"))["ResolvedRefs"][0] == "False"
    assert (await conformance.route_conditions("attached-not"))["Accepted"] == ("False", "NoMatchingListenerHostname")


@pytest.mark.parametrize(("gateway", "kinds"), [("only-invalid-kind", 0), ("supported-and-invalid-kind", 1)])
async def test_invalid_route_kinds(conformance: Conformance, gateway: str, kinds: int) -> None:
    """gateway-invalid-route-kind: supportedKinds are those that are valid."""
    status = await conformance.listener(gateway, "http")
    assert len(status["supportedKinds"]) == kinds
    assert conditions(status)["ResolvedRefs"] == ("False", "InvalidRouteKinds")


@pytest.mark.parametrize(
    ("gateway", "accepted"), [("only-unsupported-protocol", "False"), ("supported-and-unsupported-protocol", "True")]
)
async def test_unsupported_protocols(conformance: Conformance, gateway: str, accepted: str) -> None:
    """gateway-invalid-listeners-unsupported-protocol: a Gateway is accepted while one listener is."""
    assert conditions(await conformance.status("Gateway", gateway))["Accepted"] == (accepted, "ListenersNotValid")
    invalid = await conformance.listener(gateway, "invalid")
    assert (invalid["supportedKinds"], invalid["attachedRoutes"]) == ([], 0)
    assert conditions(invalid)["Accepted"] == ("False", "UnsupportedProtocol")
    if accepted == "True":
        assert conditions(await conformance.listener(gateway, "http"))["Accepted"] == ("True", "Accepted")


async def test_invalid_parameters(conformance: Conformance) -> None:
    """gateway-invalid-parameters-ref: infrastructure that nobody knows is refused."""
    assert conditions(await conformance.status("Gateway", "invalid-parameters"))["Accepted"] == (
        "False",
        "InvalidParameters",
    )


async def test_infrastructure_metadata(conformance: Conformance) -> None:
    """gateway-infrastructure: labels and annotations are for what a cluster creates, and are accepted."""
    assert conditions(await conformance.status("Gateway", "with-infrastructure"))["Programmed"] == (
        "True",
        "Programmed",
    )


async def test_the_longest_name(conformance: Conformance) -> None:
    """gateway-name-maximum-length: 63 characters."""
    name = "n" * 63
    assert conditions(await conformance.status("Gateway", name))["Programmed"] == ("True", "Programmed")
    await conformance.expect(Case("/", "v1", host="any.test", address="127.0.1.21"))


async def test_addresses(conformance: Conformance) -> None:
    """gateway-static-addresses, gateway-optional-address-value: what is asked for is told, with its type."""
    status = await conformance.status("Gateway", "all-namespaces")
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.0.1.1"}]
    assert conditions(await conformance.status("Gateway", "empty-address-value"))["Programmed"] == (
        "True",
        "Programmed",
    )


async def test_listeners_that_exclude_each_other(conformance: Conformance) -> None:
    """Neither of two protocols on one port is served; the third listener is, and the Gateway says so."""
    assert conditions(await conformance.status("Gateway", "conflicts"))["Accepted"] == ("True", "ListenersNotValid")
    for name in ("http", "same-port"):
        found = conditions(await conformance.listener("conflicts", name))
        assert found["Conflicted"] == ("True", "ProtocolConflict")
        assert found["Programmed"][0] == "False"
    assert conditions(await conformance.listener("conflicts", "alone"))["Conflicted"] == ("False", "NoConflicts")


async def test_listeners_come_and_go(conformance: Conformance) -> None:
    """gateway-modify-listeners: an added listener is served, one that is taken away is not, and counts follow."""

    def declared(*ports: int) -> list[dict[str, object]]:
        listeners = [{"name": f"http-{port}", "port": port, "protocol": "HTTP"} for port in ports]
        address = [{"type": "IPAddress", "value": "127.0.1.30"}]
        spec = {"gatewayClassName": "mirrorgate", "addresses": address, "listeners": listeners}
        api = "gateway.networking.k8s.io/v1"
        metadata = {"name": "modified", "namespace": "infra"}
        rules = [{"backendRefs": [{"name": "v1", "port": 8080}]}]
        route = {"parentRefs": [{"name": "modified"}], "rules": rules}
        return [
            {"apiVersion": api, "kind": "Gateway", "metadata": metadata, "spec": spec},
            {"apiVersion": api, "kind": "HTTPRoute", "metadata": metadata, "spec": route},
        ]

    on_80 = Case("/", "v1", host="any.test", address="127.0.1.30")
    on_8080 = Case("/", "v1", host="any.test", address="127.0.1.30", port=8080)
    async with conformance.changed("modified.yaml", declared(80)):
        await conformance.expect(on_80)
        with pytest.raises(ConnectionRefusedError):
            await conformance.ask(on_8080)
    async with conformance.changed("modified.yaml", declared(80, 8080)):
        await conformance.expect(on_80)
        await conformance.expect(on_8080)
        assert (await conformance.listener("modified", "http-8080"))["attachedRoutes"] == 1
    async with conformance.changed("modified.yaml", declared(8080)):
        await conformance.expect(on_8080)
        with pytest.raises(ConnectionRefusedError):
            await conformance.ask(on_80)
        assert len((await conformance.status("Gateway", "modified"))["listeners"]) == 1
