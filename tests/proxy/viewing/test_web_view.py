"""The addon for mitmweb and the console: verdicts on flows, legs as flows, bounds, and what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from mitmproxy import http
from mitmproxy.addons.view import View

from mirrorgate.proxy.viewing.commands import Commands
from mirrorgate.proxy.viewing.flow_pairs import LEG, NUMBERS, SHADOWS
from mirrorgate.proxy.viewing.web_view import WebView
from mirrorgate.records import Compared, Leg, LegContent
from mirrorgate.testing.backends import answering, response_bytes
from mirrorgate.wiring.options import OPTIONS

ANSWER = response_bytes(200, b"data: one\n\n", ("content-type", "text/event-stream"), chunked=True)


class Declaring:
    """Declares the gateway's options, as its addon does."""

    def load(self, loader: Any) -> None:
        for option in OPTIONS:
            loader.add_option(option.name, option.type, option.default, option.help)


class Stage:
    """A gateway with a view, our addon on it, and one flow that has been answered."""

    def __init__(self, running: Any, view: View, web: WebView, paused: list[bool]) -> None:
        self.running, self.view, self.web, self.paused = running, view, web, paused

    async def flow(self) -> http.HTTPFlow:
        client = await self.running.client()
        assert (await client.request("POST", "/v1/chat/completions", [("host", "h")], {"model": "now"})).status == 200
        await self.running.done(len(self.running.gateway.done) or 1)
        return self.view.resolve("@all")[-1]

    def command(self, name: str, *arguments: str) -> Any:
        return self.running.gateway.context.master.commands.call_strings(name, list(arguments))


@pytest.fixture
async def stage(run: Any) -> AsyncIterator[Stage]:
    """Start it; mitmproxy's view comes before our addon, as in mitmweb."""
    view = View()
    running = await run(answering(ANSWER), Declaring(), view)
    paused: list[bool] = []
    with running.gateway.context:
        plane = running.gateway.plane
        web = WebView(view, plane, lambda mirror: None)
        running.gateway.manager.add(web, Commands(plane, paused.append, web))
        yield Stage(running, view, web, paused)


def compared(flow: http.HTTPFlow, outcome: str = "similar", cluster: str = "m") -> Compared:
    """Return a comparison's result."""
    record = msgspec.json.encode({"outcome": outcome, "similarity": 0.5, "summary": "so so"})
    return Compared(flow.id, cluster, outcome, 0.5, f"candidate {outcome}", record)


def content(flow: http.HTTPFlow, leg: Leg = Leg.CANDIDATE) -> LegContent:
    """Return a leg's answer."""
    return LegContent(
        flow.id, leg, "m", "ref", "127.0.0.1:1", "POST", "/v1/chat/completions", "next", [(b"host", b"h")], "complete",
        "", 200, [], b"two", False, 0.0, 0.1, 0.2,
    )  # fmt: skip


async def test_a_streamed_answer_is_kept_where_somebody_looks(stage: Stage) -> None:
    """Up to a bound, so that mitmweb can show what the client got."""
    flow = await stage.flow()
    assert flow.response is not None
    assert flow.response.raw_content == b"data: one\n\n"


async def test_a_long_stream_is_not_kept(stage: Stage) -> None:
    """It streams as if nobody looked, and its content is missing."""
    stage.running.gateway.plane.keep_streamed = 5
    flow = await stage.flow()
    assert flow.response is not None
    assert flow.response.raw_content is None


async def test_a_comparison_marks_the_primary(stage: Stage) -> None:
    """Two mirrors leave two comments; a mark that a person has set stays."""
    flow = await stage.flow()
    stage.web.compared(compared(flow))
    stage.web.compared(compared(flow, "different", "m2"))
    assert flow.comment == "candidate similar; candidate different"
    assert flow.marked == ":warning:"
    assert set(flow.metadata[NUMBERS]) == {"m", "m2"}
    flow.marked = ":tada:"
    stage.web.compared(compared(flow))
    assert flow.marked == ":tada:"


async def test_legs_are_added_for_flows_that_are_in_the_view(stage: Stage) -> None:
    """Behind their primary; news of a flow that is gone change nothing."""
    flow = await stage.flow()
    stage.web.compared(compared(flow))
    for leg in (Leg.CANDIDATE, Leg.CONTROL):
        stage.web.content(content(flow, leg))
    assert [held.metadata.get(LEG) for held in stage.view] == [None, "candidate", "control"]
    assert len(flow.metadata[SHADOWS]) == 2
    stage.view.remove([flow])
    stage.web.compared(compared(flow))
    stage.web.content(content(flow))
    assert stage.view.store_count() == 2


async def test_options_take_effect_at_once(stage: Stage) -> None:
    """Bounds shrink the view; where no leg is to be shown, none is asked for."""
    for _ in range(6):
        await stage.flow()
    options = stage.running.gateway.context.options
    assert stage.web.content_limit > 0
    options.update(view_flows=3, shadow_flows=0)
    assert stage.view.store_count() <= 3
    assert stage.web.content_limit == 0


async def test_commands_from_a_prompt(stage: Stage) -> None:
    """As mitmproxy's console calls them: by text, with flows by their specification."""
    flow = await stage.flow()
    stage.web.compared(compared(flow))
    stage.web.content(content(flow))
    assert "Mirrorgate: primary and candidate" in stage.command("mirrorgate.compare", "@focus")
    assert "outcome: forwarded by default/route rule 0" in stage.command("mirrorgate.explain", "@focus")
    assert stage.command("mirrorgate.mirror.pause") == "mirroring is paused"
    assert stage.command("mirrorgate.mirror.resume") == "mirroring goes on"
    assert stage.paused == [True, False]
    status = stage.command("mirrorgate.breaker.status", "httproute/default/route/rule/0")
    assert status == "httproute/default/route/rule/0: parallel 0 of 1024, pending 0 of 1024, connections 1 of 1024"


def test_names_fit_mitmwebs_route() -> None:
    """Letters and dots only: its pattern takes nothing else."""
    names = [
        getattr(getattr(Commands, attribute), "command_name", "")
        for attribute in dir(Commands)
        if hasattr(getattr(Commands, attribute), "command_name")
    ]
    assert len(names) >= 8
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz.") for name in names)
