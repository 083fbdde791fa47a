"""The live verdicts: told in time, journalled step by step, and never the worse for a restart."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorgate.comparison.ledger_book import LedgerBook
from mirrorgate.comparison.steps import Opened, decode_step
from mirrorgate.comparison.verdict_document import document_of
from mirrorgate.records import Configure, FromShadow, Leg, RestoreVerdicts, VerdictChanged
from mirrorgate.shadow.answering import Answer, AnswerReader, LegOutcome
from mirrorgate.shadow.comparing import Comparer
from mirrorgate.shadow.journal_reading import Record, StepLine, read
from mirrorgate.shadow.judging import Settled
from mirrorgate.shadow.pairing import Pair
from mirrorgate.shadow.verdicts import VerdictSink

MIRROR = "mirror-0"
STARTED = 1_800_000_000.0
QUICK = b'{"conversationWindow": "0s", "minPairs": 5, "journal": {"content": "full"}}'


class Process:
    """One life of the shadow process, as far as it judges, with clocks that stand still."""

    def __init__(self, new: Any, journal: Path | None = None, *, file: int = 1 << 30, run: str = "run") -> None:
        self.new = new
        self.unix = STARTED
        self.clock = 100.0
        self.sink = VerdictSink(lambda: self.unix, lambda: self.clock, run)
        self.comparer = Comparer(lambda: self.unix, self.sink, run)
        self.sequence = 0
        self.told: list[VerdictChanged] = []
        self.configure(journal, file)

    def configure(self, journal: Path | None, file: int = 1 << 30) -> None:
        self.comparer.configure(Configure("" if journal is None else str(journal), file, 0, 10))

    def judge(
        self,
        answer: Answer | None = None,
        *,
        policy: bytes = QUICK,
        subject: bytes = b"",
        control: str | None = None,
        left: bool = False,
        **started: Any,
    ) -> Settled:
        """Judge a pair in which production says hello, to a client that may have `left`."""
        self.sequence += 1
        new = self.new
        frame = new.started(
            f"{self.sequence:04}",
            [new.target(1, policy=policy, subject=subject)],
            **({"started": STARTED + self.sequence} | started),
        )
        again = None if control is None else answer_of(new, control)
        target = None if control is None else new.target(2, leg=Leg.CONTROL, cluster="primary")
        pair = Pair(
            self.sequence,
            frame,
            new.finished(frame.id, new.chat("hello"), outcome="client_left" if left else "complete"),
            0,
            answer or answer_of(new, "hello"),
            target,
            again,
        )
        return self.comparer.judge(pair).settled

    def commit(self, *settled: Settled) -> list[VerdictChanged]:
        return self._keep(self.comparer.commit(MIRROR, settled))

    def pair(self, answer: Answer | None = None, **more: Any) -> list[VerdictChanged]:
        return self.commit(self.judge(answer, **more))

    def tick(self, drops: dict[str, dict[str, int]] | None = None, busy: Sequence[str] = ()) -> list[VerdictChanged]:
        return self._keep(self.comparer.tick(drops or {}, busy))

    def later(self, seconds: float = 1.0) -> list[VerdictChanged]:
        """Let time pass, and tick."""
        self.clock += seconds
        self.unix += seconds
        return self.tick()

    def _keep(self, messages: Sequence[FromShadow]) -> list[VerdictChanged]:
        found = [message for message in messages if isinstance(message, VerdictChanged)]
        assert len(found) == len(messages)
        self.told += found
        return found

    def document(self) -> dict[str, Any]:
        """Return what is known now, whether it was told or not."""
        document: dict[str, Any] = json.loads(
            msgspec.json.encode(document_of([self.sink._candidates[MIRROR].ledger]))  # the live ledger itself
        )
        return document

    def close(self) -> None:
        self.comparer.close()


def answer_of(new: Any, text: str) -> Answer:
    reader = AnswerReader("POST")
    reader.feed(new.chat(text), 1.0)
    return reader.answer


def failed() -> Answer:
    return Answer(LegOutcome.TIMEOUT, finished=20.0)


def offline(journal: Path) -> tuple[dict[str, Any], LedgerBook]:
    """Return what the journal comes to."""
    book = LedgerBook()
    for line in read([journal]):
        if isinstance(line, StepLine):
            book.take(line.step)
        else:
            assert isinstance(line, Record), line
            book.show(line.value)
    return json.loads(msgspec.json.encode(document_of(book.groups()[MIRROR]))), book


def pairs_of(document: dict[str, Any]) -> int:
    return int(document["coverage"]["compared"])


@pytest.fixture
def process(new: Any) -> Iterator[Callable[..., Process]]:
    """Start processes that are closed with the test."""
    started: list[Process] = []

    def start(*arguments: Any, **more: Any) -> Process:
        started.append(Process(new, *arguments, **more))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_the_proxy_is_told_once_a_second_and_at_once_of_a_decision(process: Any) -> None:
    """The first pair is news, the next ones wait, a rejection does not."""
    live = process()
    (first,) = live.pair()
    assert json.loads(first.document)["verdict"] == "HOLD"
    assert live.pair() == live.pair() == []
    assert live.tick() == []
    (second,) = live.later()
    assert pairs_of(json.loads(second.document)) == 3
    assert live.later() == []
    live.pair(failed())
    decided: list[VerdictChanged] = []
    while not decided:
        decided = live.pair(failed())
    document = json.loads(decided[0].document)
    assert (document["verdict"], document["guardrail"], document["reject"]) == ("REJECT", "errors", 1)
    assert decided[0].cluster == MIRROR
    assert live.pair(failed()) == []


def test_the_worst_pairs_are_shown_with_the_content_that_the_policy_keeps(process: Any, new: Any) -> None:
    """Failures first; without content only numbers."""
    for policy, prompt in ((QUICK, "hello"), (b'{"conversationWindow": "0s"}', None)):
        live = process()
        live.pair(answer_of(new, "goodbye then"), policy=policy)
        live.pair(failed(), policy=policy)
        live.pair(policy=policy)
        worst = live.document()["worst"]
        assert [(pair["kind"], pair["prompt"]) for pair in worst] == [("errors", prompt), ("different", prompt)]
        assert (worst[1]["candidate"]["spans"] is None) == (prompt is None)


def test_a_client_that_leaves_and_a_control(process: Any, new: Any) -> None:
    """Neither side is scored; the excess over the primary's own noise is."""
    policy = b'{"conversationWindow": "0s", "mode": "equivalence", "control": {"percent": 50}}'
    live = process()
    live.pair(answer_of(new, "hullo"), policy=policy, control="hello")
    live.pair(answer_of(new, "hullo"), policy=policy)
    live.pair(Answer(LegOutcome.CANCELLED, finished=1.0), policy=policy, left=True)
    document = live.document()
    standings = {standing["name"]: standing for standing in document["standings"]}
    assert (standings["errors"]["pairs"], standings["divergence"]["pairs"]) == (2, 1)
    assert 0 < standings["divergence"]["mean"] < 1
    assert document["coverage"]["unscored"] == 1
    assert document["latencies"]["control"]["e2e"]["count"] == 1


def test_drops_lower_the_coverage(process: Any) -> None:
    """Those before the first pair too, when nothing is known of what is compared yet."""
    live = process()
    assert live.tick({MIRROR: {"no_endpoints": 2}, "other": {"queue_full": 1}}) == []
    live.pair()
    live.tick({MIRROR: {"queue_full": 1, "nothing": 0}})
    coverage = live.document()["coverage"]
    assert (coverage["share"], coverage["dropped"]) == (0.25, 3)
    assert coverage["reasons"] == {"no_endpoints": 2, "queue_full": 1}


def test_a_leg_that_we_cut_is_no_client_that_left(process: Any) -> None:
    """A candidate that takes no uploads, or was under way at the end, was not compared: that lowers the coverage."""
    live = process()
    live.pair()
    live.pair(Answer(LegOutcome.CANCELLED, finished=1.0))
    document = live.document()
    coverage = document["coverage"]
    assert (coverage["compared"], coverage["unscored"], coverage["dropped"]) == (1, 0, 1)
    assert coverage["reasons"] == {"cut": 1}
    assert document["pairs"] == 1


def test_conversations_are_closed_when_nothing_is_under_way(process: Any) -> None:
    """Once their time and that of late arrivals is over, and not while a pair may still come."""
    live = process()
    live.pair(policy=b"{}", conversation="talk")
    assert live.document()["open_conversations"] == 1
    assert live.document()["pairs"] == 0
    live.unix += 65.9
    live.tick()
    assert live.document()["pairs"] == 0
    live.unix += 0.2
    live.tick(busy=[MIRROR])
    assert live.document()["pairs"] == 0
    live.tick()
    assert (live.document()["pairs"], live.document()["open_conversations"]) == (1, 0)


def test_what_is_compared_changes(process: Any) -> None:
    """Evidence starts anew, and exchanges of the former comparison that end late do not turn it back."""
    live = process()
    for _ in range(3):
        live.pair(subject=b'{"candidate": "old"}')
    late = live.judge(subject=b'{"candidate": "old"}')
    live.pair(failed(), subject=b'{"candidate": "new"}')
    before = live.document()
    live.commit(late)
    live.pair(subject=b'{"candidate": "new"}')
    document = live.document()
    assert (pairs_of(before), pairs_of(document)) == (1, 2)
    assert document["subject"] == {"candidate": "new"}
    assert [pair["kind"] for pair in document["worst"]] == ["errors"]
    live.pair(subject=b'{"candidate": "old"}')
    assert pairs_of(live.document()) == 1


def test_without_a_journal_the_proxy_keeps_the_state(process: Any) -> None:
    """A process that is started in place of another goes on to the last digit, in a life of its own."""
    straight, first = process(), process()
    for number in range(12):
        for each in (straight, first):
            each.pair(failed() if number == 5 else None, conversation="talk" if number % 2 else None, policy=b"{}")
    (message,) = first.later()
    second = process(run="second")
    second.comparer.restore(RestoreVerdicts([b"garbage", message.state]))
    second.sequence = 12
    (told,) = second.tick()
    assert pairs_of(json.loads(told.document)) == 12
    for each in (straight, second):
        each.pair(policy=b"{}")
    assert second.document() | {"ledgers": 0} == straight.document() | {"ledgers": 0}
    before, after = decode_step(message.state), decode_step(told.state)
    assert isinstance(before, Opened)
    assert isinstance(after, Opened)
    assert (after.ledger, after.epoch > before.epoch) == (before.ledger, True)


def test_a_state_that_is_older_than_what_is_known_is_ignored(process: Any) -> None:
    """Restoring twice changes nothing."""
    live = process()
    (message,) = live.pair()
    live.pair()
    live.comparer.restore(RestoreVerdicts([message.state]))
    assert pairs_of(live.document()) == 2


def test_with_a_journal_the_next_process_goes_on(process: Any, tmp_path: Path) -> None:
    """From the checkpoint in its folder, whose state the proxy need not keep."""
    first = process(tmp_path)
    for _ in range(5):
        first.pair()
    first.later()
    first.pair()
    first.close()
    assert first.told[-1].state == b""
    second = process(tmp_path, run="second")
    second.sequence = 6
    second.pair(failed())
    second.close()
    document, book = offline(tmp_path)
    assert document == second.document()
    assert pairs_of(document) == 7
    assert (book.unreadable, book.missing, book.carried) == (0, 0, 0)


def test_a_crash_loses_what_came_after_the_checkpoint_everywhere(process: Any, tmp_path: Path) -> None:
    """Live and in the report alike; no pair counts twice."""
    first = process(tmp_path)
    first.pair()
    first.later()
    while first.sink._checkpoint.busy:
        pass
    for _ in range(4):
        first.pair()
    # The process is gone: its locks are let go of, and nothing else happens.
    first.sink._checkpoint.close()
    first.sink._checkpoint = None
    first.comparer._journal._close()
    second = process(tmp_path, run="second")
    for _ in range(2):
        second.pair()
    assert pairs_of(second.document()) == 3
    document, _ = offline(tmp_path)
    assert document == second.document()


def test_the_journal_agrees_through_everything(process: Any, tmp_path: Path) -> None:
    """Small files, drops, conversations, restarts, in any mixture; and its last file alone is enough."""
    rng = random.Random(11)
    live = process(tmp_path, file=20_000)
    for number in range(150):
        live.sequence = number
        live.unix += 0.001
        live.pair(
            failed() if rng.random() < 0.2 else None,
            conversation=rng.choice([None, "a", "b"]),
            policy=b'{"conversationWindow": "5s", "slo": {"e2e": "100ms"}}',
        )
        if rng.random() < 0.1:
            live.tick({MIRROR: {"max_parallel": 1}})
        if rng.random() < 0.1:
            live.later(rng.random() * 3)
        if rng.random() < 0.03:
            live.close()
            unix = live.unix
            live = process(tmp_path, file=20_000, run=str(number))
            live.unix = unix
    live.comparer._journal.wait_for_compression()
    document, book = offline(tmp_path)
    assert len(list(tmp_path.glob("exchanges-*"))) > 5
    assert document == live.document()
    assert (book.unreadable, book.missing, book.carried) == (0, 0, 0)
    for old in tmp_path.glob("exchanges-*"):
        old.unlink()
    document, book = offline(tmp_path)
    assert document == live.document()
    assert book.carried > 100


def test_a_disk_that_fails_costs_lines_and_not_evidence(process: Any, tmp_path: Path) -> None:
    """When it works again the state is written, and the report agrees."""
    live = process(tmp_path)
    live.pair()
    journal = live.comparer._journal
    write, journal._write = journal._write, _full_disk
    for _ in range(3):
        live.pair(failed())
    journal._write = write
    live.pair()
    document, book = offline(tmp_path)
    assert document == live.document() | {"worst": document["worst"]}
    assert (book.missing, book.carried) == (0, 3)


def _full_disk(descriptor: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_a_checkpoint_that_cannot_be_written_is_kept_by_the_proxy(process: Any, tmp_path: Path) -> None:
    """A folder without room is as none."""
    (tmp_path / ".verdicts.tmp").mkdir()
    live = process(tmp_path)
    live.pair()
    live.later()
    while live.sink._checkpoint.busy:
        pass
    (message,) = live.pair()
    assert message.state


def test_another_folder_gets_the_whole_state(process: Any, tmp_path: Path) -> None:
    """The option changes while the gateway runs, and each journal agrees with the time when it was written."""
    live = process(tmp_path / "one")
    live.pair()
    live.configure(tmp_path / "two")
    live.pair()
    document, book = offline(tmp_path / "two")
    assert document == live.document()
    assert book.carried == 1
    assert pairs_of(offline(tmp_path / "one")[0]) == 1


async def test_scorers_are_asked_before_the_pair_is_committed(
    process: Any, new: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score becomes a difference, a failure is counted, a failed answer is a tie."""
    (tmp_path / "sinks_scorer.py").write_text(
        "def score(pair):\n    assert pair['primary']['text'] == 'hello' and pair['request']['model'] == 'm'\n"
        "    return {'fine': 1.0, 'bad': 0.0}[pair['candidate']['text']]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    policy = json.dumps(
        {
            "conversationWindow": "0s",
            "guardrails": [{"name": "mine", "scorer": {"entryPoint": "sinks_scorer:score"}, "margin": 0.4}],
        }
    ).encode()
    live = process(tmp_path / "journal")
    for answer in (answer_of(new, "fine"), answer_of(new, "bad"), answer_of(new, "other"), failed()):
        live.sequence += 1
        frame = new.started(str(live.sequence), [new.target(1, policy=policy)])
        judged = live.comparer.judge(Pair(live.sequence, frame, new.finished(frame.id, new.chat("hello")), 0, answer))
        assert (judged.question is None) == (answer.outcome is LegOutcome.TIMEOUT)
        live.commit(judged.settled if judged.question is None else await live.comparer.ask(judged))
    await live.comparer.stop()
    document = live.document()
    mine = next(standing for standing in document["standings"] if standing["name"] == "mine")
    assert (mine["pairs"], mine["mean"], mine["margin"]) == (3, 0.0, 0.4)
    assert document["scorer_failures"] == {"mine": 1}
    assert document["quality"]
    assert offline(tmp_path / "journal")[0] == document


def test_memory_is_bounded(process: Any, new: Any) -> None:
    """Of more candidates than anybody has, the one without news for longest gives way."""
    live = process()
    for number in range(300):
        frame = new.started(str(number), [new.target(1, cluster=f"m{number}")], started=STARTED + number)
        pair = Pair(1, frame, new.finished(frame.id, new.chat("hello")), 0, failed())
        live.comparer.commit(f"m{number}", [live.comparer.judge(pair).settled])
    assert len(live.sink._candidates) == 256
    assert "m299" in live.sink._candidates
    assert "m0" not in live.sink._candidates
