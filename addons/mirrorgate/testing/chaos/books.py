"""The books: what every party says of the same requests, and what the gateway holds, before and after.

They balance when nothing is held that was not held before, every request had one right end, and clients, servers,
metrics, access log and journal tell the same story: nothing lost, nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.parser import text_string_to_metric_families

from ..gateways import RunningGateway
from .crowd import Ended, Told

__all__ = ["Books", "Held", "Server", "Sums"]

_HELD = (
    "mirrorgate_downstream_connections",
    "mirrorgate_downstream_requests_active",
    "mirrorgate_breaker_in_use",
    "mirrorgate_endpoint_inflight",
    "mirrorgate_shadow_queue_bytes",
    "mirrorgate_shadow_exchanges",
    "mirrorgate_shadow_held_bytes",
    "mirrorgate_capture_held_bytes",
)
_LOOKS = 100
_STILL = 30
"""Looks in a row without a change, behind which nothing more is written."""
_NO_BYTE = ("reset=0", "close=0")
_MIB = 1024 * 1024
_RECORD = "mirrorgate.exchange/v1"


class Server(Protocol):
    """What the books want of a server."""

    seen: Counter[tuple[str, str]]
    """How often each leg of each ask came, its head at least."""
    answered: Counter[tuple[str, str]]
    """How often each was given its whole right answer."""

    def hang_up(self) -> None:
        """Close every connection in good order."""


class Sums:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """Add up a metric's samples that have these labels."""
        return sum(
            each.value
            for each in self._samples
            if each.name == name and all(each.labels.get(key) == value for key, value in labels.items())
        )

    def lost_mirrors(self) -> float:
        """Count mirrors of candidates that were handed off and dropped in the shadow process."""
        return self.sum("mirrorgate_shadow_dropped_total", leg="candidate", at="shadow")


@dataclass(frozen=True, slots=True)
class Held:
    """What the two processes hold of the machine."""

    descriptors: Mapping[str, int]
    resident: Mapping[str, int]
    """MiB."""

    @classmethod
    def now(cls, pids: Mapping[str, int]) -> Held:
        """Look."""
        descriptors = {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in pids.items()}
        return cls(descriptors, {name: _resident(pid) for name, pid in pids.items()})


@dataclass(slots=True)
class Books:
    """One gateway's. `open` when it is warm and idle; then note what clients tell, and `balance`."""

    gateway: RunningGateway
    servers: tuple[Server, ...]
    log: Path
    journal: Path
    told: list[Told] = field(default_factory=list)
    _before: Sums = field(default_factory=lambda: Sums(""))
    _held: Held = field(default_factory=lambda: Held({}, {}))
    _log_at: int = 0
    _journal_at: int = 0

    def note(self, *told: Told) -> None:
        """Keep what clients told."""
        self.told.extend(told)

    def count(self, ended: Ended) -> int:
        """Count the asks that ended in one way since the books were opened."""
        return sum(each.ended is ended for each in self.told)

    async def open(self) -> None:
        """Begin: what is held now is what must be held in the end."""
        await self.quiet()
        await self._written()
        self.told.clear()
        self._before = await self._sums()
        self._held = Held.now(self._pids())
        self._log_at, self._journal_at = self._size(self.log), self._size(self.journal)
        for server in self.servers:
            server.seen.clear()
            server.answered.clear()

    async def quiet(self, timeout: float = 60.0) -> None:
        """Wait until nothing is under way, end the kept connections, and wait until they are gone as well."""
        await self._until(lambda sums: self._busy(sums, connections=False), timeout)
        for server in self.servers:
            server.hang_up()
        await self._until(lambda sums: self._busy(sums, connections=True), timeout)

    async def balance(self, *, memory: int = 48, restarted: bool = False, timeout: float = 60.0) -> None:
        """Hold everything together; raises `AssertionError` with every disagreement.

        `memory` is what either process may have grown by, in MiB. `restarted`: the shadow process has died, so that
        mirrors and their records may be missing, though none may be there twice.
        """
        await self.quiet(timeout)
        wrong = self._disagreements(await self._sums(), memory, restarted)
        looks = 0
        while wrong and looks < _LOOKS:
            # Files and counters of other processes tell nobody when they are written: look again, for a while.
            looks += 1
            await asyncio.sleep(0.1)
            wrong = self._disagreements(await self._sums(), memory, restarted)
        await self.open()
        if wrong:
            raise AssertionError("\n".join(["the books do not balance:", *wrong[:40]]))

    async def _written(self) -> None:
        """Wait until what has been counted is in the access log and the journal, which are written behind it.

        What a shadow process took with it never comes: neither file has grown for a while then.
        """
        still, sizes = 0, (-1, -1)
        while still < _STILL:
            sums = await self._sums()
            lines = len(_json_lines(self.log, self._log_at)) + self._more(sums, "mirrorgate_access_log_dropped_total")
            if lines >= self._counted(sums) and len(self._records()) + self._unrecorded(sums) >= self._sent(sums):
                return
            now = self._size(self.log), self._size(self.journal)
            still, sizes = still + 1 if now == sizes else 0, now
            await asyncio.sleep(0.1)

    def _records(self) -> list[dict[str, Any]]:
        """Return the exchanges that the journal has since the books were opened."""
        return [each for each in _json_lines(self.journal, self._journal_at) if each.get("schema") == _RECORD]

    def _sent(self, sums: Sums) -> float:
        """Count the mirrors that were handed off since the books were opened."""
        return self._more(sums, "mirrorgate_shadow_sent_total")

    def _unrecorded(self, sums: Sums) -> float:
        """Count those of them of which the shadow process says that no record is written."""
        lost = sums.lost_mirrors() - self._before.lost_mirrors()
        return lost + self._more(sums, "mirrorgate_journal_records_total", result="lost")

    def _counted(self, sums: Sums) -> float:
        """Count the requests of clients that have ended since the books were opened."""
        return self._more(sums, "mirrorgate_requests_total", leg="primary")

    def _disagreements(self, sums: Sums, memory: int, restarted: bool) -> list[str]:
        lines = _json_lines(self.log, self._log_at)
        records = self._records()
        wrong = [f"{each.ask.id} {each.ask.faults}: {each.detail}" for each in self.told if each.ended is Ended.WRONG]
        wrong += self._requests(lines, sums)
        wrong += self._mirrors(lines, records, sums, restarted)
        wrong += self._held_more(memory, restarted)
        wrong += [f"{self.gateway.process.text[-2000:]}"] if sums.sum("mirrorgate_shadow_judge_errors_total") else []
        replies = self._more(sums, "mirrorgate_local_replies_total", reason="internal")
        return wrong + ([f"{replies} bugs\n{self.gateway.process.text[-3000:]}"] if replies else [])

    def _requests(self, lines: list[dict[str, Any]], sums: Sums) -> Iterable[str]:
        """Compare clients, the access log, the metrics and the primary server."""
        counted = self._counted(sums)
        if counted != len(lines):
            yield f"{counted} requests are counted, {len(lines)} are in the access log"
        logged: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            logged.setdefault(line["user_agent"] or "", []).append(line)
        for told in self.told:
            mine = logged.pop(told.ask.id, [])
            must = told.ended in (Ended.WHOLE, Ended.REFUSED) or told.status != 0
            if len(mine) > 1 or (must and not mine):
                yield f"{told.ask.id} {told.ended} is {len(mine)} times in the access log"
            elif must and mine[0]["response_code"] != told.status:
                yield f"{told.ask.id} got {told.status}, logged is {mine[0]['response_code']}"
            if mine and (times := self._sum("seen", told.ask.id, "primary")) > mine[0]["attempts"]:
                yield f"{told.ask.id} came {times} times, logged are {mine[0]['attempts']} attempts"
            answers = self._sum("answered", told.ask.id, "primary")
            if told.ended is Ended.WHOLE and not 1 <= answers <= told.ask.tries:
                yield f"{told.ask.id} is whole, and was answered {answers} times"
        yield from (f"logged, and asked by nobody: {id}" for id in logged if id)
        # A leg of the shadow goes out again when its kept connection ends without a byte of an answer.
        again = {(each.ask.id, leg) for each in self.told for leg, how in each.ask.faults.items() if how in _NO_BYTE}
        tries = {each.ask.id: each.ask.tries for each in self.told}
        came: Counter[tuple[str, str]] = Counter()
        for server in self.servers:
            came.update(server.seen)
        for (id, leg), times in came.items():
            most = tries.get(id, 1) if leg == "primary" else 2 if (id, leg) in again else 1
            if times > most:
                yield f"{id} came {times} times as {leg}"

    def _mirrors(
        self, lines: list[dict[str, Any]], records: list[dict[str, Any]], sums: Sums, restarted: bool
    ) -> Iterable[str]:
        """Compare the access log, the metrics, the journal and the candidate's server."""
        mirrored = {line["id"]: line for line in lines if line["mirrored"]}
        sent = self._sent(sums)
        if sum(line["mirrored"] for line in mirrored.values()) != sent:
            yield f"{sent} mirrors are counted as sent, the access log has {len(mirrored)}"
        ids = Counter(record["id"] for record in records)
        yield from (f"{id} is {times} times in the journal" for id, times in ids.items() if times > 1)
        yield from (f"{id} is in the journal and was not mirrored" for id in ids.keys() - mirrored.keys())
        agents = {line["user_agent"] for line in mirrored.values()}
        for id, leg in {key for server in self.servers for key in server.seen}:
            if leg != "primary" and id not in agents:
                yield f"{id} came as {leg} and was not mirrored"
        lost = self._unrecorded(sums)
        if not restarted and len(records) + lost != sent:
            yield f"{sent} mirrors, but {len(records)} records in the journal, {lost} dropped or unwritten"

    def _held_more(self, memory: int, restarted: bool) -> Iterable[str]:
        now = Held.now(self._pids())
        for name, count in now.descriptors.items():
            # A new process opens what it needs when it needs it, the journal first of all.
            if count > self._held.descriptors[name] and not (restarted and name == "shadow"):
                yield f"{name}: {count} descriptors, before {self._held.descriptors[name]}"
        for name, size in now.resident.items():
            if size > self._held.resident[name] + memory and not restarted:
                yield f"{name}: {size} MiB, before {self._held.resident[name]}"

    def _busy(self, sums: Sums, *, connections: bool) -> list[str]:
        wrong = []
        for name in _HELD:
            held = sums.sum(name)
            if name == "mirrorgate_breaker_in_use" and not connections:
                held -= sums.sum(name, limit="connections")
            if held:
                wrong.append(f"{name} is {held}")
        return wrong

    async def _until(self, busy: Callable[[Sums], list[str]], timeout: float) -> None:
        last: list[str] = []

        async def still() -> bool:
            last[:] = busy(await self._sums())
            return not last

        await self.gateway.admin.until(still, lambda: f"it is not given back: {last}", timeout)

    def _more(self, sums: Sums, name: str, **labels: str) -> float:
        return sums.sum(name, **labels) - self._before.sum(name, **labels)

    def _sum(self, what: str, id: str, leg: str) -> int:
        return sum(getattr(server, what)[id, leg] for server in self.servers)

    async def _sums(self) -> Sums:
        return Sums((await self.gateway.admin.get("/metrics")).body.decode())

    def _pids(self) -> dict[str, int]:
        return {"gateway": self.gateway.process.pid, "shadow": self.gateway.shadow_pid()}

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 // _MIB


def _json_lines(path: Path, start: int) -> list[dict[str, Any]]:
    """Read the whole lines after an offset; one that is torn is left out."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(start)
        found = []
        for line in file:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found
