"""The CORS filter over a real gateway: the 17 requests of httproute-cors, and those that a browser would send next."""

from __future__ import annotations

import pytest

from mirrorgate.testing.conformance import Case, Conformance

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


OK = (200, 204)
FOO, BAR, EVIL, ANY = "https://www.foo.com", "https://www.bar.com", "https://foobar.com", "https://other.foo.com"
CREDENTIALS = "access-control-allow-credentials"
ORIGIN, METHODS, HEADERS = "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"
LISTS = {
    METHODS: ("GET, OPTIONS", "OPTIONS, GET"),
    HEADERS: ("x-header-1, x-header-2", "x-header-2, x-header-1"),
    "access-control-expose-headers": ("x-header-3, x-header-4", "x-header-4, x-header-3"),
    "access-control-max-age": "3600",
    CREDENTIALS: "true",
}


def asks(path: str, origin: str, method: str = "GET", headers: str = "", **expected: object) -> Case:
    """Make a preflight."""
    fields = {"Origin": origin, "access-control-request-method": method}
    if headers:
        fields["access-control-request-headers"] = headers
    return Case(path, status=OK, method="OPTIONS", headers=fields, **expected)  # type: ignore[arg-type]


def sends(path: str, origin: str, method: str = "GET", **expected: object) -> Case:
    """Make the request that a preflight asks about, or one that needs none."""
    return Case(path, "v1", method=method, headers={"Origin": origin}, **expected)  # type: ignore[arg-type]


BOTH = "x-header-1, x-header-2"
CASES = [
    asks("/lists", FOO, headers=BOTH, answer={ORIGIN: FOO, **LISTS}),
    asks("/lists", BAR, headers=BOTH, answer={ORIGIN: BAR, **LISTS}),
    asks("/lists", "https://xpto.www.bar.com", headers=BOTH, answer={ORIGIN: "https://xpto.www.bar.com", **LISTS}),
    asks("/lists", EVIL, absent=(ORIGIN, CREDENTIALS)),
    sends("/lists", FOO, answer={ORIGIN: FOO}),
    sends("/lists", BAR, answer={ORIGIN: BAR}),
    sends("/lists", EVIL, absent=(ORIGIN,)),
    asks("/any-method", FOO, "POST", answer={METHODS: ("POST", "*"), ORIGIN: FOO}, absent=(CREDENTIALS,)),
    asks("/any-origin", EVIL, "PUT", answer={ORIGIN: (EVIL, "*"), METHODS: "PUT"}, absent=(CREDENTIALS,)),
    asks("/any-origin", f"{EVIL}:12345", "PUT", answer={ORIGIN: (f"{EVIL}:12345", "*"), METHODS: "PUT"}),
    sends("/any-origin", f"{EVIL}:12345", "PUT", answer={ORIGIN: (f"{EVIL}:12345", "*")}),
    sends("/any-origin", EVIL, "PUT", answer={ORIGIN: (EVIL, "*")}, absent=(CREDENTIALS,)),
    asks("/anything", ANY, "PUT", BOTH, answer={ORIGIN: ANY, METHODS: "PUT", HEADERS: BOTH, CREDENTIALS: "true"}),
    asks(
        "/anything-public", ANY, "PUT", BOTH,
        answer={ORIGIN: (ANY, "*"), METHODS: ("PUT", "*"), HEADERS: (BOTH, "*")}, absent=(CREDENTIALS,),
    ),
    sends("/anything", ANY, answer={ORIGIN: ANY, CREDENTIALS: "true"}),
    sends("/anything-public", ANY, answer={ORIGIN: (ANY, "*")}, absent=(CREDENTIALS,)),
    Case("/lists", "v1", method="OPTIONS", headers={"Origin": FOO}, answer={ORIGIN: FOO}),
    Case("/lists", "v1", absent=(ORIGIN,), answer={"vary": "Origin"}),
    Case("/lists", "v1", headers={"Origin": EVIL, "X-Echo-Set-Header": f"{ORIGIN}:*"}, absent=(ORIGIN,)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_cors(conformance: Conformance, case: Case) -> None:
    """httproute-cors, and: OPTIONS that is no preflight, a request of no browser, a server that allows everybody."""
    await conformance.expect(case, "cors.test")


async def test_a_preflight_never_reaches_the_server(conformance: Conformance) -> None:
    """It is answered by the gateway, allowed or not."""
    for origin in (FOO, EVIL):
        await conformance.expect(asks("/lists/unseen", origin), "cors.test")
    assert not [request for request in conformance.servers["v1"].requests if request.target == "/lists/unseen"]
