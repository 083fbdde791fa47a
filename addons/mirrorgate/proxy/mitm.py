"""Everything that reaches into mitmproxy's internals, tested with the versions in `tested_versions`.

The proxy mode registers itself with mitmproxy by being defined. Its server instance listens with protocols of ours
in place of mitmproxy's layers, so that mitmproxy's own HTTP code never runs; the hooks, flows, options and commands
that addons and mitmweb know stay mitmproxy's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from cryptography import x509
from mitmproxy import addonmanager, certs, connection, exceptions, flow, http, tls, version
from mitmproxy.addons import clientplayback
from mitmproxy.proxy import context, layer, mode_servers, mode_specs

from .idle_addons import Wish, always, wish_of
from .messages.sketch import AnyFlow, Sketch
from .tested_versions import TESTED

__all__ = [
    "GatewayInstance",
    "GatewayMode",
    "Hooks",
    "check_version",
    "is_view",
    "killed",
    "new_client",
    "note_end",
    "note_open",
    "note_server_session",
    "note_session",
    "stock_mode",
    "take_client_replay",
    "wait_for_resume",
]

logger = logging.getLogger(__name__)

Listen = Callable[[mode_specs.ProxyMode, str, int], Awaitable["asyncio.Server"]]


def check_version() -> str | None:
    """Tell what is wrong with the installed mitmproxy, `None` when it is one that was tested."""
    if version.VERSION.startswith(tuple(f"{series}." for series in TESTED)):
        return None
    return (
        f"mitmproxy {version.VERSION} is not one that Mirrorgate was tested with ({', '.join(TESTED)}.x); "
        "install the version that requirements.txt pins"
    )


class GatewayMode(mode_specs.ProxyMode):
    """A listener of the gateway: `gateway:PORT@HOST:PORT`, or `gateway:PORT/https@HOST:PORT` for one that terminates
    TLS; the first port is the listener's logical one."""

    description = "gateway"
    transport_protocol = "tcp"

    def __post_init__(self) -> None:
        port, _, protocol = self.data.partition("/")
        if not port.isdigit() or not 0 < int(port) < 65536 or protocol not in ("", "https"):
            raise ValueError("the gateway mode takes the listener's port, such as gateway:80@127.0.0.1:8080")

    @property
    def logical_port(self) -> int:
        return int(self.data.partition("/")[0])

    @property
    def terminates_tls(self) -> bool:
        return self.data.endswith("/https")


class GatewayInstance(mode_servers.AsyncioServerInstance[GatewayMode]):
    """Binds one address for the gateway."""

    listener: Listen | None = None
    """Set by the gateway's addon before it sets the mode; opens the socket."""

    def make_top_layer(self, context: context.Context) -> layer.Layer:
        raise AssertionError("the gateway has no layers")

    async def listen(self, host: str, port: int) -> list[Any]:
        listen = type(self).listener
        if listen is None:
            raise OSError("the gateway mode is set by the gateway's addon, not by hand")
        return [await listen(self.mode, host, port)]


@functools.cache
def stock_mode(port: int) -> mode_specs.ProxyMode:
    """Return the mode that flows carry: a stock one, since an unmodified mitmproxy cannot read a mode of ours.

    Reverse mode fits what addons expect of a server (`proxyauth` answers 401, for instance).
    """
    return mode_specs.ProxyMode.parse(f"reverse:http://gateway.invalid:80@{port}")


def take_client_replay(replay: Callable[[http.HTTPFlow], Awaitable[None]]) -> Callable[[], None]:
    """Let mitmproxy's client replay send its flows our way; returns what undoes it.

    Queue, concurrency, checks and commands (`replay.client`, `-C`, mitmweb's button) stay mitmproxy's: the playback
    task looks its handler up for each flow and awaits its `replay`. The stock handler builds stock layers, which would
    pass the routes and limits by.
    """
    stock = clientplayback.ReplayHandler

    class Replay:
        def __init__(self, held: http.HTTPFlow, options: object) -> None:
            self._flow = held

        async def replay(self) -> None:
            await replay(self._flow)

    def undo() -> None:
        clientplayback.ReplayHandler = stock  # type: ignore[misc]

    clientplayback.ReplayHandler = Replay  # type: ignore[misc, assignment]
    return undo


def is_view(addon: object) -> bool:
    """Tell whether an addon is the list of flows of mitmweb or the console. Where there is none, it is not imported."""
    module = sys.modules.get("mitmproxy.addons.view")
    return module is not None and isinstance(addon, module.View)


class Hooks:
    """Calls the handlers of all addons, looked up once for each event and anew whenever the chain changes.

    mitmproxy walks every addon for every event, which is half of the cost of a small request (measured).
    """

    _MARK = "_mirrorgate_hooks"

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._handlers: dict[str, list[Callable[..., Any]]] = {}
        self._wishes: dict[str, tuple[Wish, ...]] = {}
        manager.master.options.changed.connect(self._options_changed)
        watchers: list[Hooks] | None = getattr(manager, self._MARK, None)
        if watchers is None:
            watchers = []
            setattr(manager, self._MARK, watchers)
            for name in ("register", "remove", "clear", "add"):
                setattr(manager, name, _forgetting(getattr(manager, name), watchers))
        watchers.append(self)

    def forget(self) -> None:
        """Look every handler up again."""
        self._handlers.clear()
        self._wishes.clear()

    def close(self) -> None:
        self._manager.master.options.changed.disconnect(self._options_changed)
        getattr(self._manager, self._MARK).remove(self)

    def listens(self, name: str) -> bool:
        """Tell whether any addon has a handler for the event."""
        return bool(self._of(name))

    def tls_data(self, client: connection.Client, server: connection.Server | None = None) -> tls.TlsData:
        """Make what mitmproxy's TLS hooks are told of a client, or of a server; it has no pyOpenSSL connection."""
        told = context.Context(client, self._manager.master.options)
        if server is None:
            return tls.TlsData(client, told)
        told.server = server
        return tls.TlsData(server, told)

    def wants(self, name: str, sketch: Sketch) -> bool:
        """Tell whether any addon would do something with the flow at this event of it, or at the `update` behind it."""
        wishes = self._wishes.get(name)
        if not wishes:
            if wishes is not None:
                return False
            wishes = self._wishes[name] = self._wishes_of(name)
        for wish in wishes:  # noqa: SIM110 - `any` costs twice as much, and this is asked four times for every request
            if wish(sketch):
                return True
        return False

    def fire(self, name: str, argument: object) -> Awaitable[None] | None:
        """Call the event's handlers in mitmproxy's order. What is returned must be awaited; `None`: all are done."""
        handlers = self._handlers.get(name)
        if handlers is None:
            handlers = self._of(name)
        for position, handler in enumerate(handlers):
            try:
                result = handler(argument)
            except exceptions.AddonHalt:
                return None
            except exceptions.OptionsError:
                raise
            except Exception as error:
                _log_addon_error(error)
                continue
            if result is not None and inspect.isawaitable(result):
                return self._rest(result, handlers[position + 1 :], argument)
        return None

    async def _rest(self, first: Awaitable[None], handlers: list[Callable[..., Any]], argument: object) -> None:
        try:
            try:
                await first
            except (exceptions.AddonHalt, exceptions.OptionsError):
                raise
            except Exception as error:
                _log_addon_error(error)
            for handler in handlers:
                try:
                    result = handler(argument)
                    if result is not None and inspect.isawaitable(result):
                        await result
                except (exceptions.AddonHalt, exceptions.OptionsError):
                    raise
                except Exception as error:
                    _log_addon_error(error)
        except exceptions.AddonHalt:
            return

    def _of(self, name: str) -> list[Callable[..., Any]]:
        handlers = self._handlers[name] = [handler for _, handler in self._find(name)]
        return handlers

    def _wishes_of(self, name: str) -> tuple[Wish, ...]:
        addons = [addon for event in (name, "update") for addon, _ in self._find(event)]
        wishes = tuple(w for addon in addons if (w := wish_of(addon, self._manager.master.options)) is not None)
        return (always,) if always in wishes else wishes

    def _find(self, name: str) -> Iterator[tuple[object, Callable[..., Any]]]:
        for addon in addonmanager.traverse(self._manager.chain):
            handler = getattr(addon, name, None)
            # A module of the same name (`from mitmproxy import log`) is no handler.
            if handler is not None and callable(handler):
                yield addon, handler

    def _options_changed(self, updated: set[str]) -> None:
        self._wishes.clear()


def _forgetting(method: Callable[..., Any], watchers: list[Hooks]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        finally:
            for watcher in watchers:
                watcher.forget()

    return wrapper


def _log_addon_error(error: Exception) -> None:
    logging.getLogger("mitmproxy.addonmanager").error("Addon error: %s", error, exc_info=error)


async def wait_for_resume(held: flow.Flow, ended: asyncio.Future[None]) -> None:
    """Wait until an intercepted flow is resumed or killed, or `ended` is done (the client left, or a drain).

    `Flow.kill` wakes nobody by itself (measured), so it is watched while the wait lasts. There is one wait for a flow
    at a time, since its hooks are called one after another.
    """
    if not held.intercepted:
        return
    woken = asyncio.get_running_loop().create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    kill: Callable[[], None] = held.kill

    def kill_and_wake() -> None:
        kill()
        wake()

    held.kill = kill_and_wake  # type: ignore[method-assign]
    resumed = asyncio.get_running_loop().create_task(held.wait_for_resume(), name="intercepted flow")
    resumed.add_done_callback(wake)
    ended.add_done_callback(wake)
    try:
        await woken
    finally:
        resumed.cancel()
        ended.remove_done_callback(wake)
        vars(held).pop("kill", None)
        if held.intercepted:
            held.intercepted = False


def new_client(peername: tuple[Any, ...], sockname: tuple[Any, ...], mode: mode_specs.ProxyMode) -> connection.Client:
    """Make the connection data of a client that has just connected."""
    return connection.Client(
        peername=peername[:2], sockname=sockname[:2], proxy_mode=mode, state=connection.ConnectionState.OPEN
    )


def note_session(client: connection.Connection, session: ssl.SSLObject) -> None:
    """Write what a TLS handshake has agreed on where mitmproxy has it."""
    cipher = session.cipher()
    alpn = session.selected_alpn_protocol()
    certificate = session.getpeercert(binary_form=True)
    client.timestamp_tls_setup = time.time()
    client.sni = getattr(session, "server_name", "") or None
    client.alpn = None if alpn is None else alpn.encode()
    client.cipher = None if cipher is None else cipher[0]
    client.tls_version = session.version()  # type: ignore[assignment]
    if certificate is not None:
        client.certificate_list = [certs.Cert(x509.load_der_x509_certificate(certificate))]


def note_server_session(server: connection.Server, session: ssl.SSLObject, name: str) -> None:
    """Write what a TLS handshake with a server has agreed on where mitmproxy has it; `name` is whom we asked for."""
    note_session(server, session)
    server.tls, server.sni = True, name


def note_open(server: connection.Server, transport: asyncio.Transport) -> None:
    """Write down that a connection to a server is established."""
    server.timestamp_tcp_setup = time.time()
    server.state = connection.ConnectionState.OPEN
    server.peername = transport.get_extra_info("peername")
    server.sockname = transport.get_extra_info("sockname")


def note_end(gone: connection.Connection) -> None:
    """Write down that a connection is gone."""
    gone.timestamp_end = time.time()
    gone.state = connection.ConnectionState.CLOSED


def killed(held: AnyFlow) -> bool:
    """Tell whether an addon or a person has killed the flow."""
    error = held.error
    return error is not None and error.msg == flow.Error.KILLED_MESSAGE
