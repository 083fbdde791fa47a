"""An upload is passed on piece by piece, within its bound."""

import asyncio

from mirrorgate.shadow.holding import Holding
from mirrorgate.shadow.uploading import Upload


async def test_pieces_come_in_order_as_they_are_pushed() -> None:
    """A consumer that waits gets each piece and the end."""
    upload = Upload(None)
    got: list[bytes] = []

    async def consume() -> None:
        got.extend([piece async for piece in upload.pieces()])

    async with asyncio.timeout(5):
        task = asyncio.get_running_loop().create_task(consume())
        for piece in (b"a", b"b", b"c"):
            assert upload.push(piece)
            await asyncio.sleep(0)
        upload.end()
        await task
    assert got == [b"a", b"b", b"c"]
    assert upload.unsent == 0
    assert not upload.push(b"late")


async def test_a_consumer_that_is_too_far_behind_is_told() -> None:
    """Beyond the bound a piece is refused and nothing is kept of it."""
    upload = Upload(None, limit=5)
    assert upload.push(b"12345")
    assert not upload.push(b"6")
    assert upload.unsent == 5


async def test_the_whole_body_is_gathered_at_the_end() -> None:
    """A body that must be rewritten is whole only after its end."""
    upload = Upload(None)
    async with asyncio.timeout(5):
        task = asyncio.get_running_loop().create_task(upload.whole())
        upload.push(b"ab")
        await asyncio.sleep(0)
        assert not task.done()
        upload.push(b"cd")
        upload.end()
        assert await task == b"abcd"
    assert await Upload(b"given").whole() == b"given"


async def test_what_waits_is_counted_and_given_back() -> None:
    """Pieces count until they are sent, gathered ones until the leg is over; memory that is short refuses."""
    holding = Holding(10)
    upload = Upload(None, holding=holding)
    assert upload.push(b"123456")
    assert not upload.push(b"123456")
    assert holding.held == 6
    upload.end()
    assert await upload.whole() == b"123456"
    assert holding.held == 6
    upload.close()
    upload.close()
    assert holding.held == 0
    streamed = Upload(None, holding=holding)
    assert streamed.push(b"abc")
    assert streamed.push(b"de")
    pieces = streamed.pieces()
    assert [await anext(pieces), await anext(pieces)] == [b"abc", b"de"]
    assert holding.held == 2
    streamed.close()
    await pieces.aclose()
    assert holding.held == 0
