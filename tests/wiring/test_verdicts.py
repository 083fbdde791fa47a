"""What the proxy knows of the verdicts, and what it tells the shadow process."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mirrorgate.comparison.ledger import Ledger
from mirrorgate.comparison.steps import Observed
from mirrorgate.comparison.verdict import Decision
from mirrorgate.comparison.verdict_document import document_of
from mirrorgate.events import MirrorDropped, MirrorDropReason, MirrorSent
from mirrorgate.legs import policy_bytes, subject_bytes
from mirrorgate.records import Compared, Leg, MirrorsDropped, RestoreVerdicts, ShadowDropped, ToShadow, VerdictChanged
from mirrorgate.resources.shadow_policy import GUARDRAILS, Candidate, ShadowPolicySpec
from mirrorgate.routing.table import Destination, DestinationKind, Mirror, Rule
from mirrorgate.shadow.basis import judging_of
from mirrorgate.telemetry.names import SPECS
from mirrorgate.wiring.verdicts import Verdicts

DESTINATION = Destination(DestinationKind.SERVICE, "default", "candidate", 80, ())


POLICY = ShadowPolicySpec.model_validate(
    {
        "minPairs": 20,
        "conversationWindow": "0s",
        "guardrails": [{"name": "errors", "margin": 0.05}]
        + [{"name": name, "enabled": False} for name in sorted(GUARDRAILS - {"errors"})],
    }
)


def rule(*clusters: str, policy: ShadowPolicySpec = POLICY) -> Rule:
    mirrors = tuple(Mirror(number, cluster, DESTINATION, 1.0, policy) for number, cluster in enumerate(clusters))
    return Rule(("default", "r"), 0, None, "c", mirrors=mirrors)


def changed(cluster: str, losses: list[float], state: bytes = b"") -> VerdictChanged:
    """Return what the shadow process says after pairs with these losses."""
    declared = rule(cluster)
    subject = subject_bytes(declared, declared.mirrors[0])
    ledger = Ledger("l", judging_of(cluster, policy_bytes(POLICY), subject).basis, 0.0)
    for number, loss in enumerate(losses, 1):
        ledger.apply(Observed("l", 0, number, cluster, number, "x", 1.0, None, "same", 1.0, {"errors": loss}, {}))
    return VerdictChanged(cluster, msgspec.json.encode(document_of([ledger])), state)


GOOD, BAD, EARLY = [0.0] * 200, [1.0] * 30, [0.0] * 3


class Bench:
    """Verdicts about two mirrors, and what was sent; `up` says whether the shadow process takes frames."""

    def __init__(self, *clusters: str) -> None:
        self.sent: list[ToShadow] = []
        self.up = True
        self.verdicts = Verdicts(self._send)
        self.verdicts.adopt([rule(*clusters)])

    def _send(self, frame: ToShadow) -> bool:
        if self.up:
            self.sent.append(frame)
        return self.up

    def overall(self) -> tuple[str, str]:
        view: Any = json.loads(msgspec.json.encode(self.verdicts.view()))
        return view["verdict"], view["reason"]

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value for sample in self.verdicts.samples() if sample.name == name
        }


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (None, None, Decision.HOLD),
        (GOOD, None, Decision.HOLD),
        (GOOD, EARLY, Decision.HOLD),
        (GOOD, GOOD, Decision.PROMOTE),
        (GOOD, BAD, Decision.REJECT),
        (BAD, EARLY, Decision.REJECT),
    ],
)
def test_the_verdict_over_all(one: list[float] | None, two: list[float] | None, expected: Decision) -> None:
    """One rejected candidate rejects, and all must be promoted; the reason names whom it is about."""
    bench = Bench("one", "two")
    for cluster, losses in (("one", one), ("two", two)):
        if losses is not None:
            bench.verdicts.take(changed(cluster, losses))
    verdict, reason = bench.overall()
    assert verdict == expected
    assert reason.startswith(("one: ", "two: ", "all 2 candidates: "))
    assert bench.verdicts.decision("") == (expected, reason)


def test_without_mirrors_there_is_nothing_to_promote() -> None:
    """An empty configuration is never a PROMOTE."""
    assert Bench().overall() == ("HOLD", "the configuration has no mirror")


def test_one_document() -> None:
    """As the shadow process wrote it; before that, what a tool looks for is there."""
    bench = Bench("one")
    early: Any = bench.verdicts.document("one")
    assert (early["verdict"], early["promote"], early["hold"], early["reject"]) == ("HOLD", 0, 1, 0)
    assert bench.verdicts.decision("one") == (Decision.HOLD, "no pair has been compared yet")
    message = changed("one", BAD)
    bench.verdicts.take(message)
    assert msgspec.json.encode(bench.verdicts.document("one")) == message.document
    found = bench.verdicts.decision("one")
    assert found is not None
    assert found[0] is Decision.REJECT
    assert bench.verdicts.document("two") is bench.verdicts.decision("two") is None


def test_a_changed_decision_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A rejection as a warning; a document that cannot be read is a bug and changes nothing."""
    bench = Bench("one")
    caplog.set_level("INFO", "mirrorgate")
    for losses in (EARLY, GOOD, GOOD, BAD, BAD):
        bench.verdicts.take(changed("one", losses))
    lines = [(record.levelname, record.getMessage()[:27]) for record in caplog.records]
    assert lines == [("INFO", "verdict of one: PROMOTE: wi"), ("WARNING", "verdict of one: REJECT: err")]
    bench.verdicts.take(VerdictChanged("one", b"{}", b""))
    assert bench.overall()[0] == "REJECT"


def test_what_left_the_configuration_is_forgotten() -> None:
    """Its verdict, its state, and what comes late of it."""
    bench = Bench("one", "two")
    bench.verdicts.take(changed("two", BAD, b"state"))
    bench.verdicts.adopt([rule("one")])
    bench.verdicts.take(changed("two", BAD, b"state"))
    assert bench.overall()[0] == "HOLD"
    assert bench.verdicts.greeting() == []


def test_a_verdict_about_the_former_candidate_is_none_about_the_next() -> None:
    """It is gone as soon as another comparison is declared, and what comes late of it is not taken."""
    bench = Bench("one")
    bench.verdicts.take(changed("one", GOOD, b"state"))
    bench.verdicts.adopt([rule("one")])
    assert bench.overall()[0] == "PROMOTE"
    other = POLICY.model_copy(update={"candidate": Candidate(model_name="next")})
    bench.verdicts.adopt([rule("one", policy=other)])
    assert bench.overall() == ("HOLD", "no pair has been compared yet")
    bench.verdicts.take(changed("one", GOOD, b"state"))
    assert bench.overall()[0] == "HOLD"
    assert bench.verdicts.greeting() == []


def test_a_new_process_is_told_what_the_old_one_kept_nowhere() -> None:
    """The states of those that have one."""
    bench = Bench("one", "two")
    assert bench.verdicts.greeting() == []
    bench.verdicts.take(changed("one", GOOD, b"old"))
    bench.verdicts.take(changed("one", GOOD, b"state"))
    bench.verdicts.take(changed("two", GOOD))
    assert bench.verdicts.greeting() == [RestoreVerdicts([b"state"])]


def test_gauges() -> None:
    """Every sample is in the table with its labels; the state that holds is 1, and only that one."""
    bench = Bench("one", "two")
    bench.verdicts.take(changed("one", GOOD))
    for sample in bench.verdicts.samples():
        assert set(SPECS[sample.name].labels) == set(sample.labels)
    states = bench.samples("mirrorgate_verdict")
    assert {state for (cluster, state), value in states.items() if value and cluster == "one"} == {"PROMOTE"}
    assert {state for (cluster, state), value in states.items() if value and cluster == "two"} == {"HOLD"}
    assert bench.samples("mirrorgate_log_evidence")["one", "errors", "promote"] > 4.6
    assert bench.samples("mirrorgate_guardrail_diff")["one", "errors"] == 0.0
    assert bench.samples("mirrorgate_pairs_needed") == {("one",): 0.0}
    bench.verdicts.take(changed("one", [0.0, 1.0]))
    assert bench.samples("mirrorgate_pairs_needed") == {("one",): float("inf")}


async def told(bench: Bench, ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110 - the timer under test is the event loop's own
            await asyncio.sleep(0.01)


async def test_what_never_reached_the_shadow_process_is_told_to_it() -> None:
    """Added up, once it is there to hear it; what was left out on purpose is no loss."""
    bench = Bench("one")
    bench.up = False
    for reason in MirrorDropReason:
        bench.verdicts.handle(MirrorDropped("a", "one", reason))
    bench.verdicts.handle(MirrorDropped("a", "gone", MirrorDropReason.QUEUE_FULL))
    bench.verdicts.handle(MirrorDropped("b", "one", MirrorDropReason.QUEUE_FULL))
    await asyncio.sleep(1.1)
    bench.up = True
    await told(bench, lambda: bool(bench.sent))
    reasons = {"queue_full": 2, "no_endpoints": 1, "process_down": 1, "body_too_large": 1, "overload": 1}
    assert bench.sent == [MirrorsDropped({"one": reasons})]
    bench.verdicts.close()


async def test_what_died_with_the_process_is_counted() -> None:
    """What it had reported is not; a control is no mirror of its own."""
    bench = Bench("one")
    for id in "abcd":
        bench.verdicts.handle(MirrorSent(id, "one", "127.0.0.1:1"))
    bench.verdicts.handle(Compared("a", "one", "same", 1.0, "", b""))
    bench.verdicts.handle(ShadowDropped("b", "one", Leg.CANDIDATE, "127.0.0.1:1", "unfinished"))
    bench.verdicts.handle(ShadowDropped("c", "one", Leg.CONTROL, "127.0.0.1:1", "unfinished"))
    bench.verdicts.process_gone()
    bench.verdicts.process_gone()
    await told(bench, lambda: bool(bench.sent))
    assert bench.sent == [MirrorsDropped({"one": {"process_died": 2}})]
    bench.verdicts.close()
    bench.verdicts.close()
