"""One conversation with a picker: what it says of a request, and that no answer waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from mirrorgate.routing.table import HeaderChanges
from mirrorgate.sources.endpoint_picker.consulting import Consultation, Picked, Question
from mirrorgate.sources.endpoint_picker.grpc_calls import Broken, Connection, connect
from mirrorgate.sources.endpoint_picker.messages import PATH, Immediate
from mirrorgate.testing.endpoint_picker import FakeEndpointPicker

CHOICE = "10.0.0.1:8000, 10.0.0.2:8000"


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[tuple[FakeEndpointPicker, Connection]]:
    async with FakeEndpointPicker(CHOICE, clear=True) as picker:
        connection = await connect("127.0.0.1", picker.port, encrypted=False)
        try:
            yield picker, connection
        finally:
            connection.close()


def question(orders: str = "", body: bytes = b'{"model": "m"}') -> Question:
    return Question(((b":method", b"POST"), (b"x-picker", orders.encode())), body)


@pytest.mark.parametrize(
    ("orders", "body", "given"),
    [
        ("", b'{"model": "m"}', b'{"model": "m"}'),
        ("whole", b'{"model": "m"}', None),
        ("model=n", b'{"model": "m"}', b'{"model": "n"}'),
        ("early", b'{"model": "m"}', b'{"model": "m"}'),
        ("", b"", None),
        ("", bytes(200_000), bytes(200_000)),
    ],
)
async def test_a_choice_has_endpoints_and_a_body(orders: str, body: bytes, given: bytes | None) -> None:
    """In the picker's order; a body that is not given back stays as it is."""
    async with talking() as (_, connection):
        picked = await Consultation(connection.call(PATH)).ask(question(orders, body))
        assert isinstance(picked, Picked)
        assert picked.endpoints == ("10.0.0.1:8000", "10.0.0.2:8000")
        assert picked.body == given


async def test_an_immediate_answer_ends_the_conversation() -> None:
    """There is nothing more to say."""
    async with talking() as (picker, connection):
        consultation = Consultation(connection.call(PATH))
        answer = await consultation.ask(question("drop=429 body=later"))
        assert isinstance(answer, Immediate)
        assert (answer.status, answer.body, dict(answer.fields)) == (429, b"later", {b"x-dropped": b"saturated"})
        await picker.until(lambda: picker.told[0].over)


async def test_a_broken_call_is_raised() -> None:
    """With the picker's words."""
    async with talking() as (_, connection):
        with pytest.raises(Broken, match="the picker is broken"):
            await Consultation(connection.call(PATH)).ask(question("broken"))


async def test_the_answer_is_told_of() -> None:
    """Head with who served it, body, trailers; the picker's changes to the head come back."""
    async with talking() as (picker, connection):
        consultation = Consultation(connection.call(PATH))
        await consultation.ask(question("answer=x-session-token:t"))
        changes = consultation.answer_head([(b":status", b"200")], "10.0.0.1:8000", ended=False)
        assert changes is not None
        assert ("x-session-token", "t") in (await changes).set
        for number in range(100):
            consultation.answer_pieces([b"%d " % number])
        consultation.answer_end([(b"x-checksum", b"1")])
        consultation.close()
        await picker.until(lambda: picker.told[0].over)
        told = picker.told[0]
        assert told.served == "10.0.0.1:8000"
        assert told.answer == b"".join(b"%d " % number for number in range(100))
        assert told.answer_pieces < 10
        assert told.trailers == {"x-checksum": "1"}


async def test_a_picker_that_says_nothing_of_the_head_is_not_waited_for_long() -> None:
    """The answer goes on as it is, and the miss is remembered."""
    async with talking() as (_, connection):
        consultation = Consultation(connection.call(PATH))
        await consultation.ask(question("deaf"))
        changes = consultation.answer_head([(b":status", b"200")], "10.0.0.1:8000", ended=False)
        assert changes is not None
        assert await changes == HeaderChanges()
        assert consultation.missed_head
        again = Consultation(connection.call(PATH), waits_for_head=False)
        await again.ask(question("deaf"))
        assert again.answer_head([(b":status", b"200")], "10.0.0.1:8000", ended=False) is None


async def test_a_picker_that_does_not_read_is_cut_off() -> None:
    """What waits for it is bounded; then it gets no more of this answer, and other calls go on."""
    async with talking() as (picker, connection):
        call = connection.call(PATH)
        consultation = Consultation(call, waits_for_head=False)
        await consultation.ask(question("deaf"))
        consultation.answer_head([(b":status", b"200")], "10.0.0.1:8000", ended=False)
        most = 0
        for _ in range(64):
            consultation.answer_pieces([bytes(100_000)])
            consultation._send_pieces()
            most = max(most, call.unsent)
        assert consultation.lagged
        assert most <= 256 * 1024 + 1024
        assert call.unsent == 0
        await picker.until(lambda: picker.told[0].over)
        assert isinstance(await Consultation(connection.call(PATH)).ask(question()), Picked)


async def test_an_exchange_that_ends_early_cancels_the_call() -> None:
    """As a client that leaves does."""
    async with talking() as (picker, connection):
        consultation = Consultation(connection.call(PATH), waits_for_head=False)
        await consultation.ask(question())
        consultation.answer_head([(b":status", b"200")], "10.0.0.1:8000", ended=False)
        consultation.close()
        await picker.until(lambda: picker.told[0].over)
        assert not picker.told[0].ended
