"""`mirrorgate replay` as a process: from a live gateway's capture to a verdict's exit code."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from mirrorgate.cli.__main__ import main
from mirrorgate.shadow.journal_reading import Damaged, Record, read
from mirrorgate.testing.gateways import chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, mirror_to, reference
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.faults import Fault
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import Process, free_port

pytestmark = pytest.mark.e2e

USAGE = 2
PROMOTE = 0
HOLD = 10
REJECT = 20


def command(*words: object) -> list[str]:
    """Return the command."""
    return [sys.executable, "-m", "mirrorgate.cli", "replay", *map(str, words)]


async def run(*words: object, timeout: float = 60.0) -> tuple[int, str]:
    """Run to the end; returns the exit code and the output."""
    async with Process(command(*words)) as process:
        code = await process.wait(timeout)
    return code, process.text


def write_flows(path: Path, count: int, padding: int = 0) -> Path:
    """Save exchanges with different prompts, a hundredth of a second apart."""
    flow = tflow.tflow(resp=True)
    flow.request.method, flow.request.path = "POST", "/v1/chat/completions"
    assert flow.response is not None
    message = {"role": "assistant", "content": "hello"}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "padding": "x" * padding}
    flow.response.headers = http.Headers([(b"content-type", b"application/json")])
    flow.response.content = json.dumps(answer).encode()
    with path.open("wb") as stream:
        writer = FlowWriter(stream)
        for n in range(count):
            flow.id = f"id-{n}"
            flow.request.timestamp_start = 1000.0 + n / 100
            flow.request.timestamp_end = flow.request.timestamp_start
            flow.response.timestamp_start = flow.response.timestamp_end = flow.request.timestamp_start + 0.2
            flow.request.headers = http.Headers([(b"host", b"a.test"), (b"content-type", b"application/json")])
            flow.request.content = json.dumps(chat_body(messages=[{"role": "user", "content": f"q {n}"}])).encode()
            writer.add(flow)
    return path


def records(journal: Path) -> list[dict[str, Any]]:
    """Read a journal, which must have no damage."""
    found = list(read([journal]))
    assert not [each for each in found if isinstance(each, Damaged)]
    return [each.value for each in found if isinstance(each, Record)]


async def test_from_a_capture_to_a_verdict(tmp_path: Path) -> None:
    """What the gateway captured is sent again, streamed answers are compared with their times, and nothing behind
    another gateway is mirrored."""
    port = free_port()
    async with FakeModelServer() as primary, FakeModelServer() as candidate:
        route = http_route("a", reference("primary"), mirrors=[mirror_to("candidate")])
        manifests = [*gateway(port), backend("primary", primary.port), backend("candidate", candidate.port), route]
        config = tmp_path / "config.yaml"
        write_manifests(config, manifests)
        capture = tmp_path / "capture.mitm"
        options = {"gateway_capture": str(capture)}
        async with running_gateway(config, port, options=options) as live:
            for n in range(6):
                question = [{"role": "user", "content": f"question {n}"}]
                answer = await live.chat("a.test", messages=question, stream=n % 2 == 0, max_tokens=12)
                assert answer.status == 200
        assert capture.stat().st_size > 0
        mirrored = len(candidate.requests)
        assert mirrored == 6
        async with running_gateway(config, port) as behind:
            code, text = await run(
                capture, "--to", f"http://127.0.0.1:{port}", "--journal", tmp_path / "j", "--concurrency", 4,
                "--header", "host: a.test", "--set-header", "host: a.test", "--html", tmp_path / "r.html",
            )  # fmt: skip
            metrics = await behind.admin.get("/metrics")
        assert code == HOLD, text
        found = records(tmp_path / "j")
        assert [each["outcome"] for each in found] == ["same"] * 6, text
        assert sum(each["primary"]["ttft"] is not None for each in found) == 3
        assert len(candidate.requests) == mirrored
        assert 'reason="already_shadow"' in metrics.body.decode()
        assert (tmp_path / "r.html").stat().st_size > 1000


async def test_a_broken_candidate_is_rejected(tmp_path: Path) -> None:
    """A candidate that fails is rejected by name, with the exit code of live traffic."""
    capture = write_flows(tmp_path / "a.mitm", 400)
    async with FakeModelServer(Behaviour(faults=(Fault.parse("error_status"),))) as candidate:
        found, text = await run(
            capture, "--to", f"http://{candidate.address}", "--journal", tmp_path / "j", "--concurrency", 16
        )  # fmt: skip
    assert found == REJECT, text
    assert "errors" in text


async def test_manifests_as_the_destination(tmp_path: Path) -> None:
    """A configuration's backends answer as the primary, its mirrors as the candidate; unknown hosts are counted."""
    capture = write_flows(tmp_path / "a.mitm", 10)
    async with FakeModelServer() as primary, FakeModelServer() as candidate:
        route = http_route("a", reference("primary"), mirrors=[mirror_to("candidate")])
        manifests = [*gateway(80), backend("primary", primary.port), backend("candidate", candidate.port), route]
        write_manifests(tmp_path / "config.yaml", manifests)
        config = tmp_path / "config.yaml"
        code, text = await run(
            capture, "--to", f"mirror:{config}", "--against", f"route:{config}", "--journal", tmp_path / "j",
            "--concurrency", 4,
        )  # fmt: skip
        assert code == HOLD, text
        assert (len(primary.requests), len(candidate.requests)) == (10, 10)
        assert {each["outcome"] for each in records(tmp_path / "j")} == {"same"}


async def test_an_interrupt_leaves_a_journal_and_a_report_and_can_be_resumed(tmp_path: Path) -> None:
    """SIGINT ends soon, with what is compared; the next run does the rest."""
    capture = write_flows(tmp_path / "a.mitm", 60)
    words = ("--journal", tmp_path / "j", "--concurrency", "2")
    async with FakeModelServer(Behaviour(ttft=0.05)) as server:
        to = ("--to", f"http://{server.address}")
        async with Process(command(capture, *to, *words)) as process:
            await server.received(8)
            process.signal(signal.SIGINT)
            code = await process.wait(30)
        assert code == HOLD, process.text
        assert "interrupted" in process.text
        assert "HOLD" in process.text
        first = records(tmp_path / "j")
        assert 0 < len(first) < 60
        await server.configure(ttft=0.0)
        refused, text = await run(capture, *to, *words)
        assert (refused, "--resume" in text) == (USAGE, True)
        code, text = await run(capture, *to, *words, "--resume")
        assert code == HOLD, text
    assert sorted(each["id"] for each in records(tmp_path / "j")) == sorted(f"id-{n}" for n in range(60))


async def test_a_journal_without_content_says_that_it_cannot_be_replayed(tmp_path: Path) -> None:
    """Instead of an empty success."""
    capture = write_flows(tmp_path / "a.mitm", 3)
    async with FakeModelServer() as server:
        to = ("--to", f"http://{server.address}", "--concurrency", "4")
        await run(capture, *to, "--journal", tmp_path / "none")
        await run(capture, *to, "--journal", tmp_path / "full", "--content", "full")
        code, text = await run(tmp_path / "none", *to, "--journal", tmp_path / "again")
        assert (code, "cannot be replayed" in text) == (1, True), text
        code, text = await run(tmp_path / "full", *to, "--journal", tmp_path / "more")
        assert code == HOLD, text
        assert len(records(tmp_path / "more")) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "nonsense"),
        ("--to", "http://h", "--shard", "3/2"),
        ("--to", "http://h", "--rate", "many"),
        ("--to", "http://h", "--sample", "0"),
        ("--to", "http://h", "--against", "mirror:x"),
        ("--to", "http://h", "--resume"),
        ("--to", "route:/does/not/exist"),
    ],
)
def test_wrong_uses_are_told(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line, and nothing is written."""
    capture = write_flows(tmp_path / "a.mitm", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(capture), *words]) == USAGE
    assert capsys.readouterr().err.startswith("mirrorgate replay: ")
    assert [each.name for each in tmp_path.iterdir()] == ["a.mitm"]


def peak(status: Path) -> int:
    """Return the most memory that a process has held, in KiB; 0 when it is gone."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return max([0, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])


@pytest.mark.slow
@pytest.mark.soak
async def test_the_memory_of_a_large_capture_is_bounded(tmp_path: Path) -> None:
    """A capture of 300 MB takes no more memory than a small one, in the order of its bounds."""
    capture = write_flows(tmp_path / "a.mitm", 3000, padding=100_000)
    assert capture.stat().st_size > 300_000_000
    async with FakeModelServer() as server:
        words = ("--to", f"http://{server.address}", "--journal", tmp_path / "j", "--concurrency", "16")
        async with Process(command(capture, *words)) as process:
            most = 0
            status = Path(f"/proc/{process.pid}/status")
            while process.returncode is None:
                most = max(most, peak(status))
                await asyncio.sleep(0.2)
            code = await process.wait(10)
    assert code in (PROMOTE, HOLD), process.text
    assert len(records(tmp_path / "j")) == 3000
    assert 0 < most < 300_000, f"{most} KiB"
