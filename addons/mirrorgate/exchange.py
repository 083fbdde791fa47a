"""One exchange: its states, and what is known of it.

The states are a table; a transition that is not in it is a bug and raises.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from .errors import REPLIES, LocalReply, Refusal, after_retries
from .events import ExchangeDone

__all__ = ["TRANSITIONS", "Exchange", "State"]


class State(enum.Enum):
    """Where an exchange is on its way."""

    RECEIVED = "received"
    """The head is read; the route is being found and addons look at the head."""
    READING = "reading"
    """The body is being read, and addons look at the request."""
    ADMITTING = "admitting"
    """An endpoint is picked; the request waits for a connection, or for its next try."""
    FORWARDING = "forwarding"
    """The request goes to the upstream; no answer yet."""
    RESPONDING = "responding"
    """The answer's head has arrived."""
    TUNNEL = "tunnel"
    """The upstream switched protocols; bytes are passed on both ways."""
    DONE = "done"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.READING, State.ADMITTING, State.DONE}),
    State.READING: frozenset({State.ADMITTING, State.DONE}),
    State.ADMITTING: frozenset({State.FORWARDING, State.DONE}),
    State.FORWARDING: frozenset({State.RESPONDING, State.ADMITTING, State.DONE}),
    State.RESPONDING: frozenset({State.TUNNEL, State.DONE}),
    State.TUNNEL: frozenset({State.DONE}),
    State.DONE: frozenset(),
}
"""A streamed upload skips READING: it is admitted on its head. One that is sent again goes back to ADMITTING."""

_ALLOWED = {before.value: frozenset(after.value for after in onward) for before, onward in TRANSITIONS.items()}
"""The same by value: a member's hash is made in Python, a string's is kept."""


class Exchange(msgspec.Struct):
    """What is known of one request of a client; ends as one `ExchangeDone`.

    Instants are seconds of the monotonic clock, so that a step of the wall clock changes no duration.
    """

    id: str
    started: float
    """Unix time of its first byte, for people and records to read; nothing is reckoned from it."""
    began: float
    """The same instant on the monotonic clock, from which every duration counts."""
    method: str = ""
    path: str = ""
    authority: str = ""
    protocol: str = ""
    listener: str = ""
    route: str = ""
    rule: int = 0
    cluster: str = ""
    pool: str = ""
    endpoint: str = ""
    model: str = ""
    target_model: str = ""
    request_id: str = ""
    user_agent: str = ""
    forwarded_for: str = ""
    client: str = ""
    bytes_received: int = 0
    bytes_sent: int = 0
    status: int = 0
    attempts: int = 0
    """How often the request was sent, or was about to be, 0 when it never came to that."""
    retry_flag: str = ""
    """Envoy's response flag of why it was not sent again: `URX`, `UO`, or empty."""
    refusal: Refusal | None = None
    reply: LocalReply | None = None
    """The local reply, or the row whose flag and details describe how an answer was cut."""
    details: str = ""
    delayed: bool = False
    """Whether the configuration had it wait (Envoy's flag `DI`)."""
    head_at: float | None = None
    queued: float = 0.0
    overhead: float | None = None
    """The gateway's own time until its first byte upstream, without `queued`; `None` before that."""
    streamed: bool = False
    first_piece_at: float | None = None
    last_piece_at: float | None = None
    pieces: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    mirrored: int = 0
    state: State = State.RECEIVED

    def unix(self, at: float) -> float:
        """Return the Unix time of an instant, by the wall clock as it was at the start."""
        return self.started + (at - self.began)

    def to(self, state: State) -> None:
        """Go on to a state; raises `ValueError` where the table has no such transition."""
        if state._value_ not in _ALLOWED[self.state._value_]:
            raise ValueError(f"an exchange cannot go from {self.state.value} to {state.value}")
        self.state = state

    def refuse(self, refusal: Refusal) -> LocalReply:
        """Note why the gateway answers, or cuts the answer, by itself; the first reason stays."""
        if self.refusal is None:
            self.refusal = refusal
            self.reply = REPLIES[refusal]
        return after_retries(REPLIES[refusal]) if self.attempts > 1 else REPLIES[refusal]

    @property
    def flag(self) -> str:
        """Envoy's response flags, joined by commas, `-` for none."""
        own = self.reply.flag if self.reply else ""
        if not self.delayed and not self.retry_flag:
            return own or "-"  # nearly always
        flags = ("DI" if self.delayed else "", self.retry_flag, own)
        return ",".join(flag for flag in flags if flag and flag != "-") or "-"

    def finish(self, now: float) -> ExchangeDone:
        """End the exchange and tell of it; raises `ValueError` the second time. `now` is monotonic."""
        self.to(State.DONE)
        began, ttft, itl = self.began, None, None
        if self.streamed and self.first_piece_at is not None:
            ttft = self.first_piece_at - began
            gaps = self.pieces - 1
            if gaps > 0 and self.last_piece_at is not None:
                itl = (self.last_piece_at - self.first_piece_at) / gaps
        reply = self.reply
        told: tuple[Any, ...] = (
            *_OPENING(self),
            self.flag,
            self.details or (reply.details if reply else "via_upstream"),
            self.refusal.value if self.refusal else "",
            *_SIZES(self),
            now - began,
            None if self.head_at is None else self.head_at - began,
            *_PLACES(self),
            ttft,
            itl,
            *_TALLIES(self),
        )
        return ExchangeDone(*told)


def _kept(first: str, last: str) -> Callable[[Exchange], tuple[Any, ...]]:
    """Make what copies a run of `ExchangeDone`'s fields, which an exchange has under the same names, in one call."""
    names = ExchangeDone.__struct_fields__
    return attrgetter(*names[names.index(first) : names.index(last) + 1])


_OPENING = _kept("id", "status")
_SIZES = _kept("bytes_received", "bytes_sent")
_PLACES = _kept("queued", "streamed")
_TALLIES = _kept("prompt_tokens", "attempts")
