"""A mitmproxy without a user interface that loads mitmproxy's own addons when they have something to do.

Each has its place in the chain from the start. It is imported when one of its options is set or read, one of its
commands called or the addon asked for by its name, and all of them with a proxy mode of mitmproxy's own. A flow of a
gateway at default options passes none of those that are left out, but for two: `onboarding`, which would answer
requests for `mitm.it` with the page that hands out mitmproxy's certificate, and `tlsconfig`, its revocation list.
"""

from __future__ import annotations

import copy
import gc
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from mitmproxy import hooks, master, options

from .stock_addons import STOCK_ADDONS, StockAddon

__all__ = ["HeadlessMaster"]

_GATEWAY_MODE = "gateway:"
_REPLAYS = ("clientplayback", "serverplayback", "readfilestdin")
"""Addons after whose work mitmproxy ends, unless `keepserving` says otherwise."""


class HeadlessMaster(master.Master):
    """Runs addons until it is shut down."""

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts, with_termlog=True)
        self._runs = False
        self._later: dict[str, _LaterAddon] = {}
        for stock in STOCK_ADDONS:
            if stock.at_start:
                self.addons.add(_made(stock))
            else:
                later = self._later[stock.name] = _LaterAddon(self, stock)
                self.addons.add(later)
        waiting = self._later.values()
        by_option = {name: later.bring for later in waiting for name in later.stock.options}
        by_command = {name: later.bring for later in waiting for name in later.stock.commands}
        by_name = {name: later.bring for name, later in self._later.items()}
        vars(self.options)["_options"] = _Registry(self.options._options, by_option)
        self.commands.commands = _Registry(self.commands.commands, by_command)
        self.addons.lookup = _Registry(self.addons.lookup, by_name)
        self.options.subscribe(self._mode_changed, ["mode"])

    @property
    def runs(self) -> bool:
        """Whether addons have been told that mitmproxy is running."""
        return self._runs

    async def running(self) -> None:
        """Tell the addons that mitmproxy is running, and take what there is now out of garbage collection's way."""
        if any(self._later[name].loaded for name in _REPLAYS):
            self._later["keepserving"].bring()
        self._runs = True
        await super().running()
        # What is there by now stays: a full collection, of which no request is to wait for, passes it over from now on.
        gc.collect()
        gc.freeze()

    def _mode_changed(self, opts: options.Options, _: set[str]) -> None:
        if any(not mode.startswith(_GATEWAY_MODE) for mode in opts.mode):
            for later in self._later.values():
                later.bring()


class _LaterAddon:
    """Keeps a place in the chain; the addon becomes its child."""

    def __init__(self, running: HeadlessMaster, stock: StockAddon) -> None:
        self.name = f"later.{stock.name}"
        self.stock = stock
        self.addons: list[object] = []
        self._asked = False
        self._master = running

    @property
    def loaded(self) -> bool:
        return bool(self.addons)

    def bring(self) -> None:
        """Import the addon and let it catch up with the others; loading it again does nothing."""
        if self._asked:
            return
        self._asked = True  # now: registering it asks whether it is there
        addon = _made(self.stock)
        manager = self._master.addons
        manager.register(addon)
        self.addons.append(addon)
        opts = self._master.options
        manager.invoke_addon_sync(addon, hooks.ConfigureHook({name for name in opts.keys() if opts.has_changed(name)}))  # noqa: SIM118
        if self._master.runs:
            manager.invoke_addon_sync(addon, hooks.RunningHook())


class _Registry(dict[str, Any]):
    """A registry of mitmproxy's in which what a later addon brings counts as being there: asked for, it is loaded."""

    def __init__(self, there: Mapping[str, Any], later: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(there)
        self._later = later

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._bring(name)

    def __missing__(self, name: str) -> Any:
        if self._bring(name):
            return super().__getitem__(name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - this is `get`

    def __deepcopy__(self, memo: dict[int, Any]) -> _Registry:
        """Options are rolled back to a deep copy when one of several cannot be set."""
        return _Registry({name: copy.deepcopy(value, memo) for name, value in self.items()}, self._later)

    def _bring(self, name: object) -> bool:
        load = self._later.get(name) if isinstance(name, str) else None
        if load is None:
            return False
        load()
        return super().__contains__(name)


def _made(stock: StockAddon) -> object:
    return getattr(importlib.import_module(f"mitmproxy.addons.{stock.module}"), stock.kind)()
