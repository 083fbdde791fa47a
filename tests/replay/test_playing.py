"""A run, against real sockets: what is sent, compared, counted, kept and gone on with."""

import asyncio
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.legs import policy_bytes
from mirrorgate.replay.aiming import Rewrites
from mirrorgate.replay.captured import Captured, Item, Skip
from mirrorgate.replay.pacing import AtRate, Original, Unpaced
from mirrorgate.replay.playing import Play, Player
from mirrorgate.replay.resuming import Done, done_in
from mirrorgate.replay.selecting import Selection
from mirrorgate.replay.tallying import Tally
from mirrorgate.replay.url_target import UrlTarget
from mirrorgate.reporting.reading import report_of
from mirrorgate.resources.shadow_policy import Control, ShadowPolicySpec
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer

PLAIN = Rewrites()


def url(server: FakeModelServer, rewrites: Rewrites = PLAIN, **policy: Any) -> UrlTarget:
    """Return a server as a destination."""
    spec = ShadowPolicySpec(**policy)
    return UrlTarget(f"http://{server.address}", rewrites, spec, policy_bytes(spec))


def play(items: Iterable[Item], to: UrlTarget, journal: Path, **changes: Any) -> Play:
    """Return a run as fast as it goes."""
    made = Play(items, to, None, Selection(), Unpaced(), journal, concurrency=8)
    return dataclasses.replace(made, **changes)


async def played(items: Iterable[Item], to: UrlTarget, journal: Path, **changes: Any) -> Tally:
    """Run to the end."""
    async with asyncio.timeout(60):
        return await Player(play(items, to, journal, **changes)).run()


def records(journal: Path) -> list[dict[str, Any]]:
    """Read the exchanges of a journal."""
    lines = [json.loads(line) for line in (journal / "exchanges.jsonl").read_text().splitlines()]
    return [line for line in lines if line["schema"] == "mirrorgate.exchange/v1"]


def observations(journal: Path) -> tuple[str, int]:
    """Read verdict and observations of a journal's one candidate, as the report does."""
    [shadow] = report_of([journal], 0.0).shadows
    return shadow.document.verdict, shadow.document.pairs


def entries(captures: Any, count: int, **changes: Any) -> list[Captured]:
    """Return exchanges with different prompts, a hundredth of a second apart."""
    found = []
    for n in range(count):
        body = captures.body | {"messages": [{"role": "user", "content": f"question {n}"}]}
        made = captures.entry(f"id-{n}", body=json.dumps(body).encode(), started=1000.0 + n / 100)
        found.append(dataclasses.replace(made, **changes))
    return found


async def test_recorded_answers_are_compared(captures: Any, tmp_path: Path) -> None:
    """Every exchange is sent once, marked, and judged against what was recorded."""
    async with FakeModelServer() as server:
        tally = await played(entries(captures, 20), url(server), tmp_path)
    assert (tally.sent, tally.compared, tally.errors, tally.passed) == (20, 20, 0, {})
    assert len(server.requests) == 20
    assert {each.header("x-mirrorgate-leg") for each in server.requests} == {"candidate"}
    assert all(each.header("authorization") is None for each in server.requests)
    found = records(tmp_path)
    assert [each["sequence"] for each in sorted(found, key=lambda each: each["started"])] == list(range(1, 21))
    assert {each["primary"]["e2e"] for each in found} == {0.5}
    assert observations(tmp_path) == ("HOLD", 20)
    assert [standing.verdict for standing in tally.verdicts.values()] == ["HOLD"]


async def test_every_conversation_is_closed_at_the_end(captures: Any, tmp_path: Path) -> None:
    """However long the policy gathers their turns: nothing more is to come of a capture that is read."""
    async with FakeModelServer() as server:
        await played(entries(captures, 3), url(server, conversation_window=3600.0), tmp_path)
    assert observations(tmp_path) == ("HOLD", 3)


async def test_a_fresh_primary_and_its_noise(captures: Any, tmp_path: Path) -> None:
    """With `repeat` the primary is asked once more each time, and all answers to a request are one observation."""
    async with FakeModelServer() as primary, FakeModelServer() as candidate:
        to = url(candidate, control=Control(percent=100))
        tally = await played(entries(captures, 5, answer=None), to, tmp_path, against=url(primary), repeat=2)
    assert (tally.compared, tally.errors) == (10, 0)
    assert (len(candidate.requests), len(primary.requests)) == (10, 20)
    legs = sorted(str(each.header("x-mirrorgate-leg")) for each in primary.requests)
    assert legs == ["control"] * 10 + ["primary"] * 10
    found = records(tmp_path)
    assert {each["outcome"] for each in found} == {"same"}
    assert all(each["control_comparison"] for each in found)
    assert {each["id"] for each in found} >= {"id-0", "id-0#2"}
    assert observations(tmp_path) == ("HOLD", 5)


async def test_a_primary_that_is_down_is_the_primary_s_failure(captures: Any, tmp_path: Path) -> None:
    """And none of the candidate's."""
    async with FakeModelServer() as gone, FakeModelServer() as candidate:
        await gone.stop()
        tally = await played(entries(captures, 3), url(candidate), tmp_path, against=url(gone))
    assert tally.outcomes == {"primary_failed": 3}


async def test_what_cannot_be_sent_is_counted_by_reason(captures: Any, tmp_path: Path) -> None:
    """Nothing is passed over in silence."""
    first, second, third, fourth = entries(captures, 4)
    items = [
        dataclasses.replace(first, answer=None),
        dataclasses.replace(second, method="DELETE"),
        dataclasses.replace(third, answer=None, unanswered=Skip.REDACTED),
        fourth,
    ]
    async with FakeModelServer() as server:
        tally = await played(items, url(server), tmp_path)
    assert tally.passed == {Skip.NO_ANSWER: 1, Skip.UNSAFE_METHOD: 1, Skip.REDACTED: 1}
    assert (tally.read, tally.sent) == (4, 1)


async def test_models_are_rewritten_for_the_candidate(captures: Any, tmp_path: Path) -> None:
    """The body changes in its model only."""
    async with FakeModelServer(Behaviour(models=("new",))) as server:
        tally = await played(entries(captures, 2), url(server, Rewrites(models=((None, "new"),))), tmp_path)
    assert tally.errors == 0
    assert {json.loads(each.body)["model"] for each in server.requests} == {"new"}


async def test_a_run_goes_on_where_it_ended(captures: Any, tmp_path: Path) -> None:
    """The second run sends what the first did not, and the evidence of both is one."""
    all_of_them = entries(captures, 12)
    async with FakeModelServer() as server:
        await played(all_of_them, url(server), tmp_path, limit=5)
        tally = await played(all_of_them, url(server), tmp_path, done=Done(done_in(tmp_path)))
    assert (tally.sent, tally.passed[Skip.DONE]) == (7, 5)
    assert sorted(each["id"] for each in records(tmp_path)) == sorted(each.id for each in all_of_them)
    assert observations(tmp_path) == ("HOLD", 12)


async def test_an_interrupted_run_leaves_a_whole_journal(captures: Any, tmp_path: Path) -> None:
    """What is under way is cut by the second interruption; what is compared is kept, and the rest can be sent later."""
    async with FakeModelServer(Behaviour(ttft=0.05)) as server:
        player = Player(play(entries(captures, 200), url(server), tmp_path))
        running = asyncio.get_running_loop().create_task(player.run())
        await server.received(20)
        player.stop()
        player.stop()
        tally = await running
    assert player.interrupted
    assert tally.compared < 200
    assert len(records(tmp_path)) == tally.compared
    assert tally.compared + tally.dropped.total() == tally.sent


async def test_an_open_loop_counts_what_is_late(captures: Any, tmp_path: Path) -> None:
    """A server that is too slow for the pace does not slow it in silence."""
    async with FakeModelServer(Behaviour(ttft=0.2)) as server:
        tally = await played(entries(captures, 6), url(server), tmp_path, pace=AtRate(100.0), concurrency=1)
    assert (tally.sent, tally.lateness.late) == (6, 5)
    assert tally.lateness.worst > 0.5


async def test_the_capture_s_timing(captures: Any, tmp_path: Path) -> None:
    """Requests arrive with the capture's gaps, whatever the answers take."""
    spread = [dataclasses.replace(each, started=1000.0 + n * 0.2) for n, each in enumerate(entries(captures, 4))]
    loop = asyncio.get_running_loop()
    async with FakeModelServer(Behaviour(ttft=0.3)) as server:
        began = loop.time()
        tally = await played(spread, url(server), tmp_path, pace=Original(2.0))
        took = loop.time() - began
    assert tally.compared == 4
    assert 0.5 < took < 5.0


async def test_it_says_how_long_it_waits_for_the_capture_s_next(captures: Any, tmp_path: Path) -> None:
    """While nothing is under way; a gap of minutes otherwise looks like a hang."""
    spread = [dataclasses.replace(each, started=1000.0 + n * 300.0) for n, each in enumerate(entries(captures, 2))]
    async with FakeModelServer() as server:
        player = Player(play(spread, url(server), tmp_path, pace=Original()))
        assert player.idle_for == 0.0
        running = asyncio.create_task(player.run())
        async with asyncio.timeout(10.0):
            while not player.idle_for:  # noqa: ASYNC110 - the run tells of it in no other way
                await asyncio.sleep(0.01)
        assert 200.0 < player.idle_for <= 300.0
        player.stop()
        assert player.idle_for == 0.0
        await running


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_than_asked_for_are_under_way(captures: Any, tmp_path: Path, concurrency: int) -> None:
    """The bound holds, pairs that wait for their judgement included."""
    async with FakeModelServer(Behaviour(ttft=0.01)) as server:
        player = Player(play(entries(captures, 15), url(server), tmp_path, concurrency=concurrency))
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, player.under_way, server.engine.running)
                await asyncio.sleep(0.001)

        watching = asyncio.get_running_loop().create_task(watch())
        await player.run()
        watching.cancel()
    assert 1 <= most <= concurrency


async def test_two_of_the_same_id_are_not_under_way_at_once(captures: Any, tmp_path: Path) -> None:
    """The second is counted as a duplicate."""
    async with FakeModelServer(Behaviour(ttft=0.1)) as server:
        tally = await played([captures.entry(), captures.entry()], url(server), tmp_path)
    assert (tally.compared, tally.passed) == (1, {Skip.DUPLICATE: 1})
