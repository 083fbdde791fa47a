"""The listeners: bound through mitmproxy's `mode` option, and kept there."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.mode_specs import ProxyMode

from ..snapshot import Snapshot
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
        self._spawn = spawn
        self._abort = abort
        self._lenient = lenient
        self._told = told

    def apply(self, snapshot: Snapshot, *, starting: bool = False) -> None:
        """Listen where a configuration says, and nowhere else."""
        options = ctx.options
        self._modes = bindings(snapshot, options.gateway_bind, options.gateway_port_offset)
        others = [mode for mode in options.mode if not mode.startswith(_OURS)]
        if starting and others == ["regular"]:
            others = []  # mitmproxy's default, which nobody asked for
        wanted = [*self._modes, *others]
        if starting or wanted != list(options.mode):
            options.update(mode=wanted, server=True)
        self._spawn(self._check(starting))

    def keep(self, snapshot: Callable[[], Snapshot]) -> None:
        """Put our listeners back when something else has set `mode` (mitmweb's Capture tab knows stock modes only)."""
        missing = [mode for mode in self._modes if mode not in ctx.options.mode]
        if missing and self.bound:
            asyncio.get_running_loop().call_soon(lambda: self.apply(snapshot()))

    async def _check(self, starting: bool) -> None:
        """See whether every listener is bound."""
        proxyserver = ctx.master.addons.get("proxyserver")
        assert isinstance(proxyserver, Proxyserver)
        while proxyserver.servers.is_updating:  # noqa: ASYNC110 - mitmproxy tells of it in no other way
            await asyncio.sleep(0.01)
        self.errors = dict(self._broken(proxyserver))
        self.bound = not self.errors or (self._lenient and len(self.errors) < len(self._modes))
        self._told(self.errors)
        if starting:
            self._say()

    def _broken(self, proxyserver: Proxyserver) -> list[tuple[str, str]]:
        found = []
        for mode in self._modes:
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
        for error in self.errors.values():
            logger.error("a listener cannot bind: %s", error)
        if self.errors and not self._lenient:
            logging.shutdown()
            self._abort()
            sys.exit(1)
        for mode in self._modes:
            if mode not in self.errors:
                spec = ProxyMode.parse(mode)
                host, port = spec.custom_listen_host, spec.custom_listen_port
                logger.info("gateway listening at %s:%s (port %s of the Gateway)", host, port, spec.data)
        if not self._modes:
            logger.warning("the configuration has no listener that can be served")
