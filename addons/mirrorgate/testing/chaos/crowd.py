"""Clients, good and bad: each asks, sees what it gets, and says in one word how it ended."""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ..clients import Client, WireError
from .asks import Ask

__all__ = ["Ended", "Manner", "Told", "ask", "ask_each", "judged", "misbehave", "pipeline"]


class Ended(enum.StrEnum):
    """How an ask ended for its client."""

    WHOLE = "whole"
    """The one right answer, whole."""
    REFUSED = "refused"
    """An error, whole: the gateway's own or the server's."""
    CUT = "cut"
    """The connection ended visibly inside the answer or before it, and what came of it was right."""
    LEFT = "left"
    """The client itself did not wait."""
    WRONG = "wrong"
    """Anything else: what must never be."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client tells of one ask."""

    ask: Ask
    ended: Ended
    status: int = 0
    """0 where no head was seen."""
    detail: str = ""


class Manner(enum.StrEnum):
    """How a client misbehaves."""

    LEAVE_UNSAID = "leave_unsaid"
    """Connects, says nothing, and leaves; so do the next ones further on."""
    LEAVE_IN_HEAD = "leave_in_head"
    LEAVE_IN_BODY = "leave_in_body"
    LEAVE_AFTER = "leave_after"
    """With the whole request sent and nothing read."""
    LEAVE_IN_ANSWER = "leave_in_answer"
    HALF_CLOSE = "half_close"
    """Says that it will say no more, and waits: as with Envoy, that is taken for leaving."""
    SLOW = "slow"
    """Sends a few bytes at a time."""
    NOT_READING = "not_reading"
    """Takes nothing for a while, then reads on."""


async def ask(client: Client, question: Ask) -> Told:
    """Ask over an open connection and judge the answer."""
    try:
        await client.send(question.request())
    except (ConnectionError, TimeoutError) as error:
        return Told(question, Ended.CUT, detail=repr(error))
    return await judged(client, question)


async def ask_each(
    connect: Callable[[], Awaitable[Client]], questions: Sequence[Ask], at_once: int, *, resets: bool = False
) -> list[Told]:
    """Ask everything, each over a connection of its own, so many at once.

    With `resets` a connection may be reset before it is used, which cuts its ask; without, that raises
    ConnectionError.
    """
    room = asyncio.Semaphore(at_once)

    async def one(question: Ask) -> Told:
        async with room:
            try:
                async with await connect() as client:
                    return await ask(client, question)
            except ConnectionError as error:
                if not resets:
                    raise
                return Told(question, Ended.CUT, detail=repr(error))

    return await asyncio.gather(*(one(question) for question in questions))


async def judged(client: Client, question: Ask) -> Told:
    """Read an answer and hold it against the right one."""
    got, status = bytearray(), 0
    right = question.answer()
    try:
        head = await client.head()
        status = head.status
        if status != 200:
            left = int(head.header("content-length") or 0)
            while left > 0 and (piece := await client.read(left)):
                left -= len(piece)
            return Told(question, Ended.CUT if left else Ended.REFUSED, status)
        if (length := head.header("content-length")) is not None:
            while len(got) < int(length):
                if not (piece := await client.read(int(length) - len(got))):
                    raise WireError("the body is cut")
                got += piece
        else:
            # Piece by piece: what came of a chunk that is cut must be right as well.
            while (size := int(await client.reader.readuntil(b"\r\n"), 16)) > 0:
                end = len(got) + size
                while len(got) < end:
                    if not (piece := await client.read(end - len(got))):
                        raise WireError("a chunk is cut")
                    got += piece
                await client.reader.readexactly(2)
            await client.reader.readuntil(b"\r\n")
    except TimeoutError:
        return Told(question, Ended.WRONG, status, f"no end in {client.timeout:g} s after {len(got)} bytes")
    except (WireError, ConnectionError, asyncio.IncompleteReadError) as error:
        return Told(question, Ended.CUT if question.begins(bytes(got)) else Ended.WRONG, status, repr(error)[:200])
    if bytes(got) == right:
        return Told(question, Ended.WHOLE, status)
    return Told(question, Ended.WRONG, status, f"{bytes(got[:300])!r} of {len(got)} bytes, not {len(right)}")


async def pipeline(client: Client, questions: Sequence[Ask]) -> list[Told]:
    """Send several requests in one piece and read their answers in order; nothing comes after a cut."""
    told: list[Told] = []
    await client.send(b"".join(question.request() for question in questions))
    for question in questions:
        if told and told[-1].ended in (Ended.CUT, Ended.WRONG):
            told.append(Told(question, Ended.CUT, detail="behind a cut"))
        else:
            told.append(await judged(client, question))
    return told


async def misbehave(client: Client, question: Ask, manner: Manner, rng: random.Random) -> Told:
    """Ask in a bad manner. The connection is used up."""
    request = question.request()
    body_at = request.index(b"\r\n\r\n") + 4
    try:
        match manner:
            case Manner.LEAVE_UNSAID:
                pass
            case Manner.LEAVE_IN_HEAD:
                await client.send(request[: rng.randrange(1, body_at)])
            case Manner.LEAVE_IN_BODY:
                await client.send(request[: rng.randrange(body_at, len(request))])
            case Manner.LEAVE_AFTER:
                await client.send(request)
                await asyncio.sleep(rng.random() * 0.02)
            case Manner.LEAVE_IN_ANSWER:
                await client.send(request)
                await client.read(rng.randrange(1, 200))
            case Manner.HALF_CLOSE:
                await client.send(request)
                client.half_close()
                return await judged(client, question)
            case Manner.SLOW:
                step = max(1, len(request) // 20)
                await client.send(*(request[at : at + step] for at in range(0, len(request), step)), pause=0.01)
                return await judged(client, question)
            case Manner.NOT_READING:
                client.stop_reading()
                await client.send(request)
                await asyncio.sleep(0.3)
                client.resume_reading()
                return await judged(client, question)
    except ConnectionError:
        return Told(question, Ended.CUT, detail="while it sent")
    if rng.random() < 0.5:
        client.abort()
    return Told(question, Ended.LEFT)
