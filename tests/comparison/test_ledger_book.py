"""Whatever a crash, a rotation or a lost file leaves of a journal, each step counts once or is missed visibly."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.guardrails import Guardrail
from mirrorgate.comparison.ledger import Ledger
from mirrorgate.comparison.ledger_book import LedgerBook, newest_of, verdict_of
from mirrorgate.comparison.steps import Basis, Dropped, Observed, Step, identity_of
from mirrorgate.comparison.verdict import Decision, VerdictPolicy
from mirrorgate.comparison.verdict_document import document_of

BASIS = Basis("m", "replacement", VerdictPolicy((Guardrail("errors", 0.05),), min_pairs=20))


class Writer:
    """A process that keeps a ledger and writes its journal."""

    def __init__(self, id: str = "l", basis: Basis = BASIS) -> None:
        self.ledger = Ledger(id, basis, 0.0)
        self.lines: list[Step] = []
        self.open()

    def open(self) -> None:
        self.lines.append(self.ledger.opened("r", 0.0))

    def pair(self, loss: float = 0.0, at: float | None = None) -> None:
        number = self.ledger.number + 1
        at = float(number) if at is None else at
        step = Observed(
            self.ledger.id,
            self.ledger.epoch,
            number,
            "m",
            number,
            str(number),
            at,
            None,
            "same",
            1.0,
            {"errors": loss},
            {},
        )
        self.ledger.apply(step)
        self.lines.append(step)

    def restart(self, checkpoint: Ledger) -> None:
        """Go on from a checkpoint; what came after it is lost."""
        self.ledger = Ledger.restored(checkpoint.opened("r", 0.0), self.ledger.epoch + 1)
        self.open()

    def copy(self) -> Ledger:
        return Ledger.restored(self.ledger.opened("r", 0.0))


def read(lines: list[Step], **options: object) -> LedgerBook:
    book = LedgerBook(**options)  # type: ignore[arg-type]
    for line in lines:
        book.take(line)
    return book


@given(st.lists(st.sampled_from(["good", "bad", "drop", "rotate", "checkpoint", "crash"]), max_size=60))
def test_the_journal_agrees_with_what_was_live(moves: list[str]) -> None:
    """Through rotations, checkpoints and crashes, to the last digit and without anything missing."""
    writer = Writer()
    checkpoint = writer.copy()
    for move in moves:
        match move:
            case "good" | "bad":
                writer.pair(float(move == "bad"))
            case "drop":
                ledger = writer.ledger
                step = Dropped(ledger.id, ledger.epoch, ledger.number + 1, "m", 1.0, {"queue_full": 2})
                ledger.apply(step)
                writer.lines.append(step)
            case "rotate":
                writer.open()
            case "checkpoint":
                checkpoint = writer.copy()
            case "crash":
                writer.restart(checkpoint)
                checkpoint = writer.copy()
    book = read(writer.lines)
    assert document_of(book.groups()["m"]) == document_of([writer.ledger])
    assert (book.unreadable, book.missing, book.carried) == (0, 0, 0)


def test_a_later_file_alone_holds_everything() -> None:
    """The state at its beginning stands for the files that were deleted; a step before it is in it."""
    writer = Writer()
    for number in range(30):
        writer.pair(float(number == 3))
    step = len(writer.lines)
    writer.pair()
    writer.open()
    writer.pair()
    book = read(writer.lines[step:])
    assert document_of(book.groups()["m"]) == document_of([writer.ledger])
    assert (book.unreadable, book.carried) == (0, 30)


def test_files_in_the_wrong_order_count_once() -> None:
    """Of two processes that share a folder one may have taken up the other's file."""
    writer = Writer()
    for _ in range(10):
        writer.pair()
    half = len(writer.lines)
    writer.open()
    for _ in range(10):
        writer.pair(1.0)
    for lines in (writer.lines[half:] + writer.lines[:half], writer.lines * 2):
        book = read(lines)
        assert document_of(book.groups()["m"]) == document_of([writer.ledger])


def test_lost_lines_are_counted() -> None:
    """The rest is evidence all the same; without any opening nothing can be made of it."""
    writer = Writer()
    for _ in range(10):
        writer.pair()
    book = read(writer.lines[:4] + writer.lines[7:])
    assert (book.missing, book.ledgers["l"].tallies()["errors"].count) == (3, 7)
    book = read(writer.lines[1:])
    assert (book.unreadable, book.ledgers) == (10, {})


def test_replicas_add_up_and_older_bases_are_left_out() -> None:
    """The latest basis of a mirror counts, from all ledgers that have it."""
    old = Writer("old", Basis("m", "equivalence", BASIS.policy))
    old.pair(1.0)
    writers = [Writer("a"), Writer("b")]
    rng = random.Random(5)
    for number in range(2, 200):
        rng.choice(writers).pair(at=float(number))
    lines = [*old.lines, *(line for writer in writers for line in writer.lines)]
    rng.shuffle(lines)
    lines.sort(key=lambda line: getattr(line, "number", 0))
    group = read(lines).groups()["m"]
    assert sorted(ledger.id for ledger in group) == ["a", "b"]
    assert verdict_of(group).decision is Decision.PROMOTE
    assert verdict_of(group).pairs == 198
    assert newest_of(group).updated == 199.0


def test_judging_anew_by_another_policy() -> None:
    """Every step is taken once under the new rules, those that a crash had lost included."""
    writer = Writer()
    writer.pair()
    checkpoint = writer.copy()
    writer.pair(1.0)
    writer.restart(checkpoint)
    writer.pair()
    policy = replace(BASIS.policy, guardrails=(Guardrail("errors", 0.2),))
    book = read(writer.lines, policy=lambda basis: policy)
    (ledger,) = book.groups()["m"]
    tally = ledger.tallies()["errors"]
    assert (ledger.basis.policy, tally.count, tally.total) == (policy, 3, 1.0)


def test_judging_a_span_of_time() -> None:
    """Pairs that arrived before or after it are left out, states of such pairs too."""
    writer = Writer()
    for number in range(10):
        writer.pair(float(number >= 5))
        if number == 7:
            writer.open()
    book = read(writer.lines, since=3.0, until=7.0)
    tally = book.groups()["m"][0].tallies()["errors"]
    assert (tally.count, tally.total, book.missing) == (4, 1.0, 0)


def test_a_damaged_state_is_counted() -> None:
    """And costs its ledger only."""
    writer = Writer()
    writer.pair()
    opened = writer.ledger.opened("r", 0.0)
    opened.state.judge.version = 99
    book = read([opened, *Writer("other").lines])
    assert (book.unreadable, list(book.ledgers)) == (1, ["other"])


def test_records_show_the_worst_pairs() -> None:
    """A record belongs to what it is evidence about, and may stand before the first step of that."""
    writer = Writer()
    writer.pair(1.0)
    leg = {"endpoint": "", "model": None, "status": 0, "outcome": "reset", "broken": "", "ttft": None, "e2e": None}
    record = {
        "mirror": "m",
        "identity": identity_of(BASIS),
        "id": "a",
        "started": 1.0,
        "route": "default/r",
        "outcome": "candidate_failed",
        "similarity": None,
        "summary": "",
        "losses": {"errors": 1.0},
        "request": {},
        "primary": leg,
        "candidate": leg,
    }
    book = LedgerBook(until=2.0)
    for damaged in ({}, {"losses": 3}, {"losses": {"errors": "1"}}, {"similarity": "x"}, {"identity": None}):
        book.show(record | damaged if damaged else {})
    book.show(record)
    book.show(record | {"identity": "other", "id": "b"})
    book.show(record | {"started": 3.0, "id": "c"})
    for line in writer.lines:
        book.take(line)
    assert [pair.id for pair in document_of(book.groups()["m"]).worst] == ["a"]


def test_no_ledger_no_group() -> None:
    """An empty journal has no verdict."""
    assert LedgerBook().groups() == {}
    with pytest.raises(ValueError, match="empty"):
        newest_of([])
