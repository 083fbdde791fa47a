"""Journals to report on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mirrorgate.testing.journals import OTHER_TEXT, JournalMaker


@pytest.fixture
def mixed(tmp_path: Path) -> JournalMaker:
    """Return a journal of 400 pairs in which the candidate errs, differs and is slow now and then."""
    journal = JournalMaker(tmp_path / "journal" / "exchanges.jsonl")
    rng = random.Random(7)
    for _ in range(400):
        draw = rng.random()
        ttft = rng.lognormvariate(-1.6, 0.35)
        control = rng.random() < 0.1
        slow = {"ttft_slo": 1.0} if ttft > 0.3 else {}
        if draw < 0.03:
            journal.pair({"errors": 1.0}, similarity=None, outcome="candidate_failed", status=503, control=control)
        elif draw < 0.3:
            alike = rng.uniform(0.3, 0.95)
            journal.pair(slow, candidate=OTHER_TEXT, similarity=alike, outcome="different", ttft=ttft, control=control)
        else:
            journal.pair(slow, ttft=ttft, control=control)
    journal.drop(token_budget=40, queue_full=3)
    return journal
