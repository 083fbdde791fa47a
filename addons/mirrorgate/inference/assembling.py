"""Assemble a `Completion` from the pieces of an answer's body and the times at which they came."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from . import chat_chunks, chat_shape, messages_shape, responses_shape
from .apis import Api
from .completions import Broken, Completion, Shape, Timing
from .drafts import Draft
from .embeddings_shape import read_vectors
from .inflating import inflate
from .lenient_json import JsonError, decoded
from .reported import read_error, read_usage
from .sse import Event, EventDecoder

__all__ = ["assemble", "percentile"]

_ReadEvent = Callable[[Draft, Event, Any], tuple[int, ...]]

_EVENT_READERS: dict[Api, _ReadEvent] = {
    Api.CHAT: chat_shape.read_event,
    Api.COMPLETIONS: chat_shape.read_event,
    Api.RESPONSES: responses_shape.read_event,
    Api.MESSAGES: messages_shape.read_event,
}
_CHUNK_READERS: dict[Api, Callable[[Draft, str], tuple[int, ...] | None]] = {
    Api.CHAT: chat_chunks.read_chunk,
    Api.COMPLETIONS: chat_chunks.read_chunk,
}
"""What reads the common events of a stream at once; those that it declines go to `_EVENT_READERS`."""
_WHOLE_READERS: dict[Api, Callable[[Draft, Any], None]] = {
    Api.CHAT: chat_shape.read_whole,
    Api.COMPLETIONS: chat_shape.read_whole,
    Api.RESPONSES: responses_shape.read_whole,
    Api.MESSAGES: messages_shape.read_whole,
}
_MOST_BYTES = 64 << 20


def assemble(
    api: Api | None,
    status: int,
    content_type: str | None,
    content_encoding: str | None,
    chunks: Sequence[bytes],
    times: Sequence[float],
    started: float,
    *,
    outcome: str = "complete",
    truncated: bool = False,
    max_bytes: int = _MOST_BYTES,
) -> Completion:
    """Assemble an answer, streamed or not, of any API shape; what is none of them becomes JSON or bytes.

    `times` are the arrival times of `chunks` on the clock of `started`, the moment at which the request was sent;
    fewer times than chunks are filled up with the last one. `outcome` says how the exchange ended (the words of
    `records`); any other than `complete` makes the answer broken. `truncated` says that `chunks` is only a
    beginning. At most `max_bytes` of decoded body are looked at. Never raises.
    """
    pieces, trouble = inflate(chunks, content_encoding or "", max_bytes)
    if outcome != "complete":
        trouble = Broken.CUT
    elif truncated:
        trouble = Broken.TRUNCATED
    last = times[min(len(chunks), len(times)) - 1] if times and chunks else None
    e2e = None if last is None else last - started
    media = (content_type or "").partition(";")[0].strip().lower()
    if media == "text/event-stream":
        found = _streamed(api, status, pieces, times, started)
    else:
        found = _whole(api, status, media, b"".join(pieces))
    return dataclasses.replace(
        found,
        api=api,
        outcome=outcome,
        broken=trouble or found.broken,
        timing=dataclasses.replace(found.timing, e2e=e2e),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile (`share` from 0 to 1), `None` of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _whole(api: Api | None, status: int, media: str, body: bytes) -> Completion:
    """Read a body that is not an event stream."""
    if not body:
        missing = api is not None and 200 <= status < 300
        return Completion(status, Shape.EMPTY, done=True, broken=Broken.NO_CHOICES if missing else Broken.NO)
    try:
        value = decoded(body)
    except JsonError:
        says_json = media.endswith("json") or (api is not None and 200 <= status < 300)
        return Completion(
            status, Shape.BYTES, done=True, content=body, broken=Broken.MALFORMED if says_json else Broken.NO
        )
    error = read_error(value)
    if error is not None and (status >= 400 or api is not None):
        return Completion(status, Shape.ERROR, done=True, errors=(error,), value=value)
    if status >= 400:
        return Completion(status, Shape.ERROR, done=True, value=value)
    if api is Api.EMBEDDINGS:
        return _embedded(status, value)
    if api is None:
        return Completion(status, Shape.JSON, done=True, value=value)
    draft = Draft()
    _WHOLE_READERS[api](draft, value)
    broken = _missing(draft, True)
    if broken is Broken.NO_CHOICES and not isinstance(value, dict):
        broken = Broken.MALFORMED
    return Completion(
        status,
        Shape.COMPLETION,
        model=draft.model,
        choices=draft.finished(),
        usage=draft.usage,
        errors=tuple(draft.errors),
        done=True,
        broken=broken,
        value=value,
    )


def _embedded(status: int, value: Any) -> Completion:
    vectors = read_vectors(value)
    body = value if isinstance(value, dict) else {}
    model = body.get("model")
    return Completion(
        status,
        Shape.EMBEDDINGS,
        model=model if isinstance(model, str) else None,
        usage=read_usage(body.get("usage")),
        done=True,
        broken=Broken.NO if vectors and all(vectors) else Broken.NO_CHOICES,
        value=value,
        embeddings=vectors,
    )


def _streamed(
    api: Api | None, status: int, pieces: Sequence[bytes], times: Sequence[float], started: float
) -> Completion:
    """Read an event stream."""
    if api is None or api is Api.EMBEDDINGS:
        # Unknown events mean nothing to us: such a stream is compared as text, without its times.
        return Completion(status, Shape.BYTES, streamed=True, done=True, content=b"".join(pieces))
    read, read_chunk = _EVENT_READERS[api], _CHUNK_READERS.get(api)
    draft = Draft()
    decoder = EventDecoder()
    moments: defaultdict[int, list[float]] = defaultdict(list)
    count = 0
    at = started
    for position, piece in enumerate(pieces):
        at = times[position] if position < len(times) else at
        for event in decoder.feed(piece):
            count += 1
            indexes = None if read_chunk is None else read_chunk(draft, event.data)
            for index in _read(read, draft, event) if indexes is None else indexes:
                moments[index].append(at - started)
    cut_off = decoder.close()
    if cut_off is not None and cut_off.data.strip() == "[DONE]":
        count += 1
        draft.done = True
    draft.malformed += decoder.oversized
    return Completion(
        status,
        Shape.ERROR if status >= 400 else Shape.COMPLETION,
        streamed=True,
        model=draft.model,
        choices=draft.finished(),
        usage=draft.usage,
        errors=tuple(draft.errors),
        done=draft.done,
        broken=_missing(draft, draft.done),
        timing=_timing(moments),
        events=count,
    )


def _read(read: _ReadEvent, draft: Draft, event: Event) -> tuple[int, ...]:
    if event.data == "[DONE]" or event.data.strip() == "[DONE]":
        draft.done = True
        return ()
    try:
        value = decoded(event.data)
    except JsonError:
        draft.malformed += 1
        return ()
    if not isinstance(value, dict):
        draft.malformed += 1
        return ()
    return read(draft, event, value)


def _missing(draft: Draft, done: bool) -> Broken:
    """Say what is wrong with an answer: what is in it first, then what is missing."""
    choices = draft.choices.values()
    if draft.malformed:
        return Broken.MALFORMED
    if draft.errors:
        return Broken.ERROR_EVENT
    if any(choice.finish_reason == "abort" for choice in choices):
        return Broken.ABORTED
    if not done:
        return Broken.NO_DONE_MARKER
    if not choices:
        return Broken.NO_CHOICES
    if any(choice.finish_reason is None for choice in choices):
        return Broken.NO_FINISH_REASON
    return Broken.NO


def _timing(moments: dict[int, list[float]]) -> Timing:
    """Measure TTFT and ITL; of several choices the gaps are taken within each."""
    if not moments:
        return Timing()
    gaps = tuple(later - earlier for each in moments.values() for earlier, later in pairwise(each))
    return Timing(
        ttft=min(each[0] for each in moments.values()),
        itl=gaps,
        itl_mean=math.fsum(gaps) / len(gaps) if gaps else None,
        itl_p95=percentile(gaps, 0.95),
    )
