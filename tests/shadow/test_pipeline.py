"""Every target is reported once, pairs are committed in order of arrival, and nothing is left behind."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import pytest

from mirrorgate.records import (
    Compared,
    Configure,
    FromShadow,
    Leg,
    LegContent,
    LegFinished,
    MirrorsDropped,
    RequestAborted,
    RequestChunk,
    RequestEnd,
    RestoreVerdicts,
    ShadowDropped,
    VerdictChanged,
)
from mirrorgate.shadow.holding import Holding
from mirrorgate.shadow.judging import Drops, Judged, Settled
from mirrorgate.shadow.pairing import Pair
from mirrorgate.shadow.pipeline import Pipeline

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Recorder:
    """A judge that writes down what it is given; `gate` holds judging up."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.committed: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail = False
        self.closed = False
        self.questions: dict[str, asyncio.Event] = {}
        self.dropped: dict[str, Counter[str]] = {}
        self.busy: set[str] = set()
        self.restored: list[RestoreVerdicts] = []

    def configure(self, configure: Configure) -> None:
        pass

    def restore(self, frame: RestoreVerdicts) -> None:
        self.restored.append(frame)

    def judge(self, pair: Pair) -> Judged:
        self.gate.wait(10)
        if self.fail:
            raise RuntimeError("a bug")
        self.pairs.append(pair)
        id, cluster = pair.started.id, pair.target.cluster
        settled = Settled(pair.sequence, id, cluster, "same", id)
        return Judged(Compared(id, cluster, "same", 1.0, "", b"{}"), settled, self.questions.get(id))

    async def ask(self, judged: Judged) -> Settled:
        question = judged.question
        assert isinstance(question, asyncio.Event)
        await question.wait()
        return judged.settled

    async def stop(self) -> None:
        assert not self.closed

    def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
        self.committed += [(cluster, each.id) for each in settled]
        return ()

    def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
        for cluster, reasons in drops.items():
            self.dropped.setdefault(cluster, Counter()).update(reasons)
        self.busy = set(busy)
        return [VerdictChanged("ticked", b"", b"")]

    def journal_counts(self) -> tuple[int, int]:
        return (0, 0)

    def close(self) -> None:
        self.closed = True


class Bench:
    """A pipeline with its judge, and what it sent."""

    def __init__(self, holding: Holding | None = None) -> None:
        self.judge = Recorder()
        self.sent: list[FromShadow] = []
        self._news = asyncio.Event()
        self.pipeline = Pipeline(asyncio.get_running_loop(), self._take, self.judge, holding)

    def _take(self, message: FromShadow) -> None:
        self.sent.append(message)
        self._news.set()

    def of[T](self, kind: type[T]) -> list[T]:
        return [message for message in self.sent if isinstance(message, kind)]

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not ready():
                self._news.clear()
                await self._news.wait()

    def idle(self) -> bool:
        counts = self.pipeline.counts()
        return (counts.exchanges, counts.legs, counts.held_bytes) == (0, 0, 0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.judge.gate.set()
    async with asyncio.timeout(20):
        await bench.pipeline.drain(0.01)
    assert bench.judge.closed
    assert bench.idle()


def answering(new: Any, gates: dict[bytes, asyncio.Event] | None = None) -> Any:
    """Answer each request once the gate that its body names is open."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            _, body = await new.read_request(reader)
            for key, gate in (gates or {}).items():
                if key in body:
                    await gate.wait()
            writer.write(new.chat("hi"))

    return handler


async def test_a_pair_is_sent_judged_and_reported(serve: Any, new: Any, bench: Bench) -> None:
    """One leg report with its numbers, one comparison, one commit, and nothing is held afterwards."""
    target = new.target(await serve(answering(new)), model="candidate-model")
    bench.pipeline.handle(new.started("a", [target]))
    assert bench.pipeline.counts().exchanges == 1
    bench.pipeline.handle(new.finished("a", new.chat("hi")))
    await bench.until(lambda: bool(bench.of(Compared)))
    (leg,) = bench.of(LegFinished)
    assert (leg.id, leg.outcome, leg.status, leg.model) == ("a", "complete", 200, "candidate-model")
    assert (leg.prompt_tokens, leg.completion_tokens, leg.ttft) == (7, 1, None)
    assert leg.endpoint == f"127.0.0.1:{target.port}"
    assert leg.path == "/v1/chat/completions"
    assert not bench.of(LegContent), "nobody asked for it"
    assert bench.of(ShadowDropped) == []
    assert bench.pipeline.counts().judged == 1


async def test_pairs_are_committed_in_the_order_of_arrival(serve: Any, new: Any, bench: Bench) -> None:
    """The first exchange answers last, and is committed first."""
    gates = {b"one": asyncio.Event(), b"two": asyncio.Event()}
    port = await serve(answering(new, gates))
    for name in ("one", "two", "three"):
        bench.pipeline.handle(new.started(name, [new.target(port)], body=json.dumps(name).encode()))
        bench.pipeline.handle(new.finished(name))
    await bench.until(lambda: len(bench.of(Compared)) == 1)
    gates[b"two"].set()
    await bench.until(lambda: len(bench.of(Compared)) == 2)
    assert bench.judge.committed == []
    gates[b"one"].set()
    await bench.until(lambda: len(bench.of(Compared)) == 3)
    await bench.pipeline.drain(5)
    assert [message.id for message in bench.of(Compared)] == ["three", "two", "one"]
    assert bench.judge.committed == [("mirror-0", "one"), ("mirror-0", "two"), ("mirror-0", "three")]


async def test_more_than_max_parallel_is_dropped_and_reported(serve: Any, new: Any, bench: Bench) -> None:
    """Each cluster has its own limit; a control is not sent without its candidate."""
    gate = asyncio.Event()
    port = await serve(answering(new, {b"model": gate}))
    targets = [new.target(port, max_parallel=1), new.target(port, max_parallel=1, leg=Leg.CONTROL, cluster="primary")]
    bench.pipeline.handle(new.started("a", targets))
    bench.pipeline.handle(new.started("b", targets))
    bench.pipeline.handle(new.started("c", [new.target(port, cluster="mirror-1", max_parallel=1)]))
    drops = [(drop.id, drop.leg, drop.reason, drop.sent) for drop in bench.of(ShadowDropped)]
    assert drops == [("b", Leg.CANDIDATE, "max_parallel", False), ("b", Leg.CONTROL, "max_parallel", False)]
    assert bench.pipeline.counts().legs == 3
    gate.set()
    bench.pipeline.handle(new.finished("a"))
    bench.pipeline.handle(new.finished("c"))
    await bench.until(lambda: len(bench.of(Compared)) == 2)
    pair = next(pair for pair in bench.judge.pairs if pair.started.id == "a")
    assert pair.control is not None
    assert pair.control.status == 200
    assert len(bench.of(LegFinished)) == 3


async def test_a_full_process_refuses_and_reports(serve: Any, new: Any, bench: Bench) -> None:
    """Beyond `max_queued` exchanges every target is dropped as queue_full; what was admitted goes on."""
    bench.pipeline.handle(Configure("", 1, 0, 1))
    port = await serve(answering(new))
    bench.judge.gate.clear()
    bench.pipeline.handle(new.started("a", [new.target(port)]))
    bench.pipeline.handle(new.finished("a"))
    await bench.until(lambda: bool(bench.of(LegFinished)))
    bench.pipeline.handle(new.started("b", [new.target(port), new.target(port)]))
    assert [drop.reason for drop in bench.of(ShadowDropped)] == ["queue_full", "queue_full"]
    bench.judge.gate.set()
    await bench.until(lambda: bool(bench.of(Compared)))
    bench.pipeline.handle(new.started("c", [new.target(port)]))
    bench.pipeline.handle(new.finished("c"))
    await bench.until(lambda: len(bench.of(Compared)) == 2)


async def test_memory_refuses_new_exchanges(new: Any) -> None:
    """A body that does not fit into half of what may be held is refused."""
    bench = Bench(Holding(1000))
    bench.pipeline.handle(new.started("a", [new.target(1)], body=b"x" * 400, reserved=101))
    assert [drop.reason for drop in bench.of(ShadowDropped)] == ["queue_full"]
    await bench.pipeline.drain(1)


async def test_a_token_budget_that_is_used_up_drops(serve: Any, new: Any, bench: Bench) -> None:
    """The tokens of answers count, and the next request is dropped before it is sent."""
    policy = b'{"candidate": {"tokenBudget": {"tokens": 8, "interval": "1h"}}}'
    target = new.target(await serve(answering(new)), policy=policy)
    for name in ("a", "b"):
        bench.pipeline.handle(new.started(name, [target]))
        bench.pipeline.handle(new.finished(name))
        await bench.until(lambda name=name: any(m.id == name for m in bench.sent))  # type: ignore[misc]
    assert [drop.reason for drop in bench.of(ShadowDropped)] == ["token_budget"]
    await bench.until(lambda: bool(bench.of(Compared)))


async def test_an_aborted_exchange_is_cancelled_and_not_compared(serve: Any, new: Any, bench: Bench) -> None:
    """Its leg is reported as cancelled, its pair as lost, and what follows is ignored."""
    target = new.target(await serve(answering(new)))
    bench.pipeline.handle(new.started("a", [target], body=None))
    bench.pipeline.handle(RequestChunk("a", b"begin"))
    bench.pipeline.handle(RequestAborted("a", "upload_overrun"))
    bench.pipeline.handle(RequestChunk("a", b"more"))
    bench.pipeline.handle(RequestEnd("a"))
    bench.pipeline.handle(new.finished("a"))
    await bench.until(lambda: bool(bench.of(LegFinished)))
    assert [leg.outcome for leg in bench.of(LegFinished)] == ["cancelled"]
    assert [(drop.reason, drop.sent) for drop in bench.of(ShadowDropped)] == [("aborted", True)]
    assert bench.of(Compared) == []
    assert bench.idle()


async def test_a_leg_that_is_cancelled_before_its_first_step_is_reported(new: Any, bench: Bench) -> None:
    """Begin and abort in one turn of the loop leave nothing behind."""
    bench.pipeline.handle(new.started("a", [new.target(1)]))
    bench.pipeline.handle(RequestAborted("a", "gone"))
    await bench.until(lambda: bool(bench.of(LegFinished)))
    assert bench.idle()


async def test_a_clients_leaving_spares_the_candidate_the_rest(serve: Any, new: Any, bench: Bench) -> None:
    """The leg is cut, and the pair is judged with what there is."""
    target = new.target(await serve(answering(new, {b"model": asyncio.Event()})))
    bench.pipeline.handle(new.started("a", [target]))
    bench.pipeline.handle(new.finished("a", outcome="client_left"))
    await bench.until(lambda: bool(bench.of(Compared)))
    assert bench.judge.pairs[0].finished.outcome == "client_left"
    assert bench.judge.pairs[0].answer.outcome.value == "cancelled"


async def test_a_streamed_upload_reaches_every_candidate(serve: Any, new: Any, bench: Bench) -> None:
    """Two candidates get the same pieces; one that takes none is cancelled alone."""
    stuck = asyncio.Event()

    async def deaf(reader: Reader, writer: Writer) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()

    targets = [new.target(await serve(answering(new))), new.target(await serve(deaf), cluster="mirror-1")]
    bench.pipeline.handle(new.started("a", targets, body=None))
    for _ in range(20):
        bench.pipeline.handle(RequestChunk("a", b"x" * 1_000_000))
        await asyncio.sleep(0.005)
    bench.pipeline.handle(RequestEnd("a"))
    bench.pipeline.handle(new.finished("a"))
    await bench.until(lambda: len(bench.of(Compared)) == 2)
    stuck.set()
    assert {leg.cluster: leg.outcome for leg in bench.of(LegFinished)} == {
        "mirror-0": "complete",
        "mirror-1": "cancelled",
    }


async def test_a_bug_in_judging_loses_one_pair_and_is_counted(serve: Any, new: Any, bench: Bench) -> None:
    """The pair is reported as lost, later ones are judged and committed."""
    target = new.target(await serve(answering(new)))
    bench.judge.fail = True
    bench.pipeline.handle(new.started("a", [target]))
    bench.pipeline.handle(new.finished("a"))
    await bench.until(lambda: bool(bench.of(ShadowDropped)))
    assert [(drop.reason, drop.sent) for drop in bench.of(ShadowDropped)] == [("unfinished", True)]
    bench.judge.fail = False
    bench.pipeline.handle(new.started("b", [target]))
    bench.pipeline.handle(new.finished("b"))
    await bench.until(lambda: bool(bench.of(Compared)))
    counts = bench.pipeline.counts()
    assert (counts.judged, counts.failed) == (1, 1)
    await bench.pipeline.drain(1)
    assert bench.judge.committed == [("mirror-0", "b")]


async def test_frames_of_unknown_exchanges_are_ignored(new: Any, bench: Bench) -> None:
    """Late, repeated and foreign frames change nothing."""
    for frame in (RequestChunk("x", b"a"), RequestEnd("x"), RequestAborted("x", ""), new.finished("x")):
        bench.pipeline.handle(frame)
    assert bench.sent == []


async def test_a_drain_cuts_what_is_under_way_and_judges_what_is_complete(serve: Any, new: Any) -> None:
    """At the end every leg is reported, finished exchanges are judged, the others are lost and counted."""
    bench = Bench()
    port = await serve(answering(new, {b"model": asyncio.Event()}))
    bench.pipeline.handle(new.started("a", [new.target(port)]))
    bench.pipeline.handle(new.started("b", [new.target(port)]))
    bench.pipeline.handle(new.finished("a"))
    async with asyncio.timeout(10):
        await bench.pipeline.drain(0.05)
    assert sorted(leg.outcome for leg in bench.of(LegFinished)) == ["cancelled", "cancelled"]
    assert [message.id for message in bench.of(Compared)] == ["a"]
    assert [(drop.id, drop.reason) for drop in bench.of(ShadowDropped)] == [("b", "unfinished")]
    assert bench.judge.closed
    assert bench.idle()


async def test_a_pair_that_must_be_asked_about_holds_up_its_cluster_only(serve: Any, new: Any, bench: Bench) -> None:
    """It is compared and reported at once, and committed in its place when the answer is there."""
    port = await serve(answering(new))
    slow = bench.judge.questions["a"] = asyncio.Event()
    for id, cluster in (("a", "one"), ("b", "one"), ("c", "two")):
        bench.pipeline.handle(new.started(id, [new.target(port, cluster=cluster)]))
        bench.pipeline.handle(new.finished(id, new.chat("hi")))
    await bench.until(lambda: len(bench.of(Compared)) == 3)
    bench.pipeline.sweep()
    await bench.until(lambda: bool(bench.of(VerdictChanged)))
    assert bench.judge.committed == [("two", "c")]
    assert bench.judge.busy == {"one"}
    assert not bench.idle()
    slow.set()
    bench.pipeline.sweep()
    await bench.until(lambda: len(bench.of(VerdictChanged)) == 2)
    async with asyncio.timeout(10):
        await bench.pipeline.drain(0.01)
    assert bench.judge.committed == [("two", "c"), ("one", "a"), ("one", "b")]


async def test_what_is_dropped_is_told_once(new: Any, bench: Bench) -> None:
    """Drops of candidates from both sides of the channel are added up, and those of the control's left out."""
    full = new.target(1, max_parallel=0)
    control = new.target(1, leg=Leg.CONTROL, cluster="primary")
    for id in ("a", "b"):
        bench.pipeline.handle(new.started(id, [full, control]))
    bench.pipeline.handle(MirrorsDropped({"mirror-0": {"process_died": 5}, "other": {"queue_full": 1}}))
    bench.pipeline.sweep()
    await bench.until(lambda: bool(bench.of(VerdictChanged)))
    bench.pipeline.sweep()
    await bench.until(lambda: len(bench.of(VerdictChanged)) == 2)
    assert bench.judge.dropped == {"mirror-0": {"max_parallel": 2, "process_died": 5}, "other": {"queue_full": 1}}


async def test_contents_are_sent_where_somebody_looks(serve: Any, new: Any, bench: Bench) -> None:
    """After the comparison, and no more of a body than was asked for."""
    bench.pipeline.handle(Configure("", 1, 0, 10, contents=5))
    bench.pipeline.handle(new.started("a", [new.target(await serve(answering(new)))]))
    bench.pipeline.handle(new.finished("a", new.chat("hi")))
    await bench.until(lambda: bool(bench.of(LegContent)))
    assert [type(message) for message in bench.sent][-2:] == [Compared, LegContent]
    [content] = bench.of(LegContent)
    assert (content.id, content.leg, content.status, content.body, content.truncated) == (
        "a", Leg.CANDIDATE, 200, b'{"id"', True,
    )  # fmt: skip


async def test_the_past_is_restored_before_anything_is_judged(bench: Bench) -> None:
    """The frame goes through the same thread as the pairs that follow it."""
    bench.pipeline.handle(Configure("", 1, 0, 10))
    bench.pipeline.handle(RestoreVerdicts([b"state"]))
    bench.pipeline.sweep()
    await bench.until(lambda: bool(bench.of(VerdictChanged)))
    assert bench.judge.restored == [RestoreVerdicts([b"state"])]
