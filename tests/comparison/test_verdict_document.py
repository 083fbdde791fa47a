"""The document has what tools and people look for, and the documentation names it."""

import math
from pathlib import Path

import msgspec

from mirrorgate.comparison.guardrails import DEFAULT_MARGINS, Guardrail, GuardrailName
from mirrorgate.comparison.ledger import Ledger
from mirrorgate.comparison.steps import Basis, Dropped, Observed
from mirrorgate.comparison.verdict import Standing, VerdictPolicy
from mirrorgate.comparison.verdict_document import CoverageView, VerdictDocument, document_of
from mirrorgate.comparison.worst_pairs import PairSide, WorstPair
from mirrorgate.resources.shadow_policy import GUARDRAILS

BASIS = Basis("m", "replacement", VerdictPolicy((Guardrail("errors", 0.05), Guardrail("refusal", 0.05)), min_pairs=20))


def ledger_of(pairs: int, loss: float = 0.0, id: str = "l", conversation: str | None = None) -> Ledger:
    ledger = Ledger(id, BASIS, 100.0)
    for number in range(1, pairs + 1):
        losses = {"errors": loss, "refusal": 0.0}
        latencies = {"primary": (None, None, 1.0), "candidate": (None, None, 2.0)}
        ledger.apply(
            Observed(id, 0, number, "m", number, "x", 100.0 + number, conversation, "same", 1.0, losses, latencies)
        )
    return ledger


def test_a_promoted_candidate() -> None:
    """One number for each decision, so that a tool needs no words."""
    document = document_of([ledger_of(200)])
    assert (document.verdict, document.promote, document.hold, document.reject) == ("PROMOTE", 1, 0, 0)
    assert (document.pairs, document.pairs_needed, document.since, document.updated) == (200, 0, 100.0, 300.0)
    assert (document.promote_at, document.reject_at) == (math.log(100.0), math.log(40.0))
    assert all(standing.log_ni >= document.promote_at for standing in document.standings)
    assert document.latencies["candidate"]["e2e"].count == 200
    assert document.latencies["control"]["ttft"].p50 is None


def test_replicas_share_a_document() -> None:
    """Counts add up, drops by reason too."""
    ledgers = [ledger_of(60, id="a"), ledger_of(60, id="b")]
    ledgers[0].apply(Dropped("a", 0, 61, "m", 1.0, {"queue_full": 30}))
    document = document_of(ledgers)
    assert (document.pairs, document.outcomes, document.ledgers) == (120, {"same": 120}, ["a", "b"])
    assert document.coverage == CoverageView(0.8, 0.5, 120, 0, 30, {"queue_full": 30})


def test_open_conversations_explain_why_nothing_counts_yet() -> None:
    """The first minute of a gateway has pairs, but none that is an observation."""
    document = document_of([ledger_of(10, conversation="talk")])
    assert (document.pairs, document.open_conversations) == (0, 1)
    assert document.reason == "1 conversations are open; each counts once, 60 s after its first turn"


def test_the_documentation_names_every_field() -> None:
    """A field that is added is added to docs/verdict.md."""
    text = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text()
    names = {
        field
        for kind in (VerdictDocument, CoverageView, WorstPair, PairSide)
        for field in msgspec.structs.asdict(_blank(kind))
    }
    names |= set(Standing.__dataclass_fields__) | set(GuardrailName)
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def _blank(kind: type[msgspec.Struct]) -> msgspec.Struct:
    return kind(*([None] * len(kind.__struct_fields__)))


def test_the_resource_model_knows_the_guardrails() -> None:
    """What a policy may name is what is judged."""
    assert set(GuardrailName) == GUARDRAILS == set(DEFAULT_MARGINS)
