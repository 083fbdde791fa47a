"""HTTPRoute filters, timeouts and mirrors over a real gateway, after the Gateway API's conformance tests."""

from __future__ import annotations

import pytest

from mirrorgate.testing.conformance import Case, Conformance

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


OTHER = {"Some-Other-Header": "val"}
MODIFIED = {
    "x-header-set-1": "header-set-1",
    "x-header-set-2": "header-set-2",
    "x-header-add-1": "header-add-1",
    "x-header-add-2": "add-val-2,header-add-2",
    "x-header-add-3": "header-add-3",
    "another-header": "another-header-val",
}
BEFORE = {
    "X-Header-Set-2": "set-val-2",
    "X-Header-Add-2": "add-val-2",
    "X-Header-Remove-2": "remove-val-2",
    "Another-Header": "another-header-val",
    "X-Header-Remove-1": "val",
}
GONE = ("X-Header-Remove-1", "X-Header-Remove-2")
MIXED = {"x-header-set": "original-val-set", "x-header-add": "original-val-add", "x-header-remove": "original"}

CHANGES: list[tuple[str, dict[str, str], dict[str, str], tuple[str, ...]]] = [
    ("/set", OTHER, {**OTHER, "X-Header-Set": "set-overwrites-values"}, ()),
    ("/set", {**OTHER, "X-Header-Set": "some-other-value"}, {**OTHER, "X-Header-Set": "set-overwrites-values"}, ()),
    ("/add", OTHER, {**OTHER, "X-Header-Add": "add-appends-values"}, ()),
    ("/add", {**OTHER, "X-Header-Add": "other"}, {**OTHER, "X-Header-Add": "other,add-appends-values"}, ()),
    ("/remove", {"X-Header-Remove": "val"}, {}, ("X-Header-Remove",)),
    ("/multiple", BEFORE, MODIFIED, GONE),
    (
        "/case",
        MIXED,
        {
            "X-Header-Set": "header-set",
            "X-Header-Add": "original-val-add,header-add",
            "X-Lowercase-Add": "lowercase-add",
        },
        ("X-Header-Remove",),
    ),
]
"""Path, fields before, fields after and fields that are gone: for requests and answers, of rules and of backendRefs."""

REQUEST_CHANGED = {"X-Header-Set": "set-overwrites-values", "X-Header-Add": "header-val-1"}
TO_CHANGE = {"X-Header-Remove": "remove-val", "X-Header-Add-Append": "append-val-1", "X-Header-Set": "set-val"}
CHANGED = {**REQUEST_CHANGED, "X-Header-Add-Append": "append-val-1,header-val-2"}


@pytest.mark.parametrize("route", ["request-headers", "request-headers-backend"])
async def test_request_headers(conformance: Conformance, route: str) -> None:
    """httproute-request-header-modifier, of rules and of backendRefs."""
    for path, before, after, gone in CHANGES:
        await conformance.expect(Case(path, "v1", headers=before, seen=after, unseen=gone), f"{route}.test")


@pytest.mark.parametrize("route", ["response-headers", "response-headers-backend"])
async def test_response_headers(conformance: Conformance, route: str) -> None:
    """httproute-response-header-modifier: what the server answers is changed; request and answer in one rule."""
    for path, before, after, gone in CHANGES:
        sets = {"X-Echo-Set-Header": ",".join(f"{name}:{value}" for name, value in before.items())}
        await conformance.expect(Case(path, "v1", headers=sets, answer=after, absent=gone), f"{route}.test")
    if route == "response-headers":
        sets = {"X-Echo-Set-Header": ",".join(f"{name}:{value}" for name, value in BEFORE.items())}
        both = Case(
            "/both", "v1", headers={**sets, **TO_CHANGE}, seen=CHANGED, unseen=("X-Header-Remove",),
            answer=MODIFIED, absent=GONE,
        )  # fmt: skip
        await conformance.expect(both, f"{route}.test")


async def test_each_backend_has_its_own_headers(conformance: Conformance) -> None:
    """httproute-request-header-modifier-backend-weights: what is set names the backend that was drawn."""
    drawn = set()
    for _ in range(30):
        told = (await conformance.ask(Case("/"), "backend-weights.test")).json()
        assert told["headers"]["backend"] == [told["service"]]
        drawn.add(told["service"])
    assert drawn == {"v1", "v2"}


REDIRECTS = [
    ("redirects", "/hostname", 302, "http://example.org/hostname"),
    ("redirects", "/host-and-status", 301, "http://example.org/host-and-status"),
    ("redirects", "/original-prefix/lemon", 302, "http://redirects.test/replacement-prefix/lemon"),
    ("redirects", "/full/path/original", 302, "http://redirects.test/full-path-replacement"),
    ("redirects", "/path-and-host", 302, "http://example.org/replacement-prefix"),
    ("redirects", "/path-and-status", 301, "http://redirects.test/replacement-prefix"),
    ("redirects", "/full-path-and-host", 302, "http://example.org/replacement-full"),
    ("redirects", "/full-path-and-status", 301, "http://redirects.test/replacement-full"),
    ("redirect-codes", "/port", 302, "http://redirect-codes.test:8083/port"),
    ("redirect-codes", "/port-and-host", 302, "http://example.org:8083/port-and-host"),
    ("redirect-codes", "/port-and-status", 301, "http://redirect-codes.test:8083/port-and-status"),
    ("redirect-codes", "/port-and-host-and-status", 302, "http://example.org:8083/port-and-host-and-status"),
    ("redirect-codes", "/scheme", 302, "https://redirect-codes.test/scheme"),
    ("redirect-codes", "/scheme-and-host", 302, "https://example.org/scheme-and-host"),
    ("redirect-codes", "/scheme-and-status", 301, "https://redirect-codes.test/scheme-and-status"),
    ("redirect-codes", "/scheme-and-host-and-status", 302, "https://example.org/scheme-and-host-and-status"),
    ("redirect-codes", "/see-other", 303, "http://redirect-codes.test/see-other"),
    ("redirect-codes", "/temporary", 307, "http://redirect-codes.test/temporary"),
    ("redirect-codes", "/permanent", 308, "http://redirect-codes.test/permanent"),
    ("backend-redirect", "/full/one", 302, "http://backend-redirect.test/redirected-full"),
    ("backend-redirect", "/prefix/one?q=1", 302, "http://backend-redirect.test/redirected-prefix/one?q=1"),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirects(conformance: Conformance, method: str) -> None:
    """httproute-redirect-*, httproute-303/307/308-redirect, httproute-backend-request-redirect."""
    for route, path, status, location in REDIRECTS:
        await conformance.expect(Case(path, status=status, method=method, location=location), f"{route}.test")


@pytest.mark.parametrize(
    ("port", "path", "location"),
    [
        (80, "/nil-nil", "http://example.org/nil-nil"),
        (80, "/nil-80", "http://example.org/nil-80"),
        (80, "/nil-8080", "http://example.org:8080/nil-8080"),
        (80, "/https-nil", "https://example.org/https-nil"),
        (80, "/https-443", "https://example.org/https-443"),
        (80, "/https-8443", "https://example.org:8443/https-8443"),
        (8080, "/nil-nil", "http://example.org:8080/nil-nil"),
        (8080, "/nil-80", "http://example.org/nil-80"),
        (8080, "/https-nil", "https://example.org/https-nil"),
    ],
)
async def test_the_port_of_a_redirect(conformance: Conformance, port: int, path: str, location: str) -> None:
    """httproute-redirect-port-and-scheme: the listener's logical port, not the one that is bound."""
    await conformance.expect(Case(path, status=302, port=port, location=location), "redirect-ports.test")


REWRITES = [
    ("rewrite-path", Case("/prefix/one/two", "v1", seen={":path": "/one/two"})),
    ("rewrite-path", Case("/strip-prefix/three", "v1", seen={":path": "/three"})),
    ("rewrite-path", Case("/strip-prefix", "v1", seen={":path": "/"})),
    ("rewrite-path", Case("/full/one/two", "v1", seen={":path": "/one"})),
    (
        "rewrite-path",
        Case(
            "/full/headers/test",
            "v1",
            headers=TO_CHANGE,
            seen={":path": "/test", **CHANGED},
            unseen=("X-Header-Remove",),
        ),
    ),
    ("rewrite-path", Case("/prefix/headers/one", "v1", headers=TO_CHANGE, seen={":path": "/prefix/one", **CHANGED})),
    ("rewrite-host", Case("/one", "v1", seen={":host": "one.example.org"})),
    ("rewrite-host", Case("/two", "v2", seen={":host": "example.org"})),
    ("rewrite-host", Case("/headers", "v1", headers=TO_CHANGE, seen={":host": "test.example.org", **CHANGED})),
    ("backend-rewrite", Case("/full/one", "v1", seen={":path": "/rewritten-full"})),
    ("backend-rewrite", Case("/prefix/one", "v1", seen={":path": "/rewritten-prefix/one"})),
    ("backend-rewrite", Case("/host/one", "v1", seen={":host": "own.example.org"})),
]


@pytest.mark.parametrize(("route", "case"), REWRITES, ids=str)
async def test_rewrites(conformance: Conformance, route: str, case: Case) -> None:
    """httproute-rewrite-path, httproute-rewrite-host, httproute-backend-url-rewrite."""
    await conformance.expect(case, f"{route}.test")


@pytest.mark.parametrize(
    ("path", "to", "spared"),
    [
        ("/one", ("v2",), ("v3",)),
        ("/two", ("v2", "v3"), ()),
        ("/headers", ("v2", "v3"), ()),
        ("/backend", ("v3",), ("v2",)),
    ],
)
async def test_mirrors(conformance: Conformance, path: str, to: tuple[str, ...], spared: tuple[str, ...]) -> None:
    """httproute-request-mirror, httproute-request-multiple-mirrors, and the mirror of a backendRef: each gets one copy,
    with the rule's header changes."""
    target = f"{path}?id={path[1:]}"
    changes = {"headers": TO_CHANGE, "seen": CHANGED} if path == "/headers" else {}
    await conformance.expect(Case(target, "v1", **changes), "mirror.test")  # type: ignore[arg-type]

    async def copied() -> bool:
        return all(any(request.target == target for request in conformance.servers[name].requests) for name in to)

    await conformance.gateway.admin.until(copied, f"no copy of {target} has come to each of {to}")
    for name in to:
        [copy] = [request for request in conformance.servers[name].requests if request.target == target]
        if path == "/headers":
            assert copy.header("X-Header-Add-Append") == "append-val-1, header-val-2"
            assert copy.header("X-Header-Remove") is None
    for name in spared:
        assert not [request for request in conformance.servers[name].requests if request.target == target]


@pytest.mark.parametrize(("path", "share"), [("/percent", 0.2), ("/fraction", 0.5), ("/both", 0.35)])
async def test_shares_of_mirrors(conformance: Conformance, path: str, share: float) -> None:
    """httproute-request-percentage-mirror: of 400 requests as many are copied as declared, within four sigma."""
    count = 400
    sigma = (count * share * (1 - share)) ** 0.5
    async with await conformance.gateway.connect() as client:
        for _ in range(count):
            assert (await client.request("GET", path, [("host", "mirror.test")])).status == 200
    cluster = next(
        each["cluster"]
        for rule in (await conformance.gateway.admin.page("/routes"))["rules"]
        if rule["route"] == "infra/mirror"
        for each in rule.get("mirrors", ())
        if each["fraction"] == share
    )
    sent = await conformance.gateway.admin.metric("mirrorgate_shadow_sent_total", cluster=cluster)
    assert abs(sent - count * share) <= 4 * sigma
    seen = conformance.servers["v2"].requests

    async def all_came() -> bool:
        # A machine that is busy lets copies pile up, of which 64 at a time are sent.
        given_up = await conformance.gateway.admin.metric(
            "mirrorgate_shadow_dropped_total", cluster=cluster, at="shadow", reason="max_parallel"
        )
        return sum(request.target == path for request in seen) + given_up == sent

    await conformance.gateway.admin.until(all_came, f"of {sent} copies of {path} some have not come")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/request", 200),
        ("/request?delay=1", 504),
        ("/request-off?delay=1", 200),
        ("/backend", 200),
        ("/backend?delay=1", 504),
        ("/backend-off?delay=1", 200),
    ],
)
async def test_timeouts(conformance: Conformance, path: str, status: int) -> None:
    """httproute-timeout-request, httproute-timeout-backend-request: 500 ms, and 0s for none."""
    await conformance.expect(Case(path, "v1" if status == 200 else "", status=status), "timeouts.test")
