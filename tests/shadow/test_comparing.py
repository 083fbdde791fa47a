"""A pair becomes a comparison, a record and a line, and the content policy holds everywhere."""

import dataclasses
import json
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorgate.comparison.pairs import PairComparison
from mirrorgate.inference.requests import InferenceRequest, parse_request
from mirrorgate.records import Configure, FromShadow, Leg, RestoreVerdicts
from mirrorgate.shadow.answering import Answer, AnswerReader, LegOutcome
from mirrorgate.shadow.comparing import Comparer, NoEvidence
from mirrorgate.shadow.journal_reading import Record, read
from mirrorgate.shadow.judging import Drops, Judged, PairSink, Scored, Settled
from mirrorgate.shadow.pairing import Pair
from mirrorgate.shadow.recording import SCHEMA, RecordParts

SECRET = "zanzibar"
"""Stands in every text of a client or a model; must not be found where no content is stored."""


def answer_of(raw: bytes, at: float = 1.0) -> Answer:
    reader = AnswerReader("POST")
    reader.feed(raw, at)
    assert reader.done
    return reader.answer


def pair_of(new: Any, primary: bytes, candidate: Answer, policy: bytes = b"{}", **finished: Any) -> Pair:
    body = json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": f"where is {SECRET}? mail a@b.org"}],
            "tools": [{"type": "function", "function": {"name": "look_up_" + SECRET, "parameters": {}}}],
        }
    ).encode()
    started = new.started(
        "a", [new.target(8001, policy=policy, model="next")], body=body, path=f"/v1/chat/completions?q={SECRET}"
    )
    return Pair(7, started, new.finished("a", primary, **finished), 0, candidate)


def judged(pair: Pair) -> tuple[Judged, dict[str, Any]]:
    comparer = Comparer(lambda: 1.0)
    result = comparer.judge(pair)
    comparer.close()
    return result, json.loads(result.compared.record)


def test_a_pair_of_completions(new: Any) -> None:
    """Numbers of both legs, the comparison and the line are there."""
    pair = pair_of(new, new.chat("one two three four five six"), answer_of(new.chat("one two three four five seven")))
    result, record = judged(pair)
    assert result.compared.outcome == result.settled.outcome == record["outcome"] == "similar"
    assert record["schema"] == SCHEMA
    assert record["sequence"] == result.settled.sequence == 7
    assert record["summary"] == result.compared.summary
    assert "\n" not in result.compared.summary
    assert record["time"] == "2027-01-15T08:00:00.000+00:00"
    assert (record["mirror"], record["cluster"]) == ("mirror-0", "httproute/default/route/rule/0")
    assert record["request"]["api"] == "chat/completions"
    assert record["request"]["path"] == "/v1/chat/completions"
    primary, candidate = record["primary"], record["candidate"]
    assert (primary["status"], primary["usage"]["completion_tokens"], primary["model"]) == (200, 6, "m")
    assert (candidate["endpoint"], candidate["model"], candidate["outcome"]) == ("127.0.0.1:8001", "next", "complete")
    # The primary's times count from the moment its request was written (0.1).
    assert primary["e2e"] == pytest.approx(0.4)
    assert primary["head"] == pytest.approx(0.3)
    assert record["comparison"]["exact"] is False
    assert record["control"] is None


@pytest.mark.parametrize(
    ("told", "path"), [("", "/v1/chat/completions"), ("", "/else"), ("talk", "/v1/chat/completions")]
)
def test_the_conversation_is_found_in_the_body(new: Any, told: str, path: str) -> None:
    """Where the proxy says that there may be one; its own word counts, and what is no request of a model has none."""
    pair = pair_of(new, new.chat("one"), answer_of(new.chat("one")))
    started = msgspec.structs.replace(pair.started, conversation=told, path=path)
    _, record = judged(dataclasses.replace(pair, started=started))
    request = parse_request("POST", path, None, started.body or b"")
    found = request.conversation if isinstance(request, InferenceRequest) else None
    assert record["conversation"] == (told or found)
    assert bool(found) == (path != "/else")


@pytest.mark.parametrize(
    "answer",
    [
        b'{"choices": [{"index": 0, "message": {"content": "zanzibar", "tool_calls": [{"id": "1", "type": "function", '
        b'"function": {"name": "zanzibar", "arguments": "{\\"zanzibar\\": 1}"}}]}, "finish_reason": "is zanzibar"}]}',
        b'{"error": {"message": "your prompt zanzibar is bad", "type": "zanzibar kind", "code": 400}}',
        b'{"zanzibar": "zanzibar"}',
        b"zanzibar",
    ],
)
def test_without_content_nothing_that_was_said_is_stored(new: Any, answer: bytes) -> None:
    """By default no word of the client or the models is in the record, the line or the score."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Zed: zanzibar\r\nContent-Length: %d\r\n\r\n"
    for status in (b"200", b"400"):
        raw = (head % len(answer)).replace(b"200", status) + answer
        pair = pair_of(new, new.chat(f"it is {SECRET}"), answer_of(raw))
        _, record = judged(pair)
        assert SECRET not in json.dumps(record)
        assert "a@b.org" not in json.dumps(record)
        assert len(record["request"]["hash"]) == 32


def test_full_content_is_stored(new: Any) -> None:
    """Prompt, answers and differences are in the record."""
    policy = b'{"journal": {"content": "full"}}'
    _, record = judged(pair_of(new, new.chat(f"it is {SECRET}"), answer_of(new.chat("who knows")), policy))
    assert record["request"]["body"]["messages"][0]["content"] == f"where is {SECRET}? mail a@b.org"
    assert record["primary"]["choices"][0]["text"] == f"it is {SECRET}"
    assert record["candidate"]["choices"][0]["text"] == "who knows"
    assert "details" in record["comparison"]


def test_redacted_content_is_stored_without_personal_data(new: Any) -> None:
    """Patterns of ours and of the user's are applied to the prompt and the answers."""
    policy = b'{"journal": {"content": "redacted", "redactPatterns": ["zan\\\\w+"]}}'
    _, record = judged(pair_of(new, new.chat("mail c@d.org"), answer_of(new.chat(f"{SECRET}!")), policy))
    assert record["request"]["body"]["messages"][0]["content"] == "where is [REDACTED]? mail [EMAIL]"
    assert record["primary"]["choices"][0]["text"] == "mail [EMAIL]"
    assert record["candidate"]["choices"][0]["text"] == "[REDACTED]!"
    assert SECRET not in json.dumps(record)


def test_a_failure_of_the_candidate(new: Any) -> None:
    """A leg without an answer is a loss of the candidate's, with its outcome in the record."""
    for outcome in (LegOutcome.TIMEOUT, LegOutcome.REFUSED, LegOutcome.RESET):
        answer = Answer(outcome, finished=20.0, detail="why")
        result, record = judged(pair_of(new, new.chat("hi"), answer))
        assert result.compared.outcome == "candidate_failed"
        assert record["candidate"]["outcome"] == outcome.value


def test_a_flood_is_a_failure_and_a_large_answer_is_not_comparable(new: Any) -> None:
    """What never ended is the candidate's fault; what we did not keep is nobody's."""
    flood = AnswerReader("POST", keep=10, discard=100)
    flood.feed(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200, 1.0)
    assert judged(pair_of(new, new.chat("hi"), flood.answer))[0].compared.outcome == "candidate_failed"
    large = AnswerReader("POST", keep=10)
    large.feed(new.chat("hi"), 1.0)
    assert judged(pair_of(new, new.chat("hi"), large.answer))[0].compared.outcome == "not_comparable"


def test_a_clients_leaving_scores_neither(new: Any) -> None:
    """The pair is recorded and says nothing about the candidate."""
    pair = pair_of(new, b"", answer_of(new.chat("hi")), outcome="client_left")
    assert judged(pair)[0].compared.outcome == "not_comparable"


def test_the_control_is_compared_with_the_primary(new: Any) -> None:
    """The noise floor stands beside the comparison."""
    pair = pair_of(new, new.chat("one two"), answer_of(new.chat("three")))
    control = new.target(8002, leg=Leg.CONTROL, cluster="primary")
    pair = Pair(8, pair.started, pair.finished, 0, pair.answer, control, answer_of(new.chat("one two")))
    _, record = judged(pair)
    assert record["control_comparison"]["exact"] is True
    assert record["control"]["endpoint"] == "127.0.0.1:8002"


def test_half_a_surrogate_pair_costs_the_content_only(new: Any) -> None:
    """Content that has no JSON form is left out rather than losing the record."""
    body = b'{"choices": [{"index": 0, "message": {"content": "\\ud800"}, "finish_reason": "stop"}]}'
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    _, record = judged(pair_of(new, raw, answer_of(raw), b'{"journal": {"content": "full"}}'))
    assert record["outcome"] == "same"


def test_a_record_that_is_too_large_is_reported_without_its_content(new: Any, tmp_path: Path) -> None:
    """The journal has everything; the proxy gets the numbers."""
    comparer = Comparer(lambda: 1.0)
    comparer.configure(Configure(str(tmp_path / "j"), 1 << 30, 0, 10))
    text = "word " * 60_000
    pair = pair_of(new, new.chat(text), answer_of(new.chat(text)), b'{"journal": {"content": "full"}}')
    reported = comparer.judge(pair).compared.record
    comparer.close()
    assert len(reported) < 10_000
    (found,) = read([tmp_path / "j"])
    assert isinstance(found, Record)
    assert found.value["primary"]["choices"][0]["text"].startswith("word word")


def test_the_journal_follows_the_options(new: Any, tmp_path: Path) -> None:
    """A changed folder is written from then on; counts go on; none is written without a folder."""
    comparer = Comparer(lambda: 1.0)
    pair = pair_of(new, new.chat("hi"), answer_of(new.chat("hi")))
    comparer.judge(pair)
    for name in ("one", "two", "two"):
        comparer.configure(Configure(str(tmp_path / name), 1 << 30, 0, 10))
        comparer.judge(pair)
    comparer.configure(Configure("", 1 << 30, 0, 10))
    comparer.judge(pair)
    assert comparer.journal_counts() == (3, 0)
    comparer.close()
    assert [len(list(read([tmp_path / name]))) for name in ("one", "two")] == [1, 2]


def test_hashes_agree_within_a_journal_and_not_between_journals(new: Any, tmp_path: Path) -> None:
    """The key lies beside the journal, readable by its owner only, and outlives the process."""
    hashes = []
    for folder in ("one", "one", "two"):
        comparer = Comparer(lambda: 1.0)
        comparer.configure(Configure(str(tmp_path / folder), 1 << 30, 0, 10))
        pair = pair_of(new, new.chat("hi"), answer_of(new.chat("hi")))
        record = json.loads(comparer.judge(pair).compared.record)
        assert record["primary"]["hash"] == record["candidate"]["hash"]
        hashes.append(record["request"]["hash"])
        comparer.close()
    assert hashes[0] == hashes[1] != hashes[2]
    assert stat.S_IMODE((tmp_path / "one" / ".hash-key").stat().st_mode) == 0o600


async def test_a_sink_scores_at_once_and_is_committed_later(new: Any) -> None:
    """What the sink makes of a pair travels with it to the commit, and its losses are in the record."""

    class Counting(NoEvidence):
        def score(self, parts: RecordParts, comparison: PairComparison, control: PairComparison | None) -> Scored:
            return Scored(comparison.similarity, "same thing", {"errors": 0.5}, "what else?")

        def show(self, scored: Scored, record: bytes) -> None:
            fields = json.loads(record)
            seen.append((scored.value, fields["identity"], fields["losses"]))

        async def ask(self, settled: Settled, question: object) -> Settled:
            seen.append(question)
            return settled

        def commit(self, cluster: str, settled: Sequence[Settled]) -> Sequence[FromShadow]:
            seen.extend(each.score for each in settled)
            return ()

        def tick(self, drops: Drops, busy: Collection[str]) -> Sequence[FromShadow]:
            seen.append((drops, busy))
            return ()

        def restore(self, frame: RestoreVerdicts) -> None:
            seen.append(frame)

        def close(self) -> None:
            seen.append("closed")

    seen: list[object] = []
    sink: PairSink = Counting()
    comparer = Comparer(lambda: 1.0, sink)
    comparer.restore(RestoreVerdicts([b"state"]))
    judged = comparer.judge(pair_of(new, new.chat("hi"), answer_of(new.chat("hi"))))
    assert await comparer.ask(judged) is judged.settled
    comparer.commit("mirror-0", [judged.settled])
    comparer.tick({"mirror-0": {"queue_full": 1}}, {"busy"})
    comparer.close()
    assert seen == [
        RestoreVerdicts([b"state"]),
        (1.0, "same thing", {"errors": 0.5}),
        "what else?",
        1.0,
        ({"mirror-0": {"queue_full": 1}}, {"busy"}),
        "closed",
    ]
