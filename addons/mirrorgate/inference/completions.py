"""What a model answered, in one shape for every API, streamed or not."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from .apis import Api

__all__ = ["ApiError", "Broken", "Choice", "Completion", "Shape", "Timing", "Token", "ToolCall", "Usage"]


class Shape(enum.StrEnum):
    """What the body turned out to be."""

    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    ERROR = "error"
    JSON = "json"
    BYTES = "bytes"
    EMPTY = "empty"


class Broken(enum.StrEnum):
    """Why an answer is not whole. The first reason that applies, in this order."""

    NO = ""
    CUT = "cut"
    """The connection ended or timed out before the answer did."""
    TRUNCATED = "truncated"
    """The answer was larger than what is kept of it."""
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    """A content encoding that is not read (such as br); the bytes are compared as they are."""
    BAD_ENCODING = "bad_encoding"
    """The body is not what its content encoding says, or grows beyond the bound."""
    MALFORMED = "malformed"
    """Not the JSON that it says it is, or an event of a stream is not."""
    ERROR_EVENT = "error_event"
    """An error inside a stream that began with 200."""
    ABORTED = "aborted"
    """`finish_reason: abort`: the server gave up, as vLLM does on SIGTERM, in an otherwise clean stream."""
    NO_DONE_MARKER = "no_done_marker"
    """The stream stopped without `[DONE]`, `message_stop` or `response.completed`."""
    NO_CHOICES = "no_choices"
    """A completion without a single choice, or embeddings without a vector."""
    NO_FINISH_REASON = "no_finish_reason"


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it, assembled from its fragments; may be malformed."""


@dataclass(frozen=True, slots=True)
class Token:
    """A sampled token with its natural log probability, and those of its best alternatives."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    index: int
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    """In the words of chat completions: `stop`, `length`, `tool_calls`, `content_filter`, `refusal`, `abort` ..."""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts in tokens; `None` where the server did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error that the server reported, in whichever of the usual shapes."""

    message: str
    type: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the pieces came, in seconds since the request was sent."""

    ttft: float | None = None
    """Until the first piece with content (text, reasoning, refusal or a tool call); `None` if not streamed."""
    itl: tuple[float, ...] = ()
    """Gaps between consecutive pieces with content of the same choice."""
    itl_mean: float | None = None
    itl_p95: float | None = None
    e2e: float | None = None
    """Until the last piece of the body; `None` when no piece came."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer."""

    status: int
    """0 when no head arrived."""
    shape: Shape
    api: Api | None = None
    streamed: bool = False
    """Whether the body was an event stream."""
    model: str | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    errors: tuple[ApiError, ...] = ()
    """The body's error, or the error events inside a 200."""
    done: bool = False
    """Whether a stream's own end marker was seen; true for a whole body that is not a stream."""
    broken: Broken = Broken.NO
    timing: Timing = Timing()
    embeddings: tuple[tuple[float, ...], ...] = ()
    value: Any = None
    """The JSON value of a body that is no stream; of shape JSON, ERROR, and of completions too."""
    content: bytes = b""
    """The decoded bytes of a body that is neither JSON nor an event stream."""
    events: int = 0
    """Events of the stream, its end marker included."""
    outcome: str = "complete"
    """How the exchange ended, in the words of `records`: `complete`, `cut`, `client_left`, `timeout` ..."""

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: nothing of it is broken or missing."""
        return self.broken is Broken.NO

    @property
    def ok(self) -> bool:
        """Whether the answer is a success that a client can use."""
        return 200 <= self.status < 400 and self.complete and self.shape is not Shape.ERROR

    @property
    def text(self) -> str:
        """The first choice's text, empty when there is none."""
        return self.choices[0].text if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None
