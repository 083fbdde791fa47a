"""HTTPRoute matching over a real gateway: the tables of the Gateway API's conformance tests, request by request."""

from __future__ import annotations

import pytest

from mirrorgate.testing.conformance import Case, Conformance

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


MATCHING = [
    Case("/", "v1"),
    Case("/example", "v1"),
    Case("/", "v1", headers={"Version": "one"}),
    Case("/v2", "v2"),
    Case("/v2example", "v1"),
    Case("/foo/v2/example", "v1"),
    Case("/", "v2", headers={"Version": "two"}),
    Case("/v2/", "v2"),
    Case("/v2/example", "v2"),
    Case("/v2", "v2", headers={"Version": "one"}),
]
EXACT = [
    Case("/one", "v1"),
    Case("/two", "v2"),
    *(Case(path, status=404) for path in ("/", "/one/example", "/two/", "/Two")),
]
ORDER = [
    Case("/match/exact/one", "v3"),
    Case("/match/exact", "v2"),
    Case("/match", "v1"),
    Case("/match/prefix/one/any", "v2"),
    Case("/match/prefix/any", "v1"),
    Case("/match/any", "v3"),
]
ACROSS = [
    Case("/", "v1", host="across.example.com"),
    Case("/example", "v1", host="across.example.com"),
    Case("/example", "v1", host="across.example.net"),
    Case("/example", "v1", host="across.example.com", headers={"Version": "one"}),
    Case("/v2", "v2", host="across.example.com"),
    Case("/v2", "v1", host="across.example.net"),
    Case("/v2/example", "v2", host="across.example.com"),
    Case("/", "v2", host="across.example.com", headers={"Version": "two"}),
]
HEADERS = [
    Case("/", "v1", headers={"Version": "one"}),
    Case("/", "v2", headers={"Version": "two"}),
    Case("/", "v1", headers={"Version": "two", "Color": "orange"}),
    *(Case("/", "v1", headers={"Color": color}) for color in ("blue", "green")),
    *(Case("/", "v2", headers={"Color": color}) for color in ("red", "yellow")),
    *(Case("/", status=404, headers={"Color": color}) for color in ("orange", "purple")),
    Case("/", status=404, headers={"Some-Other-Header": "one"}),
    Case("/", status=404),
]
METHODS = [
    Case("/", "v1", method="POST"),
    Case("/", "v2"),
    Case("/", status=404, method="HEAD"),
    Case("/path1", "v1"),
    Case("/", "v2", method="PUT", headers={"version": "one"}),
    Case("/path2", "v3", method="POST", headers={"version": "two"}),
    Case("/path3", "v1", method="PATCH"),
    Case("/path4", "v1", method="DELETE", headers={"version": "three"}),
    Case("/", status=404, method="PUT"),
    Case("/path4", status=404, method="DELETE"),
    Case("/path5", "v1", method="PATCH"),
    Case("/", "v2", method="PATCH", headers={"version": "four"}),
]
QUERY = [
    Case("/?animal=whale", "v1"),
    Case("/?animal=dolphin", "v2"),
    Case("/?animal=dolphin&color=blue", "v3"),
    Case("/?ANIMAL=Whale", "v3"),
    Case("/?animal=whale&otherparam=irrelevant", "v1"),
    Case("/?animal=dolphin&color=yellow", "v2"),
    *(Case(path, status=404) for path in ("/?color=blue", "/?animal=dog", "/?animal=whaledolphin", "/")),
    Case("/path1?animal=whale", "v1"),
    Case("/?animal=whale", "v2", headers={"version": "one"}),
    Case("/path2?animal=whale", "v3", headers={"version": "two"}),
    Case("/path3?animal=shark", "v1"),
    Case("/path4?animal=kraken", "v1", headers={"version": "three"}),
    *(Case(path, status=404) for path in ("/?animal=shark", "/path4?animal=kraken")),
    Case("/path5?animal=hydra", "v1"),
    Case("/?animal=hydra", "v3", headers={"version": "four"}),
]


@pytest.mark.parametrize(
    ("route", "cases"),
    [
        pytest.param("simple", [Case("/", "v1")], id="httproute-simple-same-namespace"),
        pytest.param("matching", MATCHING, id="httproute-matching"),
        pytest.param("exact-path", EXACT, id="httproute-exact-path-matching"),
        pytest.param("path-order", ORDER, id="httproute-path-match-order"),
        pytest.param("across-routes-1", ACROSS, id="httproute-matching-across-routes"),
        pytest.param("header-matching", HEADERS, id="httproute-header-matching"),
        pytest.param("method-matching", METHODS, id="httproute-method-matching"),
        pytest.param("query-matching", QUERY, id="httproute-query-param-matching"),
        pytest.param("named-rules", [Case("/named", "v1"), Case("/unnamed", "v2")], id="httproute-named-rule"),
    ],
)
async def test_matching(conformance: Conformance, route: str, cases: list[Case]) -> None:
    """The route is accepted, and every request of the table goes where the table says."""
    assert await conformance.route_conditions(route) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    for case in cases:
        await conformance.expect(case, f"{route}.test")


async def test_a_route_of_another_namespace(conformance: Conformance) -> None:
    """httproute-cross-namespace: a Gateway takes routes of namespaces that its selector names."""
    assert (await conformance.route_conditions("cross-namespace", "web"))["Accepted"] == ("True", "Accepted")
    await conformance.expect(Case("/", "web-backend", address="127.0.1.2"), "any.test")


async def test_a_route_of_two_gateways(conformance: Conformance) -> None:
    """httproute-multiple-gateways: the shared route is served by both, the others by one."""
    assert len((await conformance.status("HTTPRoute", "shared"))["parents"]) == 2
    for address, own in (("127.0.1.11", "v2"), ("127.0.1.12", "v3")):
        await conformance.expect(Case("/shared", "v1", address=address), "any.test")
        await conformance.expect(Case("/", own, address=address), "any.test")
