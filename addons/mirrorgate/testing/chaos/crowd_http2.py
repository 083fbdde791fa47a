"""Clients that speak HTTP/2, good and bad: many asks on a connection, each with an end of its own."""

from __future__ import annotations

import asyncio
import enum
import random

from h2.exceptions import H2Error

from ..gateways import CHAT
from ..http2_client import Http2Client, Http2Stream
from .asks import Ask
from .crowd import Ended, Told

__all__ = ["Leaving", "ask_http2", "leave"]


class Leaving(enum.StrEnum):
    """When a client gives its request up."""

    AT_ONCE = "at_once"
    """With the head sent."""
    IN_BODY = "in_body"
    UNANSWERED = "unanswered"
    """With the whole request sent, and nothing read."""
    IN_ANSWER = "in_answer"


async def ask_http2(client: Http2Client, question: Ask) -> Told:
    """Ask over an open connection and judge the answer."""
    stream: Http2Stream | None = None
    try:
        stream = _begin(client, question)
        await client.upload(stream, question.body())
        await client.until_over(stream)
    except TimeoutError:
        return Told(question, Ended.WRONG, stream.status if stream else 0, f"no end in {client.timeout:g} s")
    except (ConnectionError, H2Error) as error:
        # An answer may be whole before its request is, and then it counts.
        if stream is None or not stream.over:
            return _cut(question, stream, repr(error)[:200])
    if not stream.ended:  # behind a whole answer, a reset says that the rest of the request is not wanted
        return _cut(question, stream, f"reset {stream.reset}")
    if stream.status != 200:
        return Told(question, Ended.REFUSED, stream.status)
    whole = stream.body == question.answer()
    return Told(question, Ended.WHOLE if whole else Ended.WRONG, 200, "" if whole else f"{stream.body[:300]!r}")


async def leave(client: Http2Client, question: Ask, when: Leaving, rng: random.Random) -> Told:
    """Ask, and reset the stream; the connection goes on with others."""
    stream = _begin(client, question)
    body = question.body()
    if when is Leaving.IN_BODY:
        await client.upload(stream, body[: rng.randrange(1, len(body))], ended=False)
    elif when is not Leaving.AT_ONCE:
        await client.upload(stream, body)
    if when is Leaving.IN_ANSWER:
        await client.until(lambda: stream.pieces or stream.over)
    elif when is Leaving.UNANSWERED:
        await asyncio.sleep(rng.random() * 0.02)
    if not stream.over:
        client.give_up(stream)
    return Told(question, Ended.LEFT)


def _begin(client: Http2Client, question: Ask) -> Http2Stream:
    fields = [*question.fields(), ("content-type", "application/json")]
    return client.begin("POST", CHAT, authority=question.host, headers=fields, ended=False)


def _cut(question: Ask, stream: Http2Stream | None, detail: str) -> Told:
    status, got = (stream.status, stream.body) if stream is not None else (0, b"")
    right = status != 200 or question.begins(got)
    return Told(question, Ended.CUT if right else Ended.WRONG, status, detail)
