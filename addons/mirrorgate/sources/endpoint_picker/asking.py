"""Asks the endpoint pickers of InferencePools: finds one that listens, keeps its connection, bounds the wait."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...routing.table import EndpointPicker
from .consulting import Consultation, Picked, Question
from .grpc_calls import Broken, Connection, connect
from .messages import PATH, Immediate, Unreadable

__all__ = ["Asked", "Failed", "PickerClient"]

_CONNECT = 2.0
_PAUSES = (0.0, 0.0, 0.02)
"""Seconds before each try at one address. A server may refuse calls while it is not done with those that we have
ended, and a connection that was kept may be dead."""
_AVOID = 1.0
"""Seconds for which a picker is left alone that let a connection attempt time out."""
_HEADS = 30.0
"""Seconds for which answers do not wait for a picker that said nothing about the head of one."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No choice was made."""

    result: str
    """`unreachable`, `timed_out` or `broken`: the label of the metric."""
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question, and the conversation to go on with."""

    result: Picked | Immediate
    consultation: Consultation


class PickerClient:
    """Every picker that this process asks."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        """Seconds until a choice must be made; a picker may hold a request back while its pool is full."""
        self.results: Counter[tuple[str, str]] = Counter()
        """Questions by picker and result."""
        self.cut: Counter[str] = Counter()
        """Answers, by picker, whose rest the picker did not get, since it did not keep up."""
        self._connections: dict[tuple[str, bool], list[Connection]] = {}
        self._connecting: dict[tuple[str, bool], asyncio.Task[Connection]] = {}
        self._avoided: dict[str, float] = {}
        self._headless: dict[str, float] = {}

    @property
    def connections(self) -> int:
        """Connections that are kept."""
        return sum(map(len, self._connections.values()))

    async def ask(self, picker: EndpointPicker, question: Question) -> Asked | Failed:
        """Ask a picker, the next address where one is not reached. Counts failures; who uses a choice, counts it."""
        failed = Failed("unreachable", picker.fault or f"{picker.ref} has no ready endpoints")
        try:
            async with asyncio.timeout(self.timeout):
                for host, port, key in self._addresses(picker):
                    try:
                        return await self._ask_at(picker, host, port, key, question)
                    except (OSError, Broken) as error:
                        failed = Failed(
                            "broken" if isinstance(error, Broken) else "unreachable", _worded(picker, error)
                        )
                        if isinstance(error, Broken) and not error.unreached:
                            break
                    except Unreadable as error:
                        failed = Failed("broken", _worded(picker, error))
                        break
        except TimeoutError:
            failed = Failed("timed_out", f"{picker.ref} has not answered within {self.timeout:g} s")
        self.results[picker.ref, failed.result] += 1
        return failed

    def keep(self, pickers: set[str]) -> None:
        """Keep connections to these addresses (`host:port`) only; others are closed once nothing is under way there."""
        for key in [key for key in self._connections if key[0] not in pickers]:
            for connection in self._connections.pop(key):
                connection.leave()

    def finished(self, picker: EndpointPicker, consultation: Consultation) -> None:
        """End a conversation and remember what its picker does not do."""
        consultation.close()
        if consultation.lagged:
            self.cut[picker.ref] += 1
        if consultation.missed_head:
            self._headless[picker.ref] = time.monotonic() + _HEADS

    def close(self) -> None:
        """Hang up."""
        for task in self._connecting.values():
            task.cancel()
        for connections in self._connections.values():
            for connection in connections:
                connection.close()
        self._connections.clear()

    def _addresses(self, picker: EndpointPicker) -> Iterator[tuple[str, int, str]]:
        """Yield where to ask, those first that did not let us wait in vain just now."""
        now = time.monotonic()
        late = []
        for address in picker.addresses:
            key = str(address)
            if self._avoided.get(key, 0.0) > now:
                late.append((address.host, address.port, key))
            else:
                yield address.host, address.port, key
        if len(late) < len(picker.addresses):
            yield from late

    async def _ask_at(self, picker: EndpointPicker, host: str, port: int, key: str, question: Question) -> Asked:
        """Ask at one address; again where the connection ends without an answer, as one that was kept may."""
        failed = Broken("not asked")
        for pause in _PAUSES:
            if pause:
                await asyncio.sleep(pause)
            connection, kept = await self._connection(host, port, key, encrypted=picker.encrypted)
            before = connection.received
            try:
                return await self._consult(picker, connection, question)
            except Broken as error:
                if not error.unreached:
                    raise
                failed = error
            except asyncio.CancelledError:
                if kept and connection.received == before:
                    connection.leave()  # it may be dead, so that the next request shall not wait for it
                raise
        raise failed

    async def _consult(self, picker: EndpointPicker, connection: Connection, question: Question) -> Asked:
        waits = self._headless.get(picker.ref, 0.0) < time.monotonic()
        call = connection.call(PATH)
        consultation = Consultation(call, waits_for_head=waits)
        try:
            return Asked(await consultation.ask(question), consultation)
        except BaseException:
            call.cancel()
            raise

    async def _connection(self, host: str, port: int, key: str, *, encrypted: bool) -> tuple[Connection, bool]:
        """Return a connection, and whether it was there before. Who comes while one is made waits for the same.

        Nothing is awaited between the look whether it takes another call and the caller's call.
        """
        place = key, encrypted
        while True:
            kept = self._connections.setdefault(place, [])
            kept[:] = [connection for connection in kept if not connection.gone]
            for connection in kept:
                if connection.usable:
                    return connection, True
            task = self._connecting.get(place)
            if task is None:
                task = asyncio.get_running_loop().create_task(self._connect(host, port, key, encrypted=encrypted))
                if not task.done():
                    self._connecting[place] = task
                    task.add_done_callback(lambda _: self._connecting.pop(place, None))
            made = await asyncio.shield(task)
            if made.usable or not made.open:
                return made, False
            # Those who waited with us have filled it.

    async def _connect(self, host: str, port: int, key: str, *, encrypted: bool) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT):
                connection = await connect(host, port, encrypted=encrypted)
                try:
                    # Before, calls could be too many, and would come back refused.
                    await connection.greeted.wait()
                except asyncio.CancelledError:
                    connection.close()
                    raise
        except TimeoutError as error:
            self._avoided[key] = time.monotonic() + _AVOID
            raise ConnectionError(f"no connection within {_CONNECT:g} s") from error
        self._avoided.pop(key, None)
        if not connection.most:
            connection.close()
            raise ConnectionError("it takes no calls")
        self._connections.setdefault((key, encrypted), []).append(connection)
        return connection


def _worded(picker: EndpointPicker, error: Exception) -> str:
    return f"{picker.ref}: {error or type(error).__name__}"
