"""Sends a request again: what a failed try holds goes back, its back-off passes, another endpoint is asked.

Addons see none of this: they hear of the request once, and of the answer that it gets in the end. What judges a try is
pure (`tries`); a bug in here fails one exchange, like any other.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ...errors import Refusal
from ...events import SentAgain
from ...exchange import State
from ...plans import Plan, Refused
from ...routing.retrying import RetryPolicy
from ...tries import Phase, Tries
from ..messages.heads import ResponseHead
from ..mitm import killed
from . import ending, replying

if TYPE_CHECKING:
    from ..upstream.pool import ClusterPool
    from .carrier import Carrier

__all__ = ["Retrying", "hurry"]


class Retrying:
    """The tries of one exchange whose rule says when a request is sent again."""

    __slots__ = ("_back_off", "_carrier", "_clock", "_pool", "_sent", "tries")

    def __init__(self, carrier: Carrier, policy: RetryPolicy, pool: ClusterPool) -> None:
        self.tries = Tries(policy)
        self._carrier = carrier
        self._pool = pool
        self._back_off: asyncio.TimerHandle | None = None
        self._clock: asyncio.TimerHandle | None = None
        """The timeout of the try that is under way."""
        self._sent = False
        """Whether some of the request has gone out in this try."""

    @property
    def waiting(self) -> bool:
        """Whether the exchange is between two tries."""
        return self.tries.phase is Phase.WAITING

    def sent(self) -> None:
        """Take note that a try goes out: its timeout runs from the end of the upload."""
        self._sent = True
        plan = self._carrier.plan
        if plan is not None and plan.timeouts.per_try and self._carrier.sent_up and self._clock is None:
            loop = asyncio.get_running_loop()
            self._clock = loop.call_later(plan.timeouts.per_try, self._carrier.timed_out, Refusal.PER_TRY_TIMEOUT)

    def answered(self, head: ResponseHead) -> bool:
        """Judge an answer by its head. Whether it is thrown away."""
        self._stop_clock()
        if self.tries.phase is Phase.OVER:
            return False
        self._settle_if_leaving()
        return self._decided(self.tries.answered(head.status, head.fields, self._pool.cluster), str(head.status))

    def failed(self, refusal: Refusal) -> bool:
        """Judge a failure before an answer. Whether the request is sent again."""
        self._stop_clock()
        if self.tries.phase is not Phase.TRYING:
            return False
        self._settle_if_leaving()
        return self._decided(self.tries.failed(refusal, self._pool.cluster, sent=self._sent), refusal.value)

    def abandon(self) -> None:
        """Let this try be the last: not all of the request is kept."""
        self.tries.abandon(self._pool.cluster)

    def hurry(self) -> None:
        """Try at once what waits, and then no more: the gateway is about to stop."""
        self.tries.settle()
        if self._back_off is not None:
            self._back_off.cancel()
            self._again()

    def stop(self) -> None:
        """Take no more part: the exchange is over, or nobody waits for it."""
        self._stop_clock()
        if self._back_off is not None:
            self._back_off.cancel()
            self._back_off = None
        self.tries.end()

    def _decided(self, again: bool, reason: str) -> bool:
        carrier, tries = self._carrier, self.tries
        carrier.facts.retry_flag = tries.flag
        if not again:
            return False
        if carrier.plan is not None:
            endpoint = str(carrier.plan.address)
            tries.endpoints.add(endpoint)
            carrier.plane.emit(SentAgain(carrier.plan.cluster, endpoint, reason))
        if carrier.facts.state is not State.ADMITTING:
            carrier.facts.to(State.ADMITTING)
        carrier.let_go()
        carrier.clocks.stop("duration")
        delay = tries.policy.delay(tries.count, carrier.plane.director.draw())
        self._back_off = asyncio.get_running_loop().call_later(delay, self._again)
        return True

    def _again(self) -> None:
        self._back_off = None
        carrier = self._carrier
        try:
            if carrier.over or carrier.plan is None:
                return
            if killed(carrier.flow):
                ending.cut(carrier, Refusal.KILLED)
                return
            planned = carrier.plane.director.again(carrier.plan, frozenset(self.tries.endpoints))
            self.tries.next()
            self._sent = False
            carrier.facts.attempts = self.tries.count
            if isinstance(planned, Refused):
                carrier.run(replying.refuse(carrier, planned))
            else:
                self._note(planned)
                carrier.ask(planned)
        except Exception:
            ending.bug(carrier)

    def _note(self, plan: Plan) -> None:
        carrier = self._carrier
        facts = carrier.facts
        facts.endpoint = str(plan.address)
        facts.pool = plan.pool
        facts.target_model = plan.target_model or ""
        carrier.flow.metadata["mirrorgate.endpoint"] = facts.endpoint
        carrier.flow.metadata["mirrorgate.attempts"] = facts.attempts
        carrier.plane.picked(plan, facts.id, time.time())

    def _settle_if_leaving(self) -> None:
        if self._carrier.plane.draining:
            self.tries.settle()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def hurry(carrier: Carrier) -> None:
    """Let an exchange wait for no person and for no pause between tries: the gateway is about to stop."""
    carrier.hooks.let_go()
    if carrier.retrying is not None:
        carrier.retrying.hurry()
