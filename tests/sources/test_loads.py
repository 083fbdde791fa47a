"""The scraper against real servers that are well, ill, and in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointHealth
from mirrorgate.sources.loads import LoadScraper, ScrapeSettings

FAST = ScrapeSettings(interval=0.01, timeout=0.25, max_rate=10_000, max_body=10_000)

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def metrics(waiting: int) -> bytes:
    return plain(200, f"vllm:num_requests_waiting {waiting}\nvllm:num_requests_running 1\n")


def plain(status: int, text: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()


class Server:
    """A model server whose next answers are set by the test."""

    def __init__(self) -> None:
        self.answer: bytes | Answerer = metrics(0)
        self.requests = 0
        self.address = Address("127.0.0.1", 0)
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def key(self) -> str:
        return str(self.address)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                else:
                    await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def run(self, port: int = 0) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", port)
        self.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()


class Watch:
    """A scraper whose every scrape can be waited for."""

    def __init__(self, settings: ScrapeSettings = FAST) -> None:
        self.history: list[tuple[str, EndpointHealth]] = []
        self._arrived = asyncio.Event()
        self.scraper = LoadScraper(settings, scraped=self._note)

    def _note(self, key: str, before: EndpointHealth, after: EndpointHealth) -> None:
        self.history.append((key, after))
        self._arrived.set()

    async def until(self, key: str, wanted: Callable[[EndpointHealth], bool]) -> EndpointHealth:
        """Wait for a scrape of the endpoint that ends as wanted."""
        async with asyncio.timeout(10):
            while True:
                self._arrived.clear()
                health = self.scraper.snapshot()[key]
                if health.at is not None and wanted(health):
                    return health
                await self._arrived.wait()


@asynccontextmanager
async def watching(*servers: Server, settings: ScrapeSettings = FAST) -> AsyncIterator[Watch]:
    watch = Watch(settings)
    watch.scraper.update({server.key: server.address for server in servers})
    watch.scraper.start()
    try:
        yield watch
    finally:
        await watch.scraper.stop()


def unhealthy(health: EndpointHealth) -> bool:
    return not health.healthy


async def test_a_good_server_has_a_fresh_load() -> None:
    """Each scrape replaces the load, whose time grows."""
    async with Server().run() as server, watching(server) as watch:
        first = await watch.until(server.key, lambda health: health.load is not None)
        assert first.load is not None
        assert (first.healthy, first.failures, first.last_error, first.load.running) == (True, 0, "", 1)
        server.answer = metrics(7)
        second = await watch.until(server.key, lambda health: health.load is not None and health.load.waiting == 7)
        assert second.load is not None
        assert second.load.at > first.load.at
        assert second.at is not None
        assert second.at >= second.load.at


async def test_an_endpoint_is_healthy_and_unknown_before_its_first_scrape() -> None:
    """A new endpoint can be picked at once."""
    scraper = LoadScraper(FAST)
    scraper.update({"127.0.0.1:1": Address("127.0.0.1", 1)})
    assert scraper.snapshot() == {"127.0.0.1:1": EndpointHealth()}


async def test_three_failures_in_a_row_make_an_endpoint_unhealthy() -> None:
    """Refused connections count; the second failure is not enough, and one good scrape heals."""
    server = Server()
    async with server.run():
        pass
    async with watching(server) as watch:
        health = await watch.until(server.key, unhealthy)
        assert health.failures == 3
        assert health.load is None
        assert "cannot connect" in health.last_error
        assert [after.healthy for _, after in watch.history[:3]] == [True, True, False]
        async with server.run(server.address.port):
            healed = await watch.until(server.key, lambda health: health.healthy)
            assert healed.load is not None
            assert (healed.failures, healed.last_error) == (0, "")


async def test_a_flapping_server_stays_healthy_when_no_three_failures_meet() -> None:
    """Two failures and a success, over and over, never make it unhealthy."""
    async with Server().run() as server:
        turn = 0

        async def flap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal turn
            turn += 1
            writer.write(metrics(turn) if turn % 3 == 0 else plain(500))

        server.answer = flap
        async with watching(server) as watch:
            await watch.until(server.key, lambda health: health.load is not None and health.load.waiting >= 12)
            assert all(health.healthy for _, health in watch.history)
            assert max(health.failures for _, health in watch.history) == 2


@pytest.mark.parametrize(
    "answer",
    [
        plain(404, "Not Found"),
        plain(401),
        plain(301),
        plain(204),
        plain(501, "no metrics here"),
        plain(200, "{}"),
        plain(200, "vllm:num_requests_waiting nonsense\n"),
        plain(200, "x" * 10_001),
    ],
    ids=["404", "401", "301", "204", "501", "json", "nonsense", "huge"],
)
async def test_a_server_without_usable_metrics_is_healthy(answer: bytes) -> None:
    """It answers, so it lives; there is no load, and the reason is told."""
    async with Server().run() as server:
        server.answer = answer
        async with watching(server) as watch:
            health = await watch.until(server.key, lambda health: bool(health.last_error))
            assert (health.healthy, health.load, health.failures) == (True, None, 0)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer so slowly that no pause is long and the end never comes."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
    ended = asyncio.ensure_future(reader.read())
    while not ended.done():
        writer.write(b"x")
        await asyncio.wait([ended], timeout=0.02)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nvllm:")
    writer.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (hang, "no complete answer in 0.05 s"),
        (trickle, "no complete answer in 0.05 s"),
        (cut, "closed in the middle"),
        (b"220 mail.example ESMTP\r\n", "not HTTP"),
        (plain(500), "answers 500"),
        (plain(503, "loading"), "answers 503"),
    ],
    ids=["hang", "trickle", "cut", "garbage", "500", "503"],
)
async def test_failures(answer: bytes | Answerer, error: str) -> None:
    """A server that hangs, trickles, breaks off, speaks something else or is ill becomes unhealthy."""
    settings = ScrapeSettings(interval=0.01, timeout=0.05, max_rate=10_000)
    async with Server().run() as server:
        server.answer = answer
        async with watching(server, settings=settings) as watch:
            health = await watch.until(server.key, unhealthy)
            assert error in health.last_error
            server.answer = metrics(1)
            await watch.until(server.key, lambda health: health.healthy and health.load is not None)


async def test_a_load_goes_stale() -> None:
    """The old load is kept over a failure, and dropped when it is too old."""
    settings = ScrapeSettings(interval=0.05, timeout=0.25, max_rate=10_000, failures=50)
    async with Server().run() as server, watching(server, settings=settings) as watch:
        await watch.until(server.key, lambda health: health.load is not None)
        server.answer = plain(500)
        kept = await watch.until(server.key, lambda health: health.failures > 0)
        assert kept.load is not None
        stale = await watch.until(server.key, lambda health: health.load is None)
        assert stale.healthy
        assert stale.failures >= 3


async def test_one_hanging_server_does_not_hold_up_the_others() -> None:
    """With room for one scrape at a time, the good server's go on while the other's hang."""
    settings = ScrapeSettings(interval=0.01, timeout=0.2, max_rate=10_000, concurrency=1)
    async with Server().run() as good, Server().run() as bad:
        bad.answer = hang
        async with watching(good, bad, settings=settings) as watch:
            await watch.until(bad.key, lambda health: health.failures == 1)
            seen = good.requests
            await watch.until(bad.key, lambda health: health.failures == 2)
            assert good.requests - seen >= 3


async def test_update_adds_removes_and_keeps() -> None:
    """What stays keeps its health, what goes is no longer scraped or shown."""
    async with Server().run() as one, Server().run() as two, watching(one) as watch:
        kept = await watch.until(one.key, lambda health: health.load is not None)
        scraper = watch.scraper
        relabelled = Address(one.address.host, one.address.port, "default/pod", (("app", "x"),))
        scraper.update({one.key: relabelled, two.key: two.address})
        assert scraper.snapshot()[one.key] is kept
        await watch.until(two.key, lambda health: health.load is not None)
        scraper.update({two.key: two.address})
        assert set(scraper.snapshot()) == {two.key}
        asked = one.requests
        again = two.requests
        await watch.until(two.key, lambda health: two.requests >= again + 3)
        assert one.requests == asked


async def test_stop_ends_everything_and_start_begins_again() -> None:
    """After a stop nothing is asked, what was known stays readable, and a new start works."""
    async with Server().run() as server, watching(server) as watch:
        await watch.until(server.key, lambda health: health.load is not None)
        await watch.scraper.stop()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("scrape ")]
        last = watch.scraper.snapshot()[server.key]
        assert last.load is not None
        watch.scraper.start()
        watch.scraper.start()
        await watch.until(server.key, lambda health: health.at != last.at)
        assert len([task for task in asyncio.all_tasks() if task.get_name().startswith("scrape ")]) == 1


async def test_the_interval_grows_with_the_number_of_endpoints() -> None:
    """The rate of all scrapes together is bounded."""
    scraper = LoadScraper(ScrapeSettings(interval=0.5, max_rate=100))
    scraper.update({str(port): Address("127.0.0.1", port) for port in range(1, 41)})
    assert scraper.interval == 0.5
    scraper.update({str(port): Address("127.0.0.1", port) for port in range(1, 1001)})
    assert scraper.interval == 10.0


async def test_a_subscriber_that_raises_does_not_end_the_scraping(caplog: pytest.LogCaptureFixture) -> None:
    """The bug is logged, and the next scrape comes."""
    seen: list[EndpointHealth] = []
    enough = asyncio.Event()

    def subscriber(key: str, before: EndpointHealth, after: EndpointHealth) -> None:
        seen.append(after)
        if len(seen) >= 3:
            enough.set()
        raise RuntimeError("a bug")

    async with Server().run() as server, asyncio.timeout(10):
        scraper = LoadScraper(FAST, scraped=subscriber)
        scraper.update({server.key: server.address})
        scraper.start()
        await enough.wait()
        await scraper.stop()
    assert "went wrong" in caplog.text
