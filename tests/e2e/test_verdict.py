"""From requests of clients to a verdict that survives restarts and that the journal comes to as well."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorgate.comparison.ledger_book import LedgerBook
from mirrorgate.comparison.verdict_document import document_of
from mirrorgate.shadow.journal_reading import Record, StepLine, read
from mirrorgate.testing.clients import Client
from mirrorgate.testing.gateways import CHAT, RunningGateway, chat_body, running_gateway, write_manifests
from mirrorgate.testing.manifests import (
    backend,
    gateway,
    http_route,
    mirror_cluster,
    mirror_to,
    reference,
    rule_cluster,
    shadow_policy,
    traffic_policy,
)
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import free_port

pytestmark = pytest.mark.e2e

MIRROR = mirror_cluster("chat")
EASY = {"minPairs": 20, "guardrails": [{"name": "errors", "margin": 0.1}, {"name": "broken_streams", "margin": 0.1}]}
"""Wide margins, so that a healthy candidate is promoted soon."""
EASY["guardrails"] += [
    {"name": name, "margin": 0.1}
    for name in ("truncation", "refusal", "emptiness", "repetition", "tool_calls", "json_schema")
]


@dataclass(slots=True)
class Rig:
    gateway: RunningGateway
    primary: FakeModelServer
    candidate: FakeModelServer
    asked: int = 0

    async def chat(self, count: int, **body: Any) -> None:
        """Ask different questions over one connection."""
        async with await self.gateway.connect() as client:
            for _ in range(count):
                self.asked += 1
                answer = await self._ask(client, **body)
                assert answer == 200

    async def _ask(self, client: Client, **body: Any) -> int:
        messages = [{"role": "user", "content": f"tell me about the number {self.asked}"}]
        answer = await client.request("POST", CHAT, [("host", "chat.test")], chat_body(messages=messages, **body))
        return answer.status

    async def document(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.gateway.admin.page(f"/verdict?cluster={MIRROR}")
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the verdict's document is as it should be, and return it."""
        latest: dict[str, Any] = {}

        async def there() -> bool:
            latest.clear()
            latest.update(await self.document())
            return holds(latest)

        await self.gateway.admin.until(there, lambda: f"{what}: {json.dumps(latest)[:2000]}", timeout=30.0)
        return latest

    async def compared(self, count: int) -> dict[str, Any]:
        return await self.until(
            lambda document: "coverage" in document and document["coverage"]["compared"] >= count,
            f"there are not {count} pairs",
        )


@contextlib.asynccontextmanager
async def servers(**candidate: Any) -> AsyncIterator[tuple[FakeModelServer, FakeModelServer]]:
    async with (
        FakeModelServer(Behaviour(name="primary")) as primary,
        FakeModelServer(Behaviour(name="candidate", **candidate)) as other,
    ):
        yield primary, other


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    primary: FakeModelServer,
    candidate: FakeModelServer,
    *,
    policy: Mapping[str, Any] | None = None,
    traffic: Mapping[str, Any] | None = None,
    journal: Path | None = None,
) -> AsyncIterator[Rig]:
    config, port = folder / "gateway.yaml", free_port()
    objects = [
        *gateway(port),
        http_route("chat", reference("primary"), mirrors=[mirror_to("candidate")]),
        backend("primary", primary.port),
        backend("candidate", candidate.port),
        shadow_policy("chat", conversationWindow="0s", **(policy or {})),
    ]
    if traffic is not None:
        objects.append(traffic_policy("chat", **traffic))
    write_manifests(config, objects)
    options = {} if journal is None else {"shadow_journal": str(journal)}
    async with running_gateway(config, port, options=options) as started:
        yield Rig(started, primary, candidate)


def shadow_pid(gateway: RunningGateway) -> int:
    """Return the shadow process: the gateway's one child."""
    threads = Path(f"/proc/{gateway.process.pid}/task").glob("*/children")
    children = [pid for thread in threads for pid in thread.read_text().split()]
    (found,) = [int(pid) for pid in children if b"mirrorgate.shadow" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def offline(journal: Path) -> dict[str, Any]:
    """Return what the journal comes to, as JSON."""
    book = LedgerBook()
    for line in read([journal]):
        if isinstance(line, StepLine):
            book.take(line.step)
        else:
            assert isinstance(line, Record)
            book.show(line.value)
    assert (book.unreadable, book.missing, book.carried) == (0, 0, 0)
    document: dict[str, Any] = json.loads(msgspec.json.encode(document_of(book.groups()[MIRROR])))
    return document


async def test_a_broken_candidate_is_rejected_and_the_guardrail_named(tmp_path: Path) -> None:
    """A limit of tokens that is too low shows as truncation, everywhere a person or a tool looks."""
    policy = {"journal": {"content": "full"}}
    async with (
        servers(defects=frozenset({Defect.CLAMPED_MAX_TOKENS})) as (primary, candidate),
        running(tmp_path, primary, candidate, policy=policy) as rig,
    ):
        before = await rig.document()
        assert (before["verdict"], before["hold"], before["reason"]) == ("HOLD", 1, "no pair has been compared yet")
        await rig.chat(80)
        document = await rig.until(lambda found: found["verdict"] == "REJECT", "it is not rejected")
        assert (document["guardrail"], document["reject"], document["promote"]) == ("truncation", 1, 0)
        assert document["reason"].startswith("truncation: the candidate is worse by ")
        standing = next(each for each in document["standings"] if each["name"] == "truncation")
        assert standing["failed"]
        assert standing["mean"] > standing["margin"]
        worst = document["worst"][0]
        assert worst["kind"] == "truncation"
        assert worst["prompt"].startswith("tell me about the number")
        assert any(differs for _, differs in worst["primary"]["spans"])
        assert document["latencies"]["candidate"]["e2e"]["count"] > 0
        whole = await rig.gateway.admin.page("/verdict")
        assert (whole["verdict"], [each["cluster"] for each in whole["shadows"]]) == ("REJECT", [MIRROR])
        assert (await rig.gateway.admin.get(f"/verdict/reject?cluster={MIRROR}")).status == 200
        assert (await rig.gateway.admin.get("/verdict/promote")).status == 409
        metric = rig.gateway.admin.metric
        assert await metric("mirrorgate_verdict", cluster=MIRROR, state="REJECT") == 1
        assert await metric("mirrorgate_verdict", cluster=MIRROR) == 1
        evidence = await metric("mirrorgate_log_evidence", guardrail="truncation", side="reject")
        assert evidence >= document["reject_at"]
        await rig.gateway.process.printed(f"verdict of {MIRROR}: REJECT: truncation")


async def test_a_healthy_candidate_is_promoted(tmp_path: Path) -> None:
    """With wide margins it takes a hundred pairs; until then the pairs that are still needed grow fewer."""
    async with servers() as (primary, candidate), running(tmp_path, primary, candidate, policy=EASY) as rig:
        await rig.chat(25)
        early = await rig.compared(25)
        assert early["verdict"] == "HOLD"
        assert 0 < early["pairs_needed"] < 200
        assert early["outcomes"] == {"same": 25}
        await rig.chat(75)
        document = await rig.until(lambda found: found["verdict"] == "PROMOTE", "it is not promoted")
        assert "operationally safe to promote; quality was not scored" in document["reason"]
        assert (await rig.gateway.admin.get("/verdict/promote")).status == 200
        assert document["coverage"]["share"] == 1.0


async def test_a_killed_shadow_process_goes_on_where_it_was(tmp_path: Path) -> None:
    """Without a journal the gateway's memory holds what was known; no pair counts twice."""
    async with servers() as (primary, candidate), running(tmp_path, primary, candidate) as rig:
        await rig.chat(30)
        before = await rig.compared(30)
        os.kill(shadow_pid(rig.gateway), signal.SIGKILL)

        async def back() -> bool:
            return (
                await rig.gateway.admin.metric("mirrorgate_shadow_restarts_total") == 1
                and await rig.gateway.admin.metric("mirrorgate_shadow_up") == 1
            )

        await rig.gateway.admin.until(back, "the shadow process does not come back", timeout=30.0)
        await rig.chat(10)
        after = await rig.compared(40)
        assert after["coverage"]["compared"] == 40
        assert after["ledgers"] == before["ledgers"]
        assert after["since"] == before["since"]
        assert [each["pairs"] for each in after["standings"]] == [40] * len(after["standings"])


async def test_a_restarted_gateway_goes_on_and_the_journal_agrees(tmp_path: Path) -> None:
    """The totals of two lives of the gateway are those of the journal, to the last digit."""
    journal = tmp_path / "journal"
    policy = {"journal": {"content": "full"}, "slo": {"e2e": "1ms", "ttft": "1ms"}}
    defects = frozenset({Defect.QUANTISATION_NOISE, Defect.FLAKY_5XX})
    async with servers(defects=defects) as (primary, candidate):
        for count in (40, 90):
            async with running(tmp_path, primary, candidate, policy=policy, journal=journal) as rig:
                await rig.chat(25, user="somebody")
                await rig.chat(15 if count == 40 else 25, stream=True)
                live = await rig.compared(count)
                assert live["coverage"]["compared"] == count
            assert offline(journal) == live
    assert {path.name for path in journal.iterdir()} == {
        "exchanges.jsonl",
        ".hash-key",
        ".verdicts.json",
        ".verdicts.lock",
    }
    assert (journal / ".verdicts.json").stat().st_mode & 0o777 == 0o600


async def test_another_policy_starts_anew(tmp_path: Path) -> None:
    """Evidence for one margin says nothing about another; what content is kept changes nothing."""
    async with servers() as (primary, candidate), running(tmp_path, primary, candidate) as rig:
        await rig.chat(12)
        before = await rig.compared(12)
        config = rig.gateway.config
        text = config.read_text()
        generation = await rig.gateway.admin.generation()

        async def changed(spec: str) -> None:
            nonlocal generation
            config.write_text(text.replace('"spec": {\n  "targetRefs"', f'"spec": {{ {spec}\n  "targetRefs"'))
            generation += 1

            async def applied() -> bool:
                return await rig.gateway.admin.generation() == generation

            await rig.gateway.admin.until(applied, "the configuration is not applied")

        await changed('"journal": {"content": "full"},')
        await rig.chat(3)
        same = await rig.compared(15)
        assert same["identity"] == before["identity"]
        await changed('"guardrails": [{"name": "errors", "margin": 0.2}],')
        assert (await rig.document())["reason"] == "no pair has been compared yet"
        await rig.chat(4)
        new = await rig.compared(4)
        assert new["identity"] != before["identity"]
        assert new["coverage"]["compared"] == 4
        assert next(each["margin"] for each in new["standings"] if each["name"] == "errors") == 0.2


async def test_the_control_arm_judges_the_excess_over_the_primarys_own_noise(tmp_path: Path) -> None:
    """A candidate that says other things is rejected for it; the primary asked again says the same."""
    policy = {"mode": "equivalence", "control": {"percent": 100}}
    async with (
        servers(personality="another") as (primary, candidate),
        running(tmp_path, primary, candidate, policy=policy) as rig,
    ):
        await rig.chat(60)
        document = await rig.until(lambda found: found["verdict"] == "REJECT", "it is not rejected")
        assert document["guardrail"] == "divergence"
        assert document["latencies"]["control"]["e2e"]["count"] > 0
        assert len(primary.requests) > 60
        assert len(await candidate.received(60)) == 60


async def test_a_busy_pool_gets_no_control(tmp_path: Path) -> None:
    """At half of its limits or with a queue the primary is asked once only."""
    policy = {"mode": "equivalence", "control": {"percent": 100}}
    for limits in (
        {"maxParallelRequests": 2, "maxConnections": 1024},
        {"maxParallelRequests": 1024, "maxConnections": 2},
    ):
        async with (
            servers() as (primary, candidate),
            running(tmp_path, primary, candidate, policy=policy, traffic={"circuitBreaker": limits}) as rig,
        ):
            async with await rig.gateway.connect() as client:
                await primary.configure(faults=["hang_before_headers; times=1"])
                await client.send(_request())
                await primary.until(lambda primary=primary: primary.hanging == 1)  # type: ignore[misc]
                # The pool was idle when this one came, so that it has a control; the next five have none.
                await rig.chat(5)

                async def compared(rig: Rig = rig) -> bool:
                    return len(await rig.gateway.admin.comparisons()) == 5

                # The evidence waits for the one that came first, the comparisons do not.
                await rig.gateway.admin.until(compared, "there are no five comparisons")
                assert len(primary.requests) == 7
                primary.release()
                assert (await client.answer("POST")).status == 200
            await rig.chat(1)
            await primary.received(9)
            assert (await rig.gateway.admin.used(rule_cluster("chat")))["parallel"] == 0


def _request() -> bytes:
    body = json.dumps(chat_body()).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: chat.test\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body
