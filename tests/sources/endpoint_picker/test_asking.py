"""Asking pickers: where, over which connection, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mirrorgate.resources.endpoints import Address
from mirrorgate.routing.table import EndpointPicker
from mirrorgate.sources.endpoint_picker.asking import Asked, Failed, PickerClient
from mirrorgate.sources.endpoint_picker.consulting import Question
from mirrorgate.testing.endpoint_picker import FakeEndpointPicker
from mirrorgate.testing.processes import free_port


def at(*ports: int, fault: str = "") -> EndpointPicker:
    addresses = tuple(Address("127.0.0.1", port) for port in ports)
    return EndpointPicker("Service default/epp:9002", addresses, False, encrypted=False, fault=fault)


def question(orders: str = "") -> Question:
    return Question(((b":method", b"GET"), (b"x-picker", orders.encode())), b"")


@contextlib.asynccontextmanager
async def client(timeout: float = 10.0) -> AsyncIterator[PickerClient]:
    asking = PickerClient(timeout)
    try:
        yield asking
    finally:
        asking.close()


async def choice(asking: PickerClient, picker: EndpointPicker) -> tuple[str, ...]:
    asked = await asking.ask(picker, question())
    assert isinstance(asked, Asked), asked
    asking.finished(picker, asked.consultation)
    return asked.result.endpoints  # type: ignore[union-attr]


async def test_connections_are_kept_and_shared() -> None:
    """One after another and at once, one connection does."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        where = at(picker.port)
        assert await choice(asking, where) == ("1.2.3.4:5",)
        await asyncio.gather(*(choice(asking, where) for _ in range(30)))
        assert len({told.peer for told in picker.told}) == 1


async def test_many_at_once_make_one_connection() -> None:
    """Also when there is none yet."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        await asyncio.gather(*(choice(asking, at(picker.port)) for _ in range(30)))
        assert len({told.peer for told in picker.told}) == 1


@pytest.mark.parametrize("most", [1, 4])
async def test_a_burst_beyond_what_a_connection_takes_fails_nothing(most: int) -> None:
    """A picker that takes few calls at a time gets as many connections as the burst needs, and no more later."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True, most_calls=most) as picker, client() as asking:
        where = at(picker.port)
        for _ in range(2):
            held = await asyncio.gather(*(asking.ask(where, question()) for _ in range(12)))
            assert all(isinstance(each, Asked) for each in held), held
            assert len({told.peer for told in picker.told}) == 12 // most
            for each in held:
                assert isinstance(each, Asked)
                asking.finished(where, each.consultation)


async def test_a_picker_that_takes_no_calls_is_not_reached() -> None:
    """And no connection to it is kept: of requests without end each made another."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True, most_calls=0) as picker, client() as asking:
        for _ in range(3):
            failed = await asking.ask(at(picker.port), question())
            assert isinstance(failed, Failed)
            assert failed.result == "unreachable"
            assert "takes no calls" in failed.message
        assert asking.connections == 0


async def test_a_dead_connection_is_replaced() -> None:
    """The request that finds out does not suffer for it."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        await choice(asking, at(picker.port))
        await picker.stop()
        await picker.start()
        assert await choice(asking, at(picker.port)) == ("1.2.3.4:5",)


async def test_the_next_address_is_asked() -> None:
    """When one is not reached; without any, the question has failed."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        assert await choice(asking, at(free_port(), picker.port)) == ("1.2.3.4:5",)
        for where, said in ((at(free_port()), "refused"), (at(), "no ready"), (at(fault="is absent"), "absent")):
            failed = await asking.ask(where, question())
            assert isinstance(failed, Failed)
            assert failed.result == "unreachable"
            assert said in failed.message or "Connect call failed" in failed.message
        assert asking.results["Service default/epp:9002", "unreachable"] == 3


async def test_an_error_is_nobody_elses_turn() -> None:
    """A picker that was reached and fails has had its say."""
    async with (
        FakeEndpointPicker("1.2.3.4:5", clear=True) as first,
        FakeEndpointPicker("1.2.3.4:5", clear=True) as second,
        client() as asking,
    ):
        failed = await asking.ask(at(first.port, second.port), question("broken"))
        assert isinstance(failed, Failed)
        assert failed.result == "broken"
        assert not second.told


async def test_the_time_limit_gives_the_call_up() -> None:
    """And the picker hears of it."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client(timeout=0.2) as asking:
        failed = await asking.ask(at(picker.port), question("silent"))
        assert isinstance(failed, Failed)
        assert failed.result == "timed_out"
        await picker.until(lambda: picker.told and picker.told[0].over)


async def test_a_server_that_goes_away_is_left_at_once() -> None:
    """It does not wait for us; the next question finds nobody there, or whoever came instead."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        where = at(picker.port)
        asked = await asking.ask(where, question())
        assert isinstance(asked, Asked)
        async with asyncio.timeout(5):
            await picker.leave()
        assert picker.told[0].over
        asking.finished(where, asked.consultation)
        assert isinstance(await asking.ask(where, question()), Failed)
        await picker.start()
        assert await choice(asking, where) == ("1.2.3.4:5",)


async def test_addresses_that_left_are_hung_up_on() -> None:
    """Once nothing is under way there."""
    async with FakeEndpointPicker("1.2.3.4:5", clear=True) as picker, client() as asking:
        asked = await asking.ask(at(picker.port), question())
        assert isinstance(asked, Asked)
        [[connection]] = asking._connections.values()
        asking.keep(set())
        assert not connection.usable
        assert not connection.gone
        asked.consultation.close()
        async with asyncio.timeout(10):
            await connection._closed.wait()
