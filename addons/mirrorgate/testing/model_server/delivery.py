"""Sending an answer: at the engine's pace, and with the faults that its request met."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from . import api_errors, malformed
from .api_errors import ApiError
from .asks import Ask
from .engine import Engine, Sequence
from .events import Event, data_event, done_event, dumps
from .exchange import Exchange
from .faults import Fault, FaultKind
from .gate import Gate
from .generation import Answer

__all__ = ["EVENT_STREAM", "JSON", "Delivery"]

JSON = (("content-type", "application/json"),)
EVENT_STREAM = (("content-type", "text/event-stream; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one request is answered."""

    exchange: Exchange
    engine: Engine
    gate: Gate
    """What hangs, hangs here."""
    faults: Collection[Fault] = ()

    def fault(self, kind: FaultKind) -> Fault | None:
        """Return the fault of this kind, `None` when the request does not meet it."""
        return next((fault for fault in self.faults if fault.kind is kind), None)

    async def before_body(self) -> bool:
        """Act the faults that come before a request is understood; tell whether one was the answer."""
        exchange = self.exchange
        stale = exchange.reused and self.fault(FaultKind.STALE_KEEP_ALIVE)
        if stale or self.fault(FaultKind.RESET_BEFORE_HEADERS) or self.fault(FaultKind.REFUSE):
            exchange.reset()
        elif self.fault(FaultKind.NO_READ):
            await self.gate.wait()
            exchange.close()
        elif fault := self.fault(FaultKind.EARLY_RESPONSE):
            await self.error(api_errors.internal(fault.status))
        elif self.fault(FaultKind.GARBAGE):
            await exchange.raw(malformed.GARBAGE)
            exchange.close()
        elif fault := self.fault(FaultKind.MALFORMED):
            await exchange.body()
            await exchange.raw(malformed.MALFORMED[fault.variant])
            exchange.close()
        else:
            return await self._after_body()
        return True

    async def _after_body(self) -> bool:
        exchange = self.exchange
        if self.fault(FaultKind.HANG_BEFORE_HEADERS):
            await exchange.body()
            await self.gate.wait()
        if fault := self.fault(FaultKind.ERROR_STATUS):
            await exchange.body()
            await self.error(api_errors.internal(fault.status))
            return True
        if self.fault(FaultKind.FLOOD):
            await exchange.body()
            await exchange.start(200, EVENT_STREAM, chunked=True)
            while True:
                await exchange.send(b": flood\n" * 8192)
        if fault := self.fault(FaultKind.TRICKLE):
            exchange.trickle = fault.seconds
        if fault := self.fault(FaultKind.RESET_AT_BYTE):
            exchange.cut_at = fault.after
        return False

    def altered(self, answers: list[Answer]) -> list[Answer]:
        """Return the answers as a server gives them that is told to stop meanwhile."""
        fault = self.fault(FaultKind.ABORT_FINISH)
        if fault is None:
            return answers
        return [replace(each, tokens=each.tokens[: fault.after], finish_reason="abort") for each in answers]

    async def error(self, error: ApiError) -> None:
        """Answer with an error."""
        await self.exchange.respond(error.status, dumps(error.body), JSON)

    async def whole(self, ask: Ask, answers: list[Answer], body: bytes) -> None:
        """Answer with one body, when the last token is made."""
        with self.engine.place(ask) as sequence:
            await sequence.admitted
            due = self._first_due(sequence)
            for _ in range(sum(answer.completion_tokens for answer in answers)):
                await _sleep_until(due)
                self.engine.generated(sequence)
                due += self.engine.token_interval()
            self.engine.finish(sequence, _reason(answers))
        await self._send_body(body)

    async def _send_body(self, body: bytes) -> None:
        exchange, half = self.exchange, len(body) // 2
        kinds = (FaultKind.HANG_MID_STREAM, FaultKind.RESET_MID_STREAM, FaultKind.CLOSE_MID_BODY)
        if not any(self.fault(kind) for kind in kinds):
            await exchange.respond(200, body, JSON)
            return
        await exchange.start(200, [("content-length", str(len(body))), *JSON], chunked=False)
        await exchange.raw(body[:half])
        if self.fault(FaultKind.HANG_MID_STREAM):
            await self.gate.wait()
        if self.fault(FaultKind.RESET_MID_STREAM):
            exchange.reset()
        elif self.fault(FaultKind.CLOSE_MID_BODY):
            exchange.close()
        else:
            await exchange.raw(body[half:])

    async def stream(self, ask: Ask, answers: list[Answer], events: Iterable[Event], *, truncated: bool) -> None:
        """Answer with events, or with the first half of them when `truncated`.

        The head goes out at once, as vLLM's does, even while the request waits its turn.
        """
        with self.engine.place(ask) as sequence:
            await self.exchange.start(200, EVENT_STREAM, chunked=True)
            await sequence.admitted
            due = self._first_due(sequence)
            tokens = sum(answer.completion_tokens for answer in answers)
            for index, event in enumerate(events):
                if await self._interrupted(index):
                    return
                if truncated and sequence.generated * 2 >= tokens:
                    await self.exchange.finish()
                    return
                if event.done and self.fault(FaultKind.NO_DONE):
                    break
                await _sleep_until(due)
                await self.exchange.send(event.data)
                if event.token:
                    self.engine.generated(sequence)
                    due += self.engine.token_interval()
            self.engine.finish(sequence, _reason(answers))
        await self.exchange.finish()

    async def _interrupted(self, index: int) -> bool:
        """Act the fault that is due before the event of this index; tell whether the stream is over."""
        exchange = self.exchange
        for fault in self.faults:
            if fault.after != index:
                continue
            if fault.kind is FaultKind.HANG_MID_STREAM:
                await self.gate.wait()
            elif fault.kind is FaultKind.RESET_MID_STREAM:
                exchange.reset()
                return True
            elif fault.kind is FaultKind.CLOSE_MID_BODY:
                exchange.close()
                return True
            elif fault.kind is FaultKind.ERROR_EVENT:
                await exchange.send(data_event(api_errors.engine_dead().body).data)
                await exchange.send(done_event().data)
                await exchange.finish()
                return True
        return False

    def _first_due(self, sequence: Sequence) -> float:
        fault = self.fault(FaultKind.SLOW)
        delay = self.engine.first_token_delay(sequence) + (fault.seconds if fault else 0.0)
        return asyncio.get_running_loop().time() + delay


async def _sleep_until(due: float) -> None:
    """Sleep until the event loop's clock shows `due`, and let others run in any case."""
    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


def _reason(answers: list[Answer]) -> str:
    """Return the reason that vLLM's metrics know: a tool call ends with `stop`."""
    reason = answers[0].finish_reason if answers else "stop"
    return "stop" if reason == "tool_calls" else reason
