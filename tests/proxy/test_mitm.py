"""What reaches into mitmproxy: the mode, the order of hooks, when handlers are looked up, and waits for a person."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from mitmproxy import exceptions, flow, http
from mitmproxy.addons import script
from mitmproxy.net.http import status_codes
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.test import taddons, tflow

from mirrorgate.proxy import mitm
from mirrorgate.proxy.mitm import (
    GatewayInstance,
    GatewayMode,
    Hooks,
    check_version,
    killed,
    new_client,
    stock_mode,
    wait_for_resume,
)


class Notes:
    """An addon that notes its calls in a list that others share."""

    def __init__(
        self, name: str, calls: list[str], *addons: object, raises: Exception | None = None, waits: bool = False
    ) -> None:
        self.name = name
        self.calls = calls
        self.addons = addons
        self.raises = raises
        if waits:
            self.request = self.slowly  # type: ignore[method-assign, assignment]

    def request(self, flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        if self.raises is not None:
            raise self.raises

    async def slowly(self, flow: http.HTTPFlow) -> None:
        self.calls.append(f"{self.name} begins")
        await asyncio.sleep(0)
        self.calls.append(f"{self.name} ends")
        if self.raises is not None:
            raise self.raises


class Plain:
    """An addon without any handler, and with things that look like one."""

    request = status_codes
    response = None
    name = "plain"


async def fire(hooks: Hooks, argument: object = None) -> None:
    """Fire `request` to the end."""
    pending = hooks.fire("request", argument)
    if pending is not None:
        await pending


async def stock(context: taddons.context) -> None:
    """Fire it as mitmproxy does."""
    await context.master.addons.trigger_event(HttpRequestHook(tflow.tflow()))


@pytest.mark.parametrize("first_waits", [False, True])
@pytest.mark.parametrize("second_waits", [False, True])
@pytest.mark.parametrize("raises", [None, ValueError("no"), exceptions.AddonHalt()], ids=["fine", "raises", "halts"])
async def test_handlers_are_called_in_mitmproxys_order(
    first_waits: bool, second_waits: bool, raises: Exception | None
) -> None:
    """Nested ones included, each awaited before the next; one that raises is logged, one that halts is the last."""
    calls: list[str] = []
    third = Notes("third", calls)
    second = Notes("second", calls, raises=raises, waits=second_waits)
    context = taddons.context(Plain(), Notes("first", calls, waits=first_waits), second, third, loadcore=False)
    hooks = Hooks(context.master.addons)
    await fire(hooks)
    ours = list(calls)
    calls.clear()
    await stock(context)
    assert ours == calls
    assert ("third" in calls) == (not isinstance(raises, exceptions.AddonHalt))


async def test_nested_addons_have_their_turn() -> None:
    """Behind the one that holds them."""
    calls: list[str] = []
    context = taddons.context(Notes("outer", calls, Notes("inner", calls)), Notes("next", calls), loadcore=False)
    await fire(Hooks(context.master.addons))
    assert calls == ["outer", "inner", "next"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_bad_option_is_raised(waits: bool) -> None:
    """It is for whoever has set it."""
    context = taddons.context(Notes("bad", [], raises=exceptions.OptionsError("bad"), waits=waits), loadcore=False)
    with pytest.raises(exceptions.OptionsError):
        await fire(Hooks(context.master.addons))


@pytest.mark.parametrize("waits", [False, True])
async def test_what_handlers_raise_is_logged(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With the logger and the words that mitmproxy's own use."""
    context = taddons.context(Notes("bad", [], raises=ValueError("no good"), waits=waits), loadcore=False)
    with caplog.at_level(logging.ERROR):
        await fire(Hooks(context.master.addons))
    [record] = caplog.records
    assert (record.name, record.getMessage()) == ("mitmproxy.addonmanager", "Addon error: no good")
    assert record.exc_info


async def test_nothing_to_wait_for_is_nothing() -> None:
    """Where every handler is a plain function, or there is none."""
    context = taddons.context(Notes("plain", []), loadcore=False)
    hooks = Hooks(context.master.addons)
    assert hooks.fire("request", None) is None
    assert hooks.fire("response", None) is None
    assert hooks.listens("request")
    assert not hooks.listens("response")


async def test_handlers_are_looked_up_anew_when_the_chain_changes() -> None:
    """Once for an event, and again after an addon came, went, or registered others."""
    calls: list[str] = []
    context = taddons.context(loadcore=False)
    manager = context.master.addons
    hooks, again = Hooks(manager), Hooks(manager)
    first, second = Notes("first", calls), Notes("second", calls)
    for change, expected in (
        (lambda: None, []),
        (lambda: manager.add(first), ["first"]),
        (lambda: manager.add(second), ["first", "second"]),
        (lambda: manager.remove(first), ["second"]),
        (manager.clear, []),
    ):
        change()
        for each in (hooks, again):
            await fire(each)
            assert calls == expected
            calls.clear()
    hooks.close()
    again.close()
    manager.add(first)


async def test_a_script_that_is_loaded_again_is_called(tmp_path: Path) -> None:
    """mitmproxy replaces the module when its file changes: only the new one's handlers are called."""
    path = tmp_path / "addon.py"
    path.write_text("def request(flow): flow.append('old')\n")
    context = taddons.context(loadcore=False)
    loaded = script.Script(str(path), True)
    assert loaded.reloadtask is not None
    loaded.reloadtask.cancel()  # it looks once a second; the test does what it would do
    context.master.addons.add(loaded)
    hooks = Hooks(context.master.addons)
    seen: list[str] = []
    await fire(hooks, seen)
    loaded.loadscript()
    await fire(hooks, seen)
    path.write_text("async def request(flow): flow.append('new')\n")
    loaded.loadscript()
    await fire(hooks, seen)
    path.write_text("this is no Python\n")
    loaded.loadscript()
    await fire(hooks, seen)
    assert seen == ["old", "new"]


def test_the_mode_names_the_listeners_port() -> None:
    """And where it is bound, as with every mode of mitmproxy."""
    mode = mode_specs.ProxyMode.parse("gateway:80@127.0.0.1:8080")
    assert isinstance(mode, GatewayMode)
    assert (mode.logical_port, mode.custom_listen_host, mode.custom_listen_port) == (80, "127.0.0.1", 8080)
    assert (mode.description, mode.transport_protocol) == ("gateway", "tcp")


@pytest.mark.parametrize("data", ["", "x", "0", "65536", "-1", "80x"])
def test_a_mode_without_a_port_is_refused(data: str) -> None:
    """With a word on how it is written."""
    with pytest.raises(ValueError, match="gateway:80@"):
        mode_specs.ProxyMode.parse(f"gateway:{data}@8080")


def test_flows_carry_a_mode_that_everybody_can_read() -> None:
    """A stock one, made once for a port."""
    mode = stock_mode(8080)
    assert isinstance(mode, mode_specs.ReverseMode)
    assert mode_specs.ProxyMode.parse(mode.full_spec) == mode
    assert stock_mode(8080) is mode


async def test_only_the_addon_opens_the_listener() -> None:
    """The mode set by hand, without the gateway's addon, says so."""
    context = taddons.context(loadcore=False)
    listener, GatewayInstance.listener = GatewayInstance.listener, None
    try:
        mode = mode_specs.ProxyMode.parse("gateway:80@127.0.0.1:0")
        assert isinstance(mode, GatewayMode)
        instance = GatewayInstance(mode, None)  # type: ignore[arg-type]
        with pytest.raises(OSError, match="not by hand"):
            await instance.listen("127.0.0.1", 0)
        with pytest.raises(AssertionError):
            instance.make_top_layer(None)  # type: ignore[arg-type]
    finally:
        GatewayInstance.listener = listener
        del context


def test_other_versions_of_mitmproxy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With those that were tested."""
    assert check_version() is None
    monkeypatch.setattr(mitm.version, "VERSION", "12.20.1")
    message = check_version()
    assert message is not None
    assert "12.20.1" in message
    assert "12.2.x" in message


class Waiting:
    """A wait for a person, under way."""

    def __init__(self) -> None:
        self.flow = tflow.tflow()
        self.flow.live = True
        self.flow.intercept()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.get_running_loop().create_task(wait_for_resume(self.flow, self.ended))

    async def over(self) -> bool:
        """Whether it ends within a moment."""
        try:
            async with asyncio.timeout(1):
                await self.task
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("by", ["resume", "kill", "end"])
async def test_a_wait_for_a_person_ends(by: str) -> None:
    """When the flow is resumed or killed, or its client leaves; nothing of the wait is left on the flow."""
    waiting = Waiting()
    await asyncio.sleep(0)
    assert not waiting.task.done()
    if by == "resume":
        waiting.flow.resume()
    elif by == "kill":
        waiting.flow.kill()
    else:
        waiting.ended.set_result(None)
    assert await waiting.over()
    assert not waiting.flow.intercepted
    assert killed(waiting.flow) == (by == "kill")
    assert "kill" not in vars(waiting.flow)


async def test_a_flow_may_be_held_again() -> None:
    """Each hold waits for its own release."""
    waiting = Waiting()
    await asyncio.sleep(0)
    waiting.flow.resume()
    assert await waiting.over()
    waiting.flow.intercept()
    again = asyncio.get_running_loop().create_task(wait_for_resume(waiting.flow, waiting.ended))
    await asyncio.sleep(0)
    assert not again.done()
    waiting.flow.resume()
    await again


async def test_a_flow_that_is_not_held_is_not_waited_for() -> None:
    """Nor is one that was released before the wait began."""
    held = tflow.tflow()
    await wait_for_resume(held, asyncio.get_running_loop().create_future())
    held.intercept()
    held.resume()
    await wait_for_resume(held, asyncio.get_running_loop().create_future())


async def test_a_wait_that_is_cancelled_leaves_nothing() -> None:
    """As at the end of the process."""
    waiting = Waiting()
    await asyncio.sleep(0)
    waiting.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert "kill" not in vars(waiting.flow)


def test_clients_are_open_and_of_a_stock_mode() -> None:
    """Addresses of IPv6 have four parts, which flows do not keep."""
    client = new_client(("::1", 1, 0, 0), ("::1", 2, 0, 0), stock_mode(2))
    assert (client.peername, client.sockname, client.connected) == (("::1", 1), ("::1", 2), True)


def test_only_a_kill_is_a_kill() -> None:
    """Other errors of a flow are not."""
    held = tflow.tflow()
    assert not killed(held)
    held.error = flow.Error("Client disconnected.")
    assert not killed(held)
    held.error = flow.Error(flow.Error.KILLED_MESSAGE)
    assert killed(held)
