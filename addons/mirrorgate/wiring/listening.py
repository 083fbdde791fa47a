"""The listeners: bound through mitmproxy's `mode` option, and kept there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.mode_specs import ProxyMode

from ..snapshot import Snapshot
from .background import end_process
from .configuring import bindings

__all__ = ["Listening"]

logger = logging.getLogger("mirrorgate")

_OURS = "gateway:"


class Listening:
    """Binds what the configuration listens on.

    `lenient` serves on although a listener cannot be bound, as in a cluster, where that is a condition of its Gateway;
    otherwise the process ends when one cannot be bound at the start. `told` gets the errors after each change.
    """

    def __init__(
        self,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        abort: Callable[[], None],
        *,
        lenient: bool,
        told: Callable[[dict[str, str]], None],
    ) -> None:
        self.bound = False
        self.errors: dict[str, str] = {}
        """Mode to what is wrong with it."""
        self._modes: list[str] = []
        self._unset: dict[str, str] = {}
        """Those of `_modes` that mitmproxy does not take, with its reason. They are not asked for again and again."""
        self._spawn = spawn
        self._abort = abort
        self._lenient = lenient
        self._told = told

    def apply(self, snapshot: Snapshot, *, starting: bool = False, insisting: bool = False) -> None:
        """Listen where a configuration says, and nowhere else. Raises nothing for what cannot be bound.

        Where a mode of mitmproxy's own has the address it keeps it, unless we are `insisting`.
        """
        options = ctx.options
        self._modes = bindings(snapshot, options.gateway_bind, options.gateway_port_offset)
        others = [mode for mode in options.mode if not mode.startswith(_OURS)]
        if starting and others == ["regular"]:
            others = []  # mitmproxy's default, which nobody asked for
        if insisting:
            ours = set(map(_place, self._modes))
            others = [mode for mode in others if _place(mode) not in ours]
        taken = {_place(mode): mode for mode in others}
        self._unset = {
            mode: f"its address is that of mitmproxy's mode {taken[_place(mode)]}"
            for mode in self._modes
            if _place(mode) in taken
        }
        self._set([*(mode for mode in self._modes if mode not in self._unset), *others], starting=starting)

    def keep(self, snapshot: Callable[[], Snapshot]) -> None:
        """Put our listeners back when something else has set `mode` (mitmweb's Capture tab knows stock modes only)."""
        missing = self._missing()
        if missing and self.bound:
            asyncio.get_running_loop().call_soon(lambda: self.apply(snapshot(), insisting=True))

    def _missing(self) -> list[str]:
        return [mode for mode in self._modes if mode not in ctx.options.mode and mode not in self._unset]

    def _set(self, wanted: list[str], *, starting: bool) -> None:
        try:
            if starting or wanted != list(ctx.options.mode):
                ctx.options.update(mode=wanted, server=True)
        except exceptions.OptionsError as error:
            self._unset |= dict.fromkeys(self._missing(), str(error))
        self._spawn(self._check(starting))

    async def _check(self, starting: bool) -> None:
        """See whether every listener is bound."""
        proxyserver = ctx.master.addons.get("proxyserver")
        assert isinstance(proxyserver, Proxyserver)
        while proxyserver.servers.is_updating:  # noqa: ASYNC110 - mitmproxy tells of it in no other way
            await asyncio.sleep(0.01)
        before, self.errors = self.errors, dict(self._broken(proxyserver))
        self.bound = not self.errors or (self._lenient and len(self.errors) < len(self._modes))
        self._told(self.errors)
        if starting:
            self._say()
        else:
            _tell(error for mode, error in self.errors.items() if before.get(mode) != error)

    def _broken(self, proxyserver: Proxyserver) -> list[tuple[str, str]]:
        found = []
        for mode in self._modes:
            if mode in self._unset:
                found.append((mode, f"{_shown(mode)}: {self._unset[mode]}"))
                continue
            try:
                instance = proxyserver.servers[ProxyMode.parse(mode)]
            except KeyError:
                found.append((mode, "not started"))
                continue
            if not instance.is_running:
                found.append((mode, str(instance.last_exception or "not running")))
        return found

    def _say(self) -> None:
        """Tell where the gateway listens; end the process when it cannot and must."""
        _tell(self.errors.values())
        if self.errors and not self._lenient:
            self._abort()
            end_process()
            return
        for mode in self._modes:
            if mode not in self.errors:
                spec = ProxyMode.parse(mode)
                host, port = spec.custom_listen_host, spec.custom_listen_port
                logger.info("gateway listening at %s:%s (port %s of the Gateway)", host, port, spec.data)
        if not self._modes:
            logger.warning("the configuration has no listener that can be served")


def _tell(errors: Iterable[str]) -> None:
    for error in errors:
        hint = " (does another gateway run? gateway_port_offset moves all ports)" if "in use" in error else ""
        logger.error("a listener cannot bind: %s%s", error, hint)


def _place(mode: str) -> tuple[str, int | None]:
    """Return the address and port of a mode, as mitmproxy compares them."""
    spec = ProxyMode.parse(mode)
    return spec.listen_host(ctx.options.listen_host), spec.listen_port(ctx.options.listen_port)


def _shown(mode: str) -> str:
    return "{}:{}".format(*_place(mode))
