"""Who may not add work while the event loop is behind, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.admission.overload import Overload
from mirrorgate.proxy.downstream.client_side import Inbound
from mirrorgate.proxy.downstream.shedding import Shedding
from mirrorgate.proxy.messages.heads import request_head
from mirrorgate.testing.backends import answering, response_bytes

HEAD = request_head(b"GET", b"/", "1.1", ((b"host", b"a"),), keep_alive=True, upgrading=False)
OK = answering(response_bytes(body=b"ok"))


def shedding_of(running: Any, behind: float = 1.0) -> Shedding:
    """Let the gateway believe that its loop is behind; the interval is 0.1 s."""
    shedding = running.gateway.plane.shedding = Shedding(running.gateway.plane, Overload(0.1))
    late(shedding, behind)
    return shedding


def late(shedding: Shedding, behind: float, since: float = 0.0) -> None:
    """Tell of three rounds that were not in time, the last of them so many seconds behind the first."""
    for now in (since, since + behind / 2, since + behind):
        shedding.observe(1.0, 0.0, now)


@pytest.mark.parametrize(
    ("behind", "control", "mirrors"), [(0.03, True, False), (0.06, True, True), (0.01, False, False)]
)
async def test_copies_are_left_out_first(run: Any, behind: float, control: bool, mirrors: bool) -> None:
    """The control arm, then mirrors, while requests are served."""
    running = await run(OK)
    assert (await (await running.client()).request("GET", "/")).status == 200
    [cluster] = running.gateway.plane.pools
    shedding = shedding_of(running, behind)
    assert (shedding.control, shedding.mirrors) == (control, mirrors)
    assert running.gateway.plane.calm(cluster) is not control
    assert not shedding.late
    assert not shedding.refuses(Inbound(HEAD))
    assert (await (await running.client()).request("GET", "/")).status == 200


@given(st.lists(st.tuples(st.floats(0, 0.2), st.sampled_from((0.0, 0.0, 0.0, 0.001, 0.02))), max_size=80))
def test_a_short_round_matters_only_where_it_says_so(rounds: list[tuple[float, float]]) -> None:
    """Who leaves out the others decides as one who is told of every round."""
    every, some = (Shedding(None, Overload(0.1)) for _ in range(2))  # type: ignore[arg-type]
    now, wanted = 0.0, False
    for worked, rested in rounds:
        now += worked + rested
        every.observe(worked, rested, now)
        if worked > 0.1 / 25 or wanted:
            wanted = some.observe(worked, rested, now)
        decided = [(each.control, each.mirrors, each.requests, each._overload.wary) for each in (every, some)]
        assert decided[0] == decided[1]
        assert [sample.value for sample in every.samples()] == [sample.value for sample in some.samples()]


async def test_the_metrics_say_what_is_shed(run: Any) -> None:
    """A gauge for each step, and the share of refused requests."""
    shedding = shedding_of(await run(OK), 0.06)
    values = {(each.name, *each.labels.values()): each.value for each in shedding.samples()}
    assert values == {
        ("mirrorgate_overload_active", "control"): 1,
        ("mirrorgate_overload_active", "mirrors"): 1,
        ("mirrorgate_overload_active", "requests"): 0,
        ("mirrorgate_overload_refused_share",): 0,
        ("mirrorgate_event_loop_lag_standing_seconds",): 0.06,
    }


async def test_the_share_is_of_what_was_asked_since_it_was_told(run: Any) -> None:
    """Refused by those that were refused or admitted; nothing asked is nothing refused."""
    running = await run(OK)
    client = await running.client()
    assert (await client.request("GET", "/")).status == 200
    shedding = shedding_of(running)
    await asyncio.sleep(0.02)  # longer than a round may take, and no round is told of
    for _ in range(3):
        assert (await client.request("GET", "/")).status == 503
    shedding.watch(asyncio.get_running_loop())  # a round begins, whose front is served
    assert not shedding.refuses(Inbound(HEAD))
    shedding.tell()
    shares = [sample.value for sample in shedding.samples() if sample.name == "mirrorgate_overload_refused_share"]
    assert shares == [0.75]
    shedding.tell()
    shares = [sample.value for sample in shedding.samples() if sample.name == "mirrorgate_overload_refused_share"]
    assert shares == [0.0]
    shedding.leave()


async def test_it_is_told_of_once_while_it_lasts(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A line for each step that is worse, not for each change."""
    shedding = shedding_of(await run(OK), 0.06)
    for number in range(1, 10):
        shedding.observe(0.0, 1.0, number)
        late(shedding, 0.06, number + 0.5)
    late(shedding, 0.3, 11)
    told = [record.getMessage() for record in caplog.records if "overloaded" in record.getMessage()]
    assert len(told) == 2
    assert "60 ms; mirrors are dropped" in told[0]
    assert "new requests are refused" in told[1]
