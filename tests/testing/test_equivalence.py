"""Two worlds: what the recorder notes, and that a difference between them is seen."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy.test import tflow

from mirrorgate.testing.equivalence import HOOKS, Case, Recorder, World, different, run_twice, see_the_same


async def one_get(world: World) -> None:
    """Ask once."""
    await world.ask(await world.client(), "GET", "/")


async def test_a_case_runs_in_both_worlds(manifests: Any) -> None:
    """With an addon and a recorder of its own in each."""
    addons: list[object] = []

    def addon() -> object:
        addons.append(object())
        return addons[-1]

    route = manifests.route(f"[{{backendRefs: [{manifests.to_server('server')}]}}]")
    case = Case("a get", one_get, addon=addon)
    theirs, ours = await run_twice(case, lambda port: manifests.snapshot(route, manifests.server("server", port)))
    assert [theirs.addon, ours.addon] == addons
    assert theirs.port != ours.port
    for world in (theirs, ours):
        assert [name for name in world.recorder.names if name in HOOKS] == list(HOOKS[:4])
        assert world.got == [([], 200, "OK", [("x-upstream", "1")], b"hello")]
        assert len(world.backend.requests) == 1


async def test_a_difference_is_seen(manifests: Any) -> None:
    """One that is stated and is none is a failure, and one that is none of the stated kind."""
    same = Case("same", one_get)
    wrong = [Case("hooks", one_get, hooks=("request",)), Case("got", one_get, got=(500,))]
    await see_the_same(same, manifests)
    for case in wrong:
        with pytest.raises(AssertionError):
            await see_the_same(case, manifests)
    assert different({case.name: case for case in (same, *wrong)}) == {"hooks", "got"}


def test_a_recorder_notes_what_there_is_to_see() -> None:
    """At the moment of the hook, not later; and is quiet once every flow and client has come to its end."""
    recorder: Any = Recorder()
    flow = tflow.tflow(resp=True)
    recorder.client_connected(flow.client_conn)
    recorder.request(flow)
    flow.request.method = "PUT"
    recorder.response(flow)
    assert [seen.facts["line"][0] for seen in recorder.seen[1:]] == ["GET", "PUT"]
    assert recorder.names == ["client_connected", "request", "response"]
    assert not recorder.quiet
    recorder.client_disconnected(flow.client_conn)
    assert recorder.quiet
