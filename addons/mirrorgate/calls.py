"""One request to one endpoint, followed for the endpoint's sake: what it says of the endpoint's health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .breakers import Passes
from .errors import Refusal

if TYPE_CHECKING:
    from .health import ClusterHealth

__all__ = ["Call", "end_call"]

_NO_ANSWER = {
    Refusal.CONNECT_FAILURE: False,
    Refusal.CONNECT_TIMEOUT: False,
    Refusal.UPSTREAM_CLOSED: False,
    Refusal.UPSTREAM_PROTOCOL: False,
    Refusal.UPSTREAM_RESET: False,
    Refusal.UPSTREAM_REFUSED: False,
    Refusal.REQUEST_TIMEOUT: True,
    Refusal.PER_TRY_TIMEOUT: True,
    Refusal.STREAM_IDLE: True,
    Refusal.MAX_DURATION: True,
}
"""How a request ends that its endpoint is to blame for, and whether it is by a timeout."""


class Call:
    """One request to one endpoint, followed for the endpoint's sake. Every method may be called at any time."""

    __slots__ = ("_answered", "_endpoint", "_first", "_health", "_passes", "_sent", "_status")

    def __init__(self, health: ClusterHealth, endpoint: str, passes: Passes | None) -> None:
        self._health = health
        self._endpoint = endpoint
        self._passes = passes
        self._sent: float | None = None
        self._answered = False
        self._status = 0
        self._first: float | None = None
        """How long the first piece of a streamed answer took."""

    def sent(self) -> None:
        """Take note that the request has a connection."""
        self._sent = self._health.now()

    def answered(self, status: int) -> None:
        """Take note of the answer's head."""
        if not self._answered:
            self._answered = True
            self._status = status
            self._health.answered(self._endpoint, status)

    def first_piece(self) -> None:
        """Take note of the first piece of an event stream.

        A probe of a half-open breaker is judged by it: the stream may last for minutes, and shows already that the
        endpoint serves.
        """
        if self._sent is not None:
            self._first = self._health.now() - self._sent
        if self._passes is not None and self._passes.probe:
            self._record(failed=self._status >= 500)

    def ended(self, refusal: Refusal | None) -> None:
        """Take note that nothing more comes. `None` is a good end; of others, some the endpoint is not to blame for."""
        if refusal is None and self._answered:
            self._record(failed=self._status >= 500)
            return
        timeout = None if refusal is None else _NO_ANSWER.get(refusal)
        if timeout is None or (timeout and self._sent is None):
            self._cancel()  # a timeout in the queue is not the endpoint's
            return
        self._record(failed=True)
        if not (timeout and self._answered):  # a timeout after the head is no matter of outliers (Envoy)
            self._health.failed(self._endpoint, timeout=timeout)

    def _record(self, *, failed: bool) -> None:
        if self._passes is not None:
            passes, self._passes = self._passes, None
            took = 0.0 if self._sent is None else self._health.now() - self._sent
            self._health.record(passes, failed=failed, first=self._first, took=took)

    def _cancel(self) -> None:
        if self._passes is not None:
            passes, self._passes = self._passes, None
            self._health.cancel(passes)


class _Holder(Protocol):
    call: Call | None


def end_call(holder: _Holder, refusal: Refusal | None) -> None:
    """End what the holder's call follows, once; `None` is a good end."""
    call, holder.call = holder.call, None
    if call is not None:
        call.ended(refusal)
