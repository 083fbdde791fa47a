"""Hands exchanges to the shadow process: what is copied, with which room, and what is told of it.

The whole cost to production is here: one frame handed to a socket that never blocks, and a list of the answer's pieces,
which are references and not copies. Nothing in this module waits or raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...credentials import without_credentials
from ...director import Director
from ...events import Event, MirrorDropped, MirrorDropReason, MirrorSent
from ...legs import LEG_HEADER, candidate_target, control_target, policy_bytes, subject_bytes
from ...plans import Plan
from ...records import ExchangeFinished, ExchangeStarted, FromShadow, Leg, LegFinished, ShadowDropped, Target
from ...resources.endpoints import Address
from ...resources.shadow_policy import ShadowPolicySpec
from ...routing.table import Mirror, Rule
from ...scheduling.in_flight import Permit
from ...shadow.channel import ShadowChannel
from ...shadow.handle import Handle

if TYPE_CHECKING:
    from ..downstream.shedding import Shedding
    from .carrier import Carrier

__all__ = ["MirrorHandle", "Mirroring", "outcome_of", "room_for"]

_ROOM_DEFAULT = 256 * 1024
_ROOM_LEAST = 64 * 1024
_ROOM_MOST = 1024 * 1024
_BYTES_A_TOKEN = 400
"""An event of a streamed answer that carries one token (vLLM's have 200 to 300 bytes, measured)."""


def room_for(max_tokens: int | None, choices: int = 1) -> int:
    """Return the bytes kept for an answer, from the request alone, so that what is dropped never depends on it."""
    if max_tokens is None:
        return _ROOM_DEFAULT
    return min(_ROOM_MOST, max(_ROOM_LEAST, max_tokens * choices * _BYTES_A_TOKEN))


class MirrorHandle:
    """One mirrored exchange: its upload goes on, its answer is kept until the end."""

    __slots__ = ("_began", "_chunks", "_handle", "_left", "_times", "_truncated", "_upstream_started")

    def __init__(self, handle: Handle, began: float, room: int) -> None:
        """`began` is the exchange's start on the monotonic clock."""
        self._handle = handle
        self._chunks: list[bytes] = []
        self._times: list[float] = []
        self._left = room
        self._truncated = False
        self._upstream_started = time.monotonic() - began
        self._began = began

    def chunk(self, data: bytes) -> None:
        self._handle.chunk(data)

    def end(self) -> None:
        self._handle.end()

    def answer(self, pieces: list[bytes]) -> None:
        """Keep pieces of the answer, with the time of their arrival, while there is room."""
        if self._truncated:
            return
        at = time.monotonic() - self._began
        for piece in pieces:
            self._left -= len(piece)
            if self._left < 0:
                self._truncated = True
                return
            self._chunks.append(piece)
            self._times.append(at)

    def finish(self, carrier: Carrier) -> None:
        """Hand the primary's answer over."""
        facts = carrier.facts
        if not carrier.sent_up:
            self._handle.abort(facts.refusal.value if facts.refusal else "upload_unfinished")
            return
        if carrier.shaped is not None and carrier.shaped.overridden:
            self._handle.abort("response_override")
            return
        response = carrier.flow.response
        head_at = facts.head_at
        fields = response.headers.fields if response is not None and head_at is not None else ()
        trailers = response.trailers.fields if response is not None and response.trailers else ()
        self._handle.finish(
            ExchangeFinished(
                id=facts.id,
                outcome=outcome_of(carrier),
                status=facts.status,
                flag=facts.reply.flag if facts.reply else "-",
                headers=without_credentials(list(fields)),
                chunks=self._chunks,
                times=self._times,
                truncated=self._truncated,
                upstream_started=self._upstream_started,
                head_at=0.0 if head_at is None else head_at - facts.began,
                finished=time.monotonic() - facts.began,
                trailers=list(trailers),
            )
        )


def outcome_of(carrier: Carrier) -> str:
    """Name how a primary ended, in the words of `records.ExchangeFinished.outcome`."""
    facts = carrier.facts
    if facts.refusal is None:
        return "complete"
    if facts.refusal.value == "client_left":
        return "client_left"
    return "cut" if facts.head_at is not None and carrier.answer.head_sent else "local_reply"


class Mirroring:
    """Mirrors exchanges through the channel, and keeps count of the legs under way."""

    def __init__(self, channel: ShadowChannel, director: Director, emit: Callable[[Event], None]) -> None:
        self._channel = channel
        self._director = director
        self._emit = emit
        self._permits: dict[tuple[str, str, str], Permit] = {}
        self._policies: dict[str, tuple[ShadowPolicySpec, bytes]] = {}
        self._subjects: dict[str, tuple[Rule, bytes]] = {}
        self.paused = False
        self.shedding: Shedding | None = None

    def begin(
        self, carrier: Carrier, plan: Plan, sent: list[tuple[bytes, bytes]], body: bytes | None
    ) -> MirrorHandle | None:
        """Hand an exchange off that was just admitted; `sent` are the fields the primary gets, `body` is `None` when
        it streams."""
        exchange = carrier.facts.id
        for mirror in plan.sampled_out:
            self._drop(exchange, mirror, MirrorDropReason.SAMPLED_OUT)
        if not plan.mirrors:
            return None
        reason = self._reason_not_to(carrier)
        if reason is not None:
            for planned in plan.mirrors:
                self._drop(exchange, planned.mirror, reason)
            return None
        targets: list[Target] = []
        mirrors: list[Mirror] = []
        for planned in plan.mirrors:
            if planned.address is None:
                self._drop(exchange, planned.mirror, MirrorDropReason.NO_ENDPOINTS)
                continue
            policy, subject = self._policy(planned.mirror), self._subject(plan.rule, planned.mirror)
            targets.append(candidate_target(planned, planned.address, plan, sent, policy, subject))
            mirrors.append(planned.mirror)
        if not targets:
            return None
        if plan.control is not None:
            targets.append(control_target(plan.control, plan, mirrors[0], sent, self._policy(mirrors[0])))
        inference = plan.inference
        room = _ROOM_DEFAULT if inference is None else room_for(inference.max_tokens, inference.n)
        handle = self._channel.open(self._started(carrier, plan, sent, body, targets, room))
        if not isinstance(handle, Handle):
            for mirror in mirrors:
                self._drop(exchange, mirror, handle)
            return None
        for target in targets:
            key = (exchange, target.leg.value, target.cluster)
            self._permits[key] = self._director.in_flight_permit_at(target.host, target.port)
            if target.leg is Leg.CANDIDATE:
                self._emit(MirrorSent(exchange, target.cluster, str(Address(target.host, target.port))))
        carrier.facts.mirrored = len(mirrors)
        return MirrorHandle(handle, carrier.facts.began, room)

    def rejected(self, exchange: str, plan: Plan) -> None:
        """Tell of the mirrors that a refused request would have had."""
        for planned in plan.mirrors:
            self._drop(exchange, planned.mirror, MirrorDropReason.REJECTED)

    def received(self, message: FromShadow) -> None:
        """Take a result of the shadow process: a leg that ended is no longer in flight."""
        if isinstance(message, LegFinished) or (isinstance(message, ShadowDropped) and not message.sent):
            permit = self._permits.pop((message.id, message.leg, message.cluster), None)
            if permit is not None:
                permit.release()

    def forget(self) -> None:
        """Forget all legs: the shadow process is gone, and they with it."""
        permits, self._permits = self._permits, {}
        for permit in permits.values():
            permit.release()

    @property
    def under_way(self) -> int:
        """Legs that have not ended."""
        return len(self._permits)

    def _reason_not_to(self, carrier: Carrier) -> MirrorDropReason | None:
        if self.paused:
            return MirrorDropReason.PAUSED
        if self.shedding is not None and self.shedding.mirrors:
            return MirrorDropReason.OVERLOAD
        if carrier.flow.is_replay is not None:
            return MirrorDropReason.REPLAY
        if any(name.lower() == LEG_HEADER for name, _ in carrier.flow.request.headers.fields):
            return MirrorDropReason.ALREADY_SHADOW
        return None

    def _started(
        self,
        carrier: Carrier,
        plan: Plan,
        sent: list[tuple[bytes, bytes]],
        body: bytes | None,
        targets: list[Target],
        room: int,
    ) -> ExchangeStarted:
        facts = carrier.facts
        return ExchangeStarted(
            id=facts.id,
            started=facts.started,
            method=carrier.flow.request.data.method.decode("ascii", "surrogateescape"),
            path=plan.path.decode("latin-1"),
            host=facts.authority,
            route=facts.route,
            rule=facts.rule,
            cluster=plan.cluster,
            endpoint=facts.endpoint,
            model=plan.model,
            target_model=plan.target_model,
            conversation="",
            headers=without_credentials(sent),
            body=body,
            targets=targets,
            reserved=room,
        )

    def _policy(self, mirror: Mirror) -> bytes:
        known = self._policies.get(mirror.cluster)
        if known is None or known[0] is not mirror.policy:
            known = self._policies[mirror.cluster] = (mirror.policy, policy_bytes(mirror.policy))
        return known[1]

    def _subject(self, rule: Rule | None, mirror: Mirror) -> bytes:
        if rule is None:
            return b""
        known = self._subjects.get(mirror.cluster)
        if known is None or known[0] is not rule:
            known = self._subjects[mirror.cluster] = (rule, subject_bytes(rule, mirror))
        return known[1]

    def _drop(self, exchange: str, mirror: Mirror, reason: MirrorDropReason) -> None:
        self._emit(MirrorDropped(exchange, mirror.cluster, reason))
