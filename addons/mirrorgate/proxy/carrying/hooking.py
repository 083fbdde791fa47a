"""The hooks of one exchange: addons are told, waited for, and may kill it, answer it or hold it.

As in mitmproxy, the hooks of a flow are called one after another, each when the handlers of the one before have
returned, and addons hear of the end once: by `response` or by `error`, never by both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from mitmproxy import http

from ...errors import Refusal
from ..messages.sketch import Sketch
from ..mitm import killed, wait_for_resume
from . import ending

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["FlowHooks", "through"]

logger = logging.getLogger(__name__)

_LAST = frozenset(("response", "error"))
"""The hooks that tell of the end."""


class FlowHooks(msgspec.Struct, eq=False):
    """Calls the hooks of one flow."""

    _carrier: Carrier
    _held: asyncio.Future[None] | None = None
    _running: bool = False
    _queue: list[asyncio.Future[None]] = []
    """Who waits for a hook's handlers to return before another is called."""
    _later: int = 0
    """How many wait there, or have been woken and not gone on yet."""
    _told: bool = False
    """Whether addons have been told of the end."""
    pending: bool = False
    """Whether the answer waits for an addon."""

    @property
    def busy(self) -> bool:
        """Whether an addon is at work on the flow, or a person has intercepted it."""
        return self._running

    @property
    def quiet(self) -> bool:
        """Whether no handler is at work, and no hook waits to be called."""
        return not self._running and not self._later

    def fire(self, name: str) -> Awaitable[None] | None:
        """Call a hook's handlers, and `update`'s after them; `None` when nothing has to be waited for."""
        carrier = self._carrier
        hooks, sketch = carrier.plane.hooks, carrier.flow
        if type(sketch) is Sketch and not hooks.wants(name, sketch):
            self._told = self._told or name in _LAST
            return None  # nobody has looked yet, so that nobody is at work on it either
        if self._running:
            return self._fire_later(name)
        if name in _LAST:
            if self._told and name == "error":
                return None
            self._told = True
        flow = carrier.seen()
        pending = hooks.fire(name, flow)
        update = pending is not None
        if pending is None:
            pending = hooks.fire("update", [flow])
            if pending is None and not flow.intercepted:
                return None
        self._running = True
        return self._wait(pending, update=update)

    async def fire_and_wait(self, name: str) -> None:
        pending = self.fire(name)
        if pending is not None:
            await pending

    def passed(self, name: str) -> bool:
        """Pass a hook on the way up that nobody would do anything at: of most exchanges each. Whether it is one, so
        that nothing has changed and the exchange goes on."""
        carrier, sketch = self._carrier, self._carrier.flow
        return (
            type(sketch) is Sketch
            and not carrier.plane.hooks.wants(name, sketch)
            and not carrier.over
            and not carrier.gone
        )

    async def going_on(self, name: str) -> bool:
        """Call a hook on the way up. Whether the exchange goes on."""
        carrier = self._carrier
        pending = self.fire(name)
        if pending is not None:
            await pending
        if carrier.gone:
            await ending.client_gone(carrier)
            return False
        if killed(carrier.flow):
            ending.cut(carrier, Refusal.KILLED)
            return False
        return not carrier.over

    def after(self, pending: Awaitable[None] | None, step: Callable[[], None]) -> None:
        """Go on with a step when a hook's handlers are done; what the upstream sends meanwhile is kept back."""
        if pending is None:
            step()
            return
        self.pending = True
        upstream = self._carrier.upstream
        if upstream is not None:
            upstream.pause()
        self._carrier.run(self._go_on(pending, step))

    def let_go(self) -> None:
        """End a wait for a person, if there is one: the client left, or the gateway is about to stop."""
        if self._held is not None and not self._held.done():
            self._held.set_result(None)

    async def _go_on(self, pending: Awaitable[None], step: Callable[[], None]) -> None:
        carrier = self._carrier
        await pending
        self.pending = False
        if carrier.gone and not carrier.over:
            ending.cut(carrier, Refusal.CLIENT_LEFT)
            return
        if carrier.upstream is not None and carrier.connection.writable:
            carrier.upstream.resume()
        step()

    async def _fire_later(self, name: str) -> None:
        self._later += 1
        try:
            while self._running:
                turn = asyncio.get_running_loop().create_future()
                self._queue.append(turn)
                await turn
            await self.fire_and_wait(name)
        finally:
            self._later -= 1

    async def _wait(self, pending: Awaitable[None] | None, *, update: bool) -> None:
        carrier = self._carrier
        flow = carrier.seen()
        try:
            if pending is not None:
                await pending
            if update and (pending := carrier.plane.hooks.fire("update", [flow])) is not None:
                await pending
            if flow.intercepted:
                await self._until_resumed(flow)
        finally:
            self._running = False
            carrier.clocks.touch()
            while self._queue:
                turn = self._queue.pop(0)
                if not turn.done():  # its task may have been cancelled
                    turn.set_result(None)
                    break

    async def _until_resumed(self, flow: http.HTTPFlow) -> None:
        carrier = self._carrier
        held = self._held = asyncio.get_running_loop().create_future()
        if carrier.gone or carrier.plane.draining:
            held.set_result(None)
        try:
            await wait_for_resume(flow, held)
        finally:
            self._held = None


def through(stream: object, piece: bytes, *, last: bool = False) -> list[bytes]:
    """Pass a piece through an addon's stream function, which may return bytes or several pieces.

    `last` marks the end of the body. A function that raises is passed by: the piece goes on as it is.
    """
    if not callable(stream):
        return [] if last else [piece]
    try:
        result = stream(piece)
        return [result] if isinstance(result, bytes) else list(result)
    except Exception:
        logger.exception("a stream function raised; the piece is passed on as it is")
        return [piece]
