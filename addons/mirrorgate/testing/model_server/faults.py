"""What can go wrong on cue: each failure that was seen on a real server, and those that only a hostile one shows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .malformed import MALFORMED

__all__ = ["Fault", "FaultError", "FaultKind"]


class FaultKind(enum.StrEnum):
    """The failures, in the order in which an exchange meets them."""

    REFUSE = "refuse"
    """The listening socket is closed while this fault is set; connections that are open go on."""
    STALE_KEEP_ALIVE = "stale_keep_alive"
    """A second request on a connection gets no answer but the connection's end: the race of keep-alive."""
    RESET_BEFORE_HEADERS = "reset_before_headers"
    NO_READ = "no_read"
    """The body is not read and nothing is answered, until `FakeModelServer.release`; that the client leaves is not
    noticed while more of a body waits."""
    EARLY_RESPONSE = "early_response"
    """`status` is answered before the body is read, and the rest of the body is still taken."""
    HANG_BEFORE_HEADERS = "hang_before_headers"
    """The request is read and nothing is answered, until `FakeModelServer.release`."""
    ERROR_STATUS = "error_status"
    """`status` with the body that vLLM gives."""
    GARBAGE = "garbage"
    """Bytes that are not HTTP."""
    MALFORMED = "malformed"
    """An answer with a fault of framing, chosen by `variant` (`malformed.MALFORMED`)."""
    FLOOD = "flood"
    """A body that never ends, as fast as it is taken."""
    SLOW = "slow"
    """`seconds` more before the first token."""
    TRICKLE = "trickle"
    """The answer byte by byte, `seconds` apart."""
    RESET_AT_BYTE = "reset_at_byte"
    """A reset after `after` bytes of the answer, head included."""
    HANG_MID_STREAM = "hang_mid_stream"
    """Nothing more after `after` events (or half of a body), until `FakeModelServer.release`."""
    RESET_MID_STREAM = "reset_mid_stream"
    CLOSE_MID_BODY = "close_mid_body"
    """The connection closes in good order after `after` events or half of a body, its framing unfinished."""
    ABORT_FINISH = "abort_finish"
    """What a vLLM that is told to stop does: `finish_reason: abort` after `after` tokens, in a 200."""
    ERROR_EVENT = "error_event"
    """What a vLLM whose engine died does: an error event and `[DONE]` in a 200, after `after` events."""
    NO_DONE = "no_done"
    """The stream ends, in good framing, without `[DONE]`."""
    CLOSE_AFTER_RESPONSE = "close_after_response"
    """The connection closes after a whole answer that did not say so."""


class FaultError(ValueError):
    """A fault that was asked for in words that it does not have."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure, and which requests meet it."""

    kind: FaultKind
    probability: float = 1.0
    """Drawn for each request from the server's seed."""
    times: int | None = None
    """Only the first so many requests that it would meet; `None` for all."""
    path: str = "/v1/"
    """Requests whose path begins with this."""
    after: int = 3
    """Events, tokens or bytes, as the kind says."""
    seconds: float = 0.05
    status: int = 500
    variant: str = "bad_chunk_size"

    def __post_init__(self) -> None:
        if self.variant not in MALFORMED:
            raise FaultError(f"no variant {self.variant!r}; there are {', '.join(MALFORMED)}")

    @classmethod
    def parse(cls, value: str | Mapping[str, Any] | Fault) -> Fault:
        """Read a fault from a header's `kind; after=3; seconds=0.1` or from JSON, a word or an object.

        Raises `FaultError` for a kind, a parameter or a value that it does not know.
        """
        if isinstance(value, Fault):
            return value
        if isinstance(value, str):
            kind, *parameters = (part.strip() for part in value.split(";"))
            pairs = [part.partition("=") for part in parameters if part]
            value = {"kind": kind} | {name.strip(): text.strip() for name, _, text in pairs}
        known = {field.name: field for field in fields(cls)}
        arguments: dict[str, Any] = {}
        for name, given in value.items():
            if name not in known:
                raise FaultError(f"a fault has no {name!r}; it has {', '.join(known)}")
            try:
                arguments[name] = _CASTS[name](given)
            except (TypeError, ValueError) as error:
                raise FaultError(f"{name}={given!r}: {error}") from error
        if "kind" not in arguments:
            raise FaultError("a fault needs a kind")
        return cls(**arguments)


_CASTS: dict[str, Callable[[Any], Any]] = {
    "kind": FaultKind,
    "probability": float,
    "times": lambda given: None if given is None else int(given),
    "path": str,
    "after": int,
    "seconds": float,
    "status": int,
    "variant": str,
}
