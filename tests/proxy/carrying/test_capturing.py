"""The capture of a gateway: whole flows, streamed answers included, and nothing waits for the disk."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from mirrorgate.proxy.carrying.capture_file import CaptureFile
from mirrorgate.proxy.carrying.capturing import KEY, Capture
from mirrorgate.replay.captured import Captured
from mirrorgate.replay.flow_source import read_flows
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, chat_body
from mirrorgate.testing.in_loop import GatewayInLoop, until
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer


def flows_of(path: Path) -> list[http.HTTPFlow]:
    """Read a capture with mitmproxy's own reader."""
    with path.open("rb") as stream:
        return [flow for flow in FlowReader(stream).stream() if isinstance(flow, http.HTTPFlow)]


class SlowFile(CaptureFile):
    """A file on a disk that does not answer until it is let go, and then may be full."""

    def __init__(self, path: Path, *, full: bool = False) -> None:
        super().__init__(str(path), lambda: 0.0)
        self.go = threading.Event()
        self.full = full

    def append(self, record: bytes) -> None:
        self.go.wait(10.0)
        if self.full:
            raise OSError(28, "No space left on device")
        super().append(record)


async def ask(gateway: GatewayInLoop, **body: Any) -> None:
    """Ask for one chat completion."""
    async with await Client.connect(gateway.port) as client:
        answer = await client.request("POST", CHAT, [("host", "a.test")], chat_body(**body))
        assert answer.status == 200


@pytest.fixture
def snapshot_to(manifests: Any) -> Callable[[int], Any]:
    """Return a configuration that leads to one server."""
    return lambda port: manifests.snapshot(
        manifests.server("s", port), manifests.route(f"[{{backendRefs: [{manifests.to_server('s')}]}}]")
    )


async def test_a_streamed_answer_is_captured_with_its_times(tmp_path: Path, snapshot_to: Any) -> None:
    """An unmodified mitmproxy reads it, replay gets its pieces, and the live flow keeps no body."""
    kept: list[http.HTTPFlow] = []

    class Watcher:
        def response(self, flow: http.HTTPFlow) -> None:
            kept.append(flow)

    slow = Behaviour(ttft=0.02, itl=0.005)
    async with FakeModelServer(slow) as server, GatewayInLoop(snapshot_to(server.port), Watcher()) as gateway:
        capture = gateway.plane.capture = Capture(str(tmp_path / "a.mitm"))
        await ask(gateway, stream=True, max_tokens=8)
        await ask(gateway)
        await gateway.settled()
    capture.close(5.0)
    assert capture.counts["written"] == 2
    assert capture.held == 0
    streamed, whole = flows_of(tmp_path / "a.mitm")
    assert streamed.response is not None
    assert streamed.response.content is not None
    assert streamed.response.content.endswith(b"data: [DONE]\n\n")
    assert kept[0].response is not None
    assert kept[0].response.raw_content is None
    assert KEY not in kept[0].metadata
    assert whole.response is not None
    assert b"choices" in (whole.response.content or b"")
    with (tmp_path / "a.mitm").open("rb") as stream:
        first, second = read_flows(stream)
    assert isinstance(first, Captured)
    assert isinstance(second, Captured)
    answer = first.answer
    assert answer is not None
    assert len(answer.chunks) == len(answer.times) > 4
    assert answer.times == sorted(answer.times)
    assert answer.times[-1] - answer.times[0] > 0.02
    assert answer.outcome == "complete"
    assert 0 < answer.upstream_started <= answer.head_at <= answer.times[0] + 0.005
    assert first.endpoint == server.address


async def test_a_streamed_upload_is_captured(tmp_path: Path, snapshot_to: Any) -> None:
    """A request that streamed past every addon can be sent again."""

    class Streamer:
        def requestheaders(self, flow: http.HTTPFlow) -> None:
            flow.request.stream = True

    async with FakeModelServer() as server, GatewayInLoop(snapshot_to(server.port), Streamer()) as gateway:
        capture = gateway.plane.capture = Capture(str(tmp_path / "a.mitm"))
        await ask(gateway)
        await gateway.settled()
    capture.close(5.0)
    [flow] = flows_of(tmp_path / "a.mitm")
    assert b"introduce yourself" in (flow.request.content or b"")


async def test_a_disk_that_hangs_holds_nothing_up(tmp_path: Path, snapshot_to: Any) -> None:
    """Requests go on, memory is bounded, and what finds no room is dropped and counted."""
    file = SlowFile(tmp_path / "a.mitm")
    async with FakeModelServer() as server, GatewayInLoop(snapshot_to(server.port)) as gateway:
        capture = gateway.plane.capture = Capture("a", room=40_000, open_file=lambda _: file)
        for _ in range(20):
            async with asyncio.timeout(5.0):
                await ask(gateway)
        await gateway.settled()
        assert capture.counts["no_room"] > 0
        assert capture.held <= 40_000
        file.go.set()
        await until(lambda: capture.held == 0)
    capture.close(5.0)
    assert capture.counts["written"] == len(flows_of(tmp_path / "a.mitm"))
    assert sum(capture.counts.values()) == 20


async def test_a_full_disk_costs_flows_only(tmp_path: Path, snapshot_to: Any, caplog: Any) -> None:
    """The process goes on, the loss is counted and said once."""
    file = SlowFile(tmp_path / "a.mitm", full=True)
    file.go.set()
    async with FakeModelServer() as server, GatewayInLoop(snapshot_to(server.port)) as gateway:
        capture = gateway.plane.capture = Capture("a", open_file=lambda _: file)
        for _ in range(3):
            await ask(gateway)
        await until(lambda: capture.counts["disk"] == 3)
    capture.close(5.0)
    assert caplog.text.count("cannot be written") == 1


async def test_a_body_that_is_too_large_is_left_out(tmp_path: Path, snapshot_to: Any) -> None:
    """The flow is there, its answer is not, and that is counted."""
    async with FakeModelServer() as server, GatewayInLoop(snapshot_to(server.port)) as gateway:
        capture = gateway.plane.capture = Capture(str(tmp_path / "a.mitm"), room=9_000)
        await ask(gateway, stream=True, max_tokens=200)
        await gateway.settled()
    capture.close(5.0)
    [flow] = flows_of(tmp_path / "a.mitm")
    assert flow.response is not None
    assert flow.response.raw_content is None
    assert flow.metadata[KEY]["answer_left_out"] is True
    assert capture.cut_bodies == 1


async def test_metadata_that_cannot_be_saved_costs_its_flow_only(tmp_path: Path, snapshot_to: Any) -> None:
    """Another addon may put anything there."""

    class Careless:
        def response(self, flow: http.HTTPFlow) -> None:
            flow.metadata["it"] = object()

    async with FakeModelServer() as server, GatewayInLoop(snapshot_to(server.port), Careless()) as gateway:
        capture = gateway.plane.capture = Capture(str(tmp_path / "a.mitm"))
        await ask(gateway)
        await gateway.settled()
    capture.close(5.0)
    assert capture.counts["unwritable"] == 1
