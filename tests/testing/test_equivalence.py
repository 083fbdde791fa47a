"""Two worlds: what the recorder notes, and that a difference between them is seen."""

from __future__ import annotations

from typing import Any

from mitmproxy.test import tflow

from mirrorgate.testing.equivalence import HOOKS, Case, Recorder, World, run_twice


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
