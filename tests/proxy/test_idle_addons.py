"""mitmproxy's own addons: which of them do nothing at default options, and what wakes each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import addonmanager, options
from mitmproxy.addons import default_addons, dumper, intercept, onboarding, proxyauth
from mitmproxy.test import taddons, tflow

from mirrorgate.proxy.idle_addons import wish_of
from mirrorgate.proxy.messages.heads import RequestHead, ResponseHead
from mirrorgate.proxy.messages.sketch import Sketch, begin_response, draw, sketch_of
from mirrorgate.proxy.mitm import Hooks, new_client, stock_mode

FLOW_HOOKS = ("requestheaders", "request", "responseheaders", "response", "error", "update")


def sketch(path: bytes = b"/v1/models", host: str = "models.example", *fields: tuple[bytes, bytes]) -> Sketch:
    """Make a sketch of a request with an answer."""
    named = ((b"Host", host.encode()), *fields)
    head = RequestHead(
        b"GET",
        path,
        path,
        host.encode(),
        b"HTTP/1.1",
        named,
        None,
        False,
        True,
        b"",
        False,
        upgrade_field=b"Upgrade" in dict(fields),
    )
    made = sketch_of("1", head, b"http", host, 80, 0.0)
    begin_response(made, ResponseHead(b"HTTP/1.1", 200, b"OK", ((b"Server", b"x"),), 0, False, False), 1.0)
    return made


@pytest.fixture
async def stock() -> taddons.context:
    """Every addon that mitmdump loads, and the two that print and hold flows; printing off."""
    context = taddons.context(*default_addons(), dumper.Dumper(), intercept.Intercept(), loadcore=False)
    context.options.update(flow_detail=0)
    return context


async def test_no_stock_addon_wants_a_plain_flow(stock: taddons.context) -> None:
    """At default options, at any of its hooks."""
    hooks = Hooks(stock.master.addons)
    assert [name for name in FLOW_HOOKS if hooks.wants(name, sketch())] == []
    assert [name for name in FLOW_HOOKS if hooks.listens(name)] == ["requestheaders", "request", *FLOW_HOOKS[2:5]]


async def test_what_wants_no_flow_does_nothing_with_it(stock: taddons.context) -> None:
    """Called all the same, no such handler changes anything: the table speaks the truth about this mitmproxy."""
    made = draw(sketch(), new_client(("192.0.2.1", 4), ("192.0.2.2", 80), stock_mode(80)))
    before = made.get_state()
    called = set()
    for addon in addonmanager.traverse(stock.master.addons.chain):
        for name in FLOW_HOOKS[:5]:
            handler = getattr(addon, name, None)
            if callable(handler) and (result := handler(made)) is not None:
                await result
            if callable(handler):
                called.add(type(addon).__name__)
    assert made.get_state() == before
    assert len(called) >= 19


@pytest.fixture
def a_file(tmp_path: Path) -> str:
    """Make an empty file; return its path."""
    path = tmp_path / "file"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("hook", "changed"),
    [
        ("request", {"anticache": True}),
        ("request", {"anticomp": True}),
        ("request", {"block_list": [":~u /:403"]}),
        ("response", {"flow_detail": 1}),
        ("request", {"intercept": "~all"}),
        ("request", {"map_local": ["|/x|{path}"]}),
        ("request", {"map_remote": ["|/x|/y"]}),
        ("response", {"modify_body": ["/x/y"]}),
        ("requestheaders", {"modify_headers": ["/x/y"]}),
        ("requestheaders", {"proxyauth": "any"}),
        ("request", {"save_stream_file": "{path}"}),
        ("response", {"hardump": "-"}),
        ("request", {"stickyauth": "~all"}),
        ("request", {"stickycookie": "~all"}),
        ("requestheaders", {"upstream_auth": "a:b"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
async def test_an_option_wakes_its_addon(
    hook: str, changed: dict[str, Any], stock: taddons.context, a_file: str
) -> None:
    """At once, and its default puts it to sleep again."""
    hooks = Hooks(stock.master.addons)
    assert not hooks.wants(hook, sketch())
    values = {
        name: [text.format(path=a_file) for text in value] if isinstance(value, list)
        else value.format(path=a_file) if isinstance(value, str) else value
        for name, value in changed.items()
    }  # fmt: skip
    stock.options.update(**values)
    assert hooks.wants(hook, sketch())
    stock.options.update(**{name: stock.options.default(name) for name in changed if name != "flow_detail"})
    stock.options.update(flow_detail=0, intercept_active=False)
    assert not hooks.wants(hook, sketch())


@pytest.mark.parametrize(
    ("hook", "seen"),
    [
        ("request", lambda: sketch(b"/mitmproxy-1.crl")),
        ("request", lambda: sketch(b"/", "mitm.it")),
        ("request", lambda: sketch(b"/", "a", (b"Upgrade", b"h2c"))),
    ],
)
async def test_some_requests_wake_an_addon(hook: str, seen: Callable[[], Sketch], stock: taddons.context) -> None:
    """The request for mitmproxy's certificates and revocations, and for an upgrade."""
    assert Hooks(stock.master.addons).wants(hook, seen())


async def test_an_answer_that_offers_another_service_wakes_an_addon(stock: taddons.context) -> None:
    """Alt-Svc, which it rewrites."""
    made = sketch()
    fields = ((b"Alt-Svc", b'h3=":443"'),)
    begin_response(made, ResponseHead(b"HTTP/1.1", 200, b"OK", fields, 0, False, False, alt_svc=True), 1.0)
    hooks = Hooks(stock.master.addons)
    assert hooks.wants("responseheaders", made)
    stock.options.update(keep_alt_svc_header=True)
    assert not hooks.wants("responseheaders", made)


async def test_server_replay_is_woken_by_its_command(stock: taddons.context) -> None:
    """It changes no option."""
    hooks = Hooks(stock.master.addons)
    assert not hooks.wants("request", sketch())
    stock.master.addons.get("serverplayback").load_flows([tflow.tflow(resp=True)])
    assert hooks.wants("request", sketch())


async def test_an_addon_of_somebody_else_wants_every_flow(stock: taddons.context) -> None:
    """One that adds to a stock addon, too; as soon as it is there, and no longer."""

    class Guard(proxyauth.ProxyAuth):
        """Looks at more than its base."""

    hooks = Hooks(stock.master.addons)
    assert not hooks.wants("requestheaders", sketch())
    guard = Guard()
    guard.load = lambda loader: None  # type: ignore[method-assign]  # its options are there already
    guard.name = "guard"  # type: ignore[attr-defined]
    stock.master.addons.add(guard)
    assert hooks.wants("requestheaders", sketch())
    stock.master.addons.remove(guard)
    assert not hooks.wants("requestheaders", sketch())


def test_the_onboarding_page_can_be_switched_off() -> None:
    """Then nothing is asked about the request at all."""
    addon = onboarding.Onboarding()
    settings = options.Options()
    settings.add_option("onboarding", bool, False, "")
    assert wish_of(addon, settings) is None
