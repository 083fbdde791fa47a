"""Scorers of the user's: asked in bounds, and a failure costs the guardrail that pair."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.shadow.policy import Scorer
from mirrorgate.shadow.scoring import Answers, Question, Scorers

PAYLOAD = b'{"schema": "mirrorgate.pair/v1", "candidate": {"text": "hi"}}'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's."""
    (tmp_path / "users_scorer.py").write_text(
        "import threading\n"
        "release = threading.Event()\n"
        "def good(pair): return 1.0 if pair['candidate']['text'] == 'hi' else 0.0\n"
        "def none(pair): return None\n"
        "def broken(pair): raise KeyError('x')\n"
        "def wrong(pair): return 'great'\n"
        "def truth(pair): return True\n"
        "def beyond(pair): return 1.5\n"
        "def undefined(pair): return float('nan')\n"
        "def leave(pair): raise SystemExit(1)\n"
        "def hang(pair): release.wait(20)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "users_scorer"
    sys.modules.pop("users_scorer", None)


async def asked(scorer: Scorer, seconds: float = 5.0) -> Answers:
    scorers = Scorers(seconds)
    try:
        return await scorers.ask(Question({"mine": scorer}, PAYLOAD))
    finally:
        await scorers.close()


@pytest.mark.parametrize(("function", "loss"), [("good", -1.0), ("none", 0.0)])
async def test_a_function_scores(module: str, function: str, loss: float) -> None:
    """Its number becomes a difference of losses; what does not apply is a tie."""
    assert await asked(Scorer(entry_point=f"{module}:{function}")) == Answers({"mine": loss}, ())


@pytest.mark.parametrize("function", ["broken", "wrong", "truth", "beyond", "undefined", "leave", "missing"])
async def test_a_function_that_gives_no_number(module: str, function: str) -> None:
    """Exceptions of any kind, and values that are no score."""
    assert await asked(Scorer(entry_point=f"{module}:{function}")) == Answers({}, ("mine",))


async def test_a_module_that_is_not_there() -> None:
    """The import fails with each pair, so that it may be mended."""
    assert await asked(Scorer(entry_point="no_such_module_of_mine:score")) == Answers({}, ("mine",))


async def test_a_function_that_hangs_is_given_up(module: str) -> None:
    """In time; the ones behind it fail as well rather than hold everything up."""
    scorers = Scorers(0.2)
    try:
        async with asyncio.timeout(10):
            for function in ("hang", "good"):
                question = Question({"mine": Scorer(entry_point=f"{module}:{function}")}, PAYLOAD)
                assert (await scorers.ask(question)).failures == ("mine",)
    finally:
        await scorers.close()
        sys.modules[module].release.set()


async def test_an_endpoint_scores(serve: Any, new: Any) -> None:
    """It gets the pair and the guardrail's name, and may answer more than is asked."""
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await new.read_request(reader))
        body = b'{"score": 0.25, "why": "too short"}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await reader.read()

    url = f"http://127.0.0.1:{await serve(handler)}/score?x=1"
    assert await asked(Scorer(url=url)) == Answers({"mine": 0.5}, ())
    head, body = seen[0]
    assert head.startswith(b"POST /score?x=1 HTTP/1.1\r\n")
    assert b"x-mirrorgate-guardrail: mine\r\n" in head.lower()
    assert json.loads(body) == json.loads(PAYLOAD)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 go\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n0.5",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\xff\xff\xff",
        b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"score": "1"}',
        b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b" " * 100_000,
        b"what?\r\n\r\n",
        b"",
    ],
)
async def test_an_endpoint_that_gives_no_number(serve: Any, new: Any, answer: bytes) -> None:
    """Whatever it answers, the pair is settled."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await new.read_request(reader)
        writer.write(answer)
        await writer.drain()

    url = f"http://127.0.0.1:{await serve(handler)}/"
    assert await asked(Scorer(url=url)) == Answers({}, ("mine",))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1/", "http://nobody.invalid/", "gopher://x/"])
async def test_an_address_that_leads_nowhere(url: str) -> None:
    """No scorer is a failed score."""
    assert await asked(Scorer(url=url)) == Answers({}, ("mine",))


async def test_a_slow_endpoint_is_given_up_and_does_not_hold_up_another(serve: Any, new: Any) -> None:
    """Each scorer of a pair has its own time."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await new.read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"score":null}')
        await reader.read()

    scorers = Scorers(0.5)
    question = Question(
        {
            "slow": Scorer(url=f"http://127.0.0.1:{await serve(hang)}/"),
            "quick": Scorer(url=f"http://127.0.0.1:{await serve(good)}/"),
        },
        PAYLOAD,
    )
    async with asyncio.timeout(10):
        assert await scorers.ask(question) == Answers({"quick": 0.0}, ("slow",))
        await scorers.close()


async def test_too_many_that_wait_are_refused_at_once(serve: Any) -> None:
    """The order of pairs is never held up by more than one score's time."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    scorers = Scorers(1.0)
    question = Question({"mine": Scorer(url=f"http://127.0.0.1:{await serve(hang)}/")}, PAYLOAD)
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(scorers.ask(question) for _ in range(400)))
        await scorers.close()
    assert {answer.failures for answer in answers} == {("mine",)}
