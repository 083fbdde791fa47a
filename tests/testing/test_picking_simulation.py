"""The simulation of picks: the same numbers for the same seed, and what it is there to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mirrorgate.testing.picking_simulation import Case, cases, simulate, table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
SMALL = Case(1, 0.5, endpoints=8, requests=600)


def test_the_same_seed_gives_the_same_numbers() -> None:
    """And another one gives others."""
    assert simulate(SMALL) == simulate(SMALL)
    assert simulate(SMALL) != simulate(SMALL, seed=2)


def test_what_was_sent_since_the_scrape_keeps_the_herd_apart() -> None:
    """Without it all requests between two scrapes go to the endpoint that was the emptiest."""
    assert simulate(SMALL).mean < simulate(replace(SMALL, corrected=False)).mean / 4


def test_none_waits_less_than_with_every_queue_in_sight() -> None:
    """It is what the others are held against."""
    assert simulate(replace(SMALL, informed=True)).mean <= simulate(SMALL).mean


def test_the_document_has_a_row_for_every_case() -> None:
    """It is written by `scripts/simulate_picking`."""
    outcome = simulate(replace(SMALL, requests=50))
    written = DOCUMENT.read_text("utf-8")
    for row in table([(case, outcome) for case in cases()]).splitlines():
        assert "|".join(row.split("|")[:4]) in written
