"""What a traffic policy asks of one exchange before it is admitted, and what it leaves on its answer.

The order is that of Envoy Gateway's filters. All of it comes before a permit is taken, and what is refused here is
never mirrored.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from ...admission.token_buckets import Meter, Standing
from ...errors import Refusal
from ...plans import Directed, Plan, Refused
from ...routing.faults import Faults
from ...routing.matching import Question
from ...routing.rate_limits import Charge, Limit, applying
from ...routing.table import HeaderChanges, Rule
from . import replying

if TYPE_CHECKING:
    from ...exchange import Exchange
    from ..messages.rendering import Fields
    from .carrier import Carrier

__all__ = ["Shaped", "buffer_of", "concerns", "passes"]

_BYTES_OF_A_TOKEN = 4
"""For answers that report no tokens, and for what was asked: English text has about four characters a token. Of an
event stream each event counts as one token, as servers send them."""

_Charged = tuple[Limit, Meter, tuple[str, ...]]


class Shaped:
    """What of one exchange is left to do, or to say, by its rule's traffic policy."""

    __slots__ = ("_charged", "_events", "_told", "asked", "overridden", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._charged: list[_Charged] = []
        """What the answer is charged to."""
        self._told: tuple[tuple[str, str], ...] = ()
        self._events = 0
        self.asked = False
        """Whether the limits have been taken from."""
        self.overridden = False
        """Whether the client gets another answer than the server's, so that there is none to compare."""

    @property
    def counts_tokens(self) -> bool:
        """Whether the answer's tokens have to be known."""
        return bool(self._charged)

    def limited(self, carrier: Carrier, directed: Directed) -> Refused | None:
        """Take from the limits that the request falls under; `None` when all let it pass."""
        self.asked = True
        shaping = self.rule.traffic.shaping
        if shaping is None or shaping.limits is None:
            return None
        request = carrier.flow.request
        method = request.data.method.decode("latin-1")
        question = Question(method, directed.path, request.headers.fields)
        now = time.monotonic()
        shown: dict[bool, tuple[Limit, Standing]] = {}
        for limit, key in applying(shaping.limits, question, carrier.client.peername[0]):
            meter = carrier.plane.meters.of(limit.meter)
            standing = meter.take(key, now, limit.cost)
            by_tokens = limit.charge is not Charge.NOTHING
            if not standing.allowed and not limit.shadow:
                self._charged.clear()
                self._told = (*(_fields(limit, standing) if limit.told else ()), ("retry-after", str(standing.reset)))
                return _refused(limit, standing)
            if by_tokens:
                self._charged.append((limit, meter, key))
            if limit.told:
                shown.setdefault(by_tokens, (limit, standing))
        self._told = tuple(field for entry in shown.values() for field in _fields(*entry))
        return None

    def onto(self, plan: Plan) -> Plan:
        """Return the plan with what the upstream's answer has to say of the limits."""
        if not self._told:
            return plan
        return msgspec.structs.replace(plan, response_changes=(*plan.response_changes, HeaderChanges(set=self._told)))

    def answer(self, pieces: list[bytes]) -> None:
        """See pieces of a streamed answer: its events are counted, in case it reports no tokens."""
        if self._charged:
            for piece in pieces:
                self._events += piece.count(b"\n\n")

    def finish(self, facts: Exchange) -> None:
        """Charge the tokens of an answer that is over, whole or cut."""
        if not self._charged or facts.head_at is None or self.overridden:
            return
        prompt, completion, estimated = facts.prompt_tokens, facts.completion_tokens, False
        if prompt is None and completion is None and not 200 <= facts.status < 300:
            return  # an error, which no model has worked on
        if prompt is None:
            prompt, estimated = facts.bytes_received // _BYTES_OF_A_TOKEN, True
        if completion is None:
            streamed = max(self._events, facts.pieces)
            completion, estimated = streamed if facts.streamed else facts.bytes_sent // _BYTES_OF_A_TOKEN, True
        now = time.monotonic()
        for limit, meter, key in self._charged:
            tokens = {Charge.INPUT: prompt, Charge.OUTPUT: completion}.get(limit.charge, prompt + completion)
            meter.charge(key, now, tokens, estimated=estimated)

    @property
    def fields(self) -> Fields:
        """What an answer of the gateway's own has to say of the limits."""
        return [(name.encode(), value.encode()) for name, value in self._told]


def concerns(carrier: Carrier, directed: Directed) -> bool:
    """Tell whether the rule's traffic policy has anything to ask; without one a request pays for this look only."""
    match = directed.match
    if match is not None and match.rule.traffic.shaping is not None:
        return True
    carrier.shaped = None
    return False


async def passes(carrier: Carrier, directed: Directed, *, whole: bool) -> bool:
    """Ask the rule's traffic policy, once for each rule that the request is sent to. Whether the exchange goes on.

    `whole` says that the body is read, or that nothing waits for it: what comes behind the buffer is asked then.
    """
    rule = directed.rule
    if rule is None or (shaping := rule.traffic.shaping) is None or carrier.flow.response is not None:
        return True  # an addon's answer takes nothing
    shaped = carrier.shaped
    if shaped is None or shaped.rule is not rule:
        shaped = carrier.shaped = Shaped(rule)
        if shaping.faults is not None and not await _unharmed(carrier, shaping.faults):
            return False
    if shaped.asked or (shaping.buffer is not None and not whole):
        return True
    refused = shaped.limited(carrier, directed)
    if refused is None:
        return True
    await replying.refuse(carrier, refused)
    return False


def buffer_of(directed: Directed) -> int | None:
    """Return how many bytes of a body are read before the request goes on, `None` when it need not be read."""
    shaping = None if directed.match is None else directed.match.rule.traffic.shaping
    return None if shaping is None else shaping.buffer


async def _unharmed(carrier: Carrier, faults: Faults) -> bool:
    """Let the request wait, and answer it, as the faults are drawn. Whether the exchange goes on."""
    delay, status = faults.draw(carrier.plane.rng)
    if delay:
        carrier.facts.delayed = True
        loop = asyncio.get_running_loop()
        until = loop.time() + delay
        timer = loop.call_at(until, carrier.wake)
        while not carrier.over and loop.time() < until:
            await carrier.wait()  # ends with the client, too
        timer.cancel()
        if carrier.over:
            return False
    if not status:
        return True
    await replying.refuse(carrier, Refused(Refusal.FAULT, status=status))
    return False


def _refused(limit: Limit, standing: Standing) -> Refused:
    if limit.charge is Charge.NOTHING:
        return Refused(Refusal.RATE_LIMITED)
    kind = {Charge.INPUT: "prompt tokens", Charge.OUTPUT: "completion tokens"}.get(limit.charge, "tokens")
    message = (
        f"Rate limit of {limit.meter[1]} {kind} in {limit.meter[2]:.0f} s reached; try again in {standing.reset} s."
    )
    return Refused(Refusal.TOKENS_SPENT, message, code="rate_limit_exceeded")


def _fields(limit: Limit, standing: Standing) -> list[tuple[str, str]]:
    """Return the header fields that tell of a limit: Envoy's for requests, those of the OpenAI API for tokens."""
    if limit.charge is Charge.NOTHING:
        names, unit = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), ""
    else:
        names, unit = ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"), "s"
    return list(zip(names, (str(standing.limit), str(standing.remaining), f"{standing.reset}{unit}"), strict=True))
