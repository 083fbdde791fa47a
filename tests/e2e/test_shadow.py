"""The promise of a shadow: whatever the candidate or the shadow process does, production does not notice.

Nothing is timed. A test shows the order of events instead: the primary's last byte is with the client while the
candidate still hangs, floods or does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.testing.clients import Answer, request_bytes
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    inference_pool,
    mirror_cluster,
    mirror_to,
    reference,
    shadow_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.received import Ending
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.e2e

LARGE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rig:
    gateway: RunningGateway
    primary: FakeModelServer
    candidate: FakeModelServer

    async def chat(self, **body: Any) -> Answer:
        return await self.gateway.chat("chat.test", **body)

    async def compared(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many comparisons are there."""

        async def there() -> bool:
            return len(await self.gateway.admin.comparisons()) >= count

        await self.gateway.admin.until(there, f"there are not {count} comparisons", timeout=60.0)
        return await self.gateway.admin.comparisons()

    async def counted(self, metric: str, least: float = 1, **labels: str) -> None:
        """Wait until a counter has come to a value."""

        async def there() -> bool:
            return await self.gateway.admin.metric(metric, **labels) >= least

        await self.gateway.admin.until(there, f"{metric} {labels} stays under {least}", timeout=60.0)


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    policy: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    pools: bool = False,
    mirror: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """Run a gateway whose one route is mirrored, to a Backend or to an InferencePool."""
    names = ("production-model", "candidate-model") if pools else ("fake-model", "fake-model")
    async with (
        FakeModelServer(Behaviour(name="primary", models=(names[0],))) as primary,
        FakeModelServer(Behaviour(name="candidate", models=(names[1],))) as candidate,
    ):
        config, port = folder / "gateway.yaml", free_port()
        kind = "InferencePool" if pools else "Backend"
        objects = [
            *gateway(port),
            http_route("chat", reference("primary", kind), mirrors=[mirror_to("candidate", kind, **(mirror or {}))]),
        ]
        for name, server in (("primary", primary), ("candidate", candidate)):
            objects += inference_pool(name, server.port) if pools else [backend(name, server.port)]
        if policy is not None:
            objects.append(shadow_policy("chat", **policy))
        write_manifests(config, objects)
        async with running_gateway(config, port, options=options, environment=environment) as started:
            yield Rig(started, primary, candidate)


async def test_a_shadow_process_that_cannot_start(tmp_path: Path) -> None:
    """The listeners open as soon as that is known, and production is served."""
    program = "import sys\nif 'mirrorgate.shadow' in sys.orig_argv:\n    raise SystemExit(3)\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(program)
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    (tmp_path / "config").mkdir()
    async with running(tmp_path / "config", environment={"PYTHONPATH": os.pathsep.join(paths)}) as rig:
        assert (await rig.chat()).status == 200
        await rig.counted("mirrorgate_shadow_restarts_total", 2)
        before, _ = "\n".join(rig.gateway.process.output).split("gateway listening at", 1)
        assert 1 <= before.count("the shadow process is gone") <= 3


async def test_a_hanging_candidate(tmp_path: Path) -> None:
    """Five answers of production are whole while the candidate has not begun one; later it is compared all the same."""
    async with running(tmp_path) as rig:
        await rig.candidate.configure(faults=["hang_before_headers"])
        for number in range(5):
            answer = await rig.chat(stream=number % 2 == 0)
            assert answer.status == 200
        await rig.candidate.until(lambda: rig.candidate.hanging == 5)
        assert [request.ending for request in rig.primary.requests] == [Ending.COMPLETE] * 5
        assert not await rig.gateway.admin.comparisons()
        rig.candidate.release()
        assert {each["outcome"] for each in await rig.compared(5)} <= {"same", "similar", "different"}


async def test_a_candidate_that_hangs_for_ever_is_cut(tmp_path: Path) -> None:
    """The leg's timeout ends it, and the comparison says whose fault it was."""
    policy = {"candidate": {"timeout": "300ms"}}
    async with running(tmp_path, policy=policy) as rig:
        await rig.candidate.configure(faults=["hang_before_headers"])
        assert (await rig.chat()).status == 200
        (comparison,) = await rig.compared()
        assert comparison["outcome"] == "candidate_failed"
        assert comparison["record"]["candidate"]["outcome"] == "timeout"
        await rig.candidate.until(lambda: rig.candidate.requests[0].ending is Ending.CLIENT_LEFT)


async def test_candidates_that_refuse_break_and_fail(tmp_path: Path) -> None:
    """Production's answers are whole, and each failure is a comparison with its name."""
    failures = {
        "refuse": "refused",
        "reset_before_headers": "reset",
        "garbage": "protocol_error",
        "reset_mid_stream; after=2": "reset",
        "error_status; status=500": "complete",
        "no_done": "complete",
    }
    async with running(tmp_path) as rig:
        for number, (fault, outcome) in enumerate(failures.items(), 1):
            await rig.candidate.configure(faults=[fault])
            answer = await rig.chat(stream=True)
            assert answer.events()[-1] == "[DONE]"
            comparison = (await rig.compared(number))[-1]
            assert comparison["outcome"] == "candidate_failed", fault
            assert comparison["record"]["candidate"]["outcome"] == outcome, fault
        assert [request.ending for request in rig.primary.requests] == [Ending.COMPLETE] * len(failures)


async def test_a_flooding_candidate(tmp_path: Path) -> None:
    """An answer without end is not kept and not read for ever; production's stream ends meanwhile."""
    async with running(tmp_path, policy={"candidate": {"timeout": "20s"}}) as rig:
        await rig.candidate.configure(faults=["flood"])
        streams = await asyncio.gather(*(rig.chat(stream=True) for _ in range(3)))
        assert [answer.events()[-1] for answer in streams] == ["[DONE]"] * 3
        for comparison in await rig.compared(3):
            assert comparison["outcome"] in ("candidate_failed", "not_comparable")
        await rig.candidate.until(lambda: all(each.ending is not Ending.OPEN for each in rig.candidate.requests))


async def test_a_candidate_that_does_not_read(tmp_path: Path) -> None:
    """A large upload goes to production at its own pace, and its answer comes, though the candidate takes nothing."""
    async with running(tmp_path, policy={"candidate": {"timeout": "20s"}}) as rig:
        await rig.candidate.configure(faults=["no_read; path=/"])
        async with await rig.gateway.connect() as client:
            pieces = [bytes(64 * 1024)] * (LARGE // (64 * 1024))
            head = request_bytes("POST", "/v1/files", [("host", "chat.test"), ("content-length", str(LARGE))])
            await client.send(head, *pieces)
            assert (await client.answer("POST")).status == 404
        await rig.primary.until(lambda: rig.primary.requests[0].ending is Ending.COMPLETE)
        assert len(rig.primary.requests[0].body) == LARGE
        # The copy is still held up, or has been given up since it cannot keep pace; it never got through.
        assert [request.body_read for request in rig.candidate.requests] in ([None], [])
        rig.candidate.release()


async def test_a_killed_shadow_process_is_started_again(tmp_path: Path) -> None:
    """A stream that is under way ends whole, requests without a shadow are served, and mirroring comes back."""
    async with running(tmp_path) as rig:
        assert (await rig.chat()).status == 200
        await rig.compared()
        async with await rig.gateway.connect() as client:
            headers = [("host", "chat.test"), ("x-fake-fault", "hang_mid_stream; after=3")]
            await client.send(request_bytes("POST", CHAT, headers, chat_body(stream=True)))
            await rig.primary.until(lambda: rig.primary.hanging == 1)
            killed = rig.gateway.shadow_pid()
            os.kill(killed, signal.SIGKILL)
            assert (await rig.chat()).status == 200
            rig.primary.release()
            assert (await client.answer("POST")).events()[-1] == "[DONE]"
        await rig.counted("mirrorgate_shadow_restarts_total")
        await rig.counted("mirrorgate_shadow_up")
        assert rig.gateway.shadow_pid() != killed
        before = len(await rig.gateway.admin.comparisons())
        assert (await rig.chat()).status == 200
        await rig.compared(before + 1)
        # The legs of the process that is gone are not counted as under way for ever.
        cluster = await rig.gateway.admin.cluster(mirror_cluster("chat"))
        assert [endpoint["in_flight"] for endpoint in cluster["endpoints"]] == [0]


async def test_a_stopped_shadow_process_costs_mirrors_only(tmp_path: Path) -> None:
    """It reads nothing more: what does not fit is dropped and counted, production serves on, and it recovers."""
    options = {"shadow_queue_bytes": "1048576"}
    async with running(tmp_path, options=options) as rig:
        assert (await rig.chat()).status == 200
        await rig.compared()
        stopped = rig.gateway.shadow_pid()
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(40):
                answer = await rig.chat(messages=[{"role": "user", "content": "x" * 100_000}])
                assert answer.status == 200
            await rig.counted("mirrorgate_shadow_dropped_total", 10, at="proxy")
        finally:
            os.kill(stopped, signal.SIGCONT)
        before = len(await rig.compared(2))
        assert (await rig.chat()).status == 200
        await rig.compared(before + 1)


async def test_a_mirror_to_a_pool_with_another_model(tmp_path: Path) -> None:
    """The candidate is asked for its own model; everything else of the body is the client's."""
    policy = {"candidate": {"modelName": "candidate-model"}, "journal": {"content": "full"}}
    journal = tmp_path / "journal"
    async with running(tmp_path, pools=True, policy=policy, options={"shadow_journal": str(journal)}) as rig:
        assert (await rig.chat(model="production-model", user="u1")).status == 200
        (comparison,) = await rig.compared()
        assert comparison["record"]["candidate"]["status"] == 200
        asked = [json.loads(server.requests[-1].body) for server in (rig.primary, rig.candidate)]
        assert [body["model"] for body in asked] == ["production-model", "candidate-model"]
        assert {**asked[0], "model": ""} == {**asked[1], "model": ""}
    lines = [json.loads(line) for line in (journal / "exchanges.jsonl").read_text().splitlines()]
    (record,) = [line for line in lines if line["schema"] == "mirrorgate.exchange/v1"]
    assert record["id"] == comparison["id"]
    assert record["request"]["body"]["messages"][0]["content"] == "introduce yourself"
    assert record["primary"]["choices"][0]["text"]
    assert record["candidate"]["model"] == "candidate-model"


async def test_no_request_is_mirrored_at_zero_percent(tmp_path: Path) -> None:
    """And what was left out on purpose is counted as that."""
    async with running(tmp_path, mirror={"percent": 0}) as rig:
        for _ in range(5):
            assert (await rig.chat()).status == 200
        assert await rig.gateway.admin.metric("mirrorgate_shadow_sent_total") == 0
        assert rig.candidate.requests == []


async def test_a_client_that_leaves_ends_the_candidate_too(tmp_path: Path) -> None:
    """Its leg is cancelled, and neither side is scored."""
    async with running(tmp_path) as rig:
        await rig.candidate.configure(faults=["hang_before_headers"])
        await rig.primary.configure(faults=["hang_before_headers"])
        async with await rig.gateway.connect() as client:
            await client.send(request_bytes("POST", CHAT, [("host", "chat.test")], chat_body()))
            await rig.primary.until(lambda: rig.primary.hanging == 1)
            await rig.candidate.until(lambda: rig.candidate.hanging == 1)
        await rig.candidate.until(lambda: rig.candidate.requests[0].ending is Ending.CLIENT_LEFT)
        await rig.counted("mirrorgate_shadow_legs_total", outcome="cancelled")
        assert [each["outcome"] for each in await rig.gateway.admin.comparisons()] in ([], ["not_comparable"])
