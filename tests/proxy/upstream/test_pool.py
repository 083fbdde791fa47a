"""The pool of a cluster: what is given back, closed and forgotten."""

from __future__ import annotations

import socket
import time

import pytest
from mitmproxy.test import taddons
from mitmproxy.utils import asyncio_utils

from mirrorgate.admission.cluster import Cluster
from mirrorgate.admission.limits import Limits
from mirrorgate.errors import Refusal
from mirrorgate.proxy.mitm import Hooks, new_client, stock_mode
from mirrorgate.proxy.upstream.connection_settings import ConnectionSettings
from mirrorgate.proxy.upstream.http1 import Upstream
from mirrorgate.proxy.upstream.pool import ClusterPool
from mirrorgate.resources.endpoints import Address
from mirrorgate.testing.backends import Backend, answering, response_bytes
from mirrorgate.testing.in_loop import until

OK = answering(response_bytes(body=b"ok"))


class Waits:
    """Somebody who wants a connection."""

    http2 = False
    tls = None

    def __init__(self, port: int) -> None:
        self.address = Address("127.0.0.1", port)
        self.client = new_client(("127.0.0.1", 1), ("127.0.0.1", 2), stock_mode(2))
        self.got: Upstream | None = None
        self.refusal: Refusal | None = None

    def assigned(self, upstream: Upstream) -> None:
        """Take the connection as an exchange does."""
        upstream.begin(self, head=False)  # type: ignore[arg-type]
        self.got = upstream

    def refused(self, refusal: Refusal) -> None:
        """Take note."""
        self.refusal = refusal

    def upstream_failed(self, refusal: Refusal) -> None:
        """Nothing: the test asks the pool."""


@pytest.fixture
async def pool() -> ClusterPool:
    """Return a pool without addons."""
    return ClusterPool(
        "c", Cluster(Limits()), ConnectionSettings(), Hooks(taddons.context(loadcore=False).master.addons)
    )


async def test_a_thousand_connections_that_closed_at_once_nest_nothing(pool: ClusterPool) -> None:
    """The next request finds them all closing, one after another, and gets a new one."""
    async with Backend(OK) as backend:
        waiters = [Waits(backend.port) for _ in range(600)]
        for waiter in waiters:
            pool.acquire(waiter)
        await until(lambda: all(waiter.got for waiter in waiters), 30)
        for waiter in waiters:
            assert waiter.got is not None
            waiter.got._reader.keep_alive = True  # as if each had been answered
            pool.release(waiter.got, reusable=waiter.got.reusable)
        assert len(pool.cluster.ready(f"127.0.0.1:{backend.port}")) == 600
        for waiter in waiters:
            assert waiter.got is not None
            waiter.got.close()  # the loop tells of it later
        last = Waits(backend.port)
        pool.acquire(last)
        await until(lambda: last.got)
        assert last.refusal is None
        await until(lambda: pool.cluster.connections == 1)
        assert pool.cluster.active == 1
        assert last.got is not None
        last.got.abort()
        pool.release(last.got, reusable=last.got.reusable)
    await until(lambda: pool.cluster.idle)


async def test_idle_connections_end(pool: ClusterPool) -> None:
    """After the idle timeout."""
    async with Backend(OK) as backend:
        waiter = Waits(backend.port)
        pool.acquire(waiter)
        await until(lambda: waiter.got)
        assert waiter.got is not None
        waiter.got._reader.keep_alive = True
        pool.release(waiter.got, reusable=waiter.got.reusable)
        pool.sweep(time.monotonic() + 3000)
        assert pool.cluster.connections == 1
        pool.sweep(time.monotonic() + 4000)
        await until(lambda: pool.cluster.idle)


async def test_an_attempt_that_is_cancelled_is_given_back(pool: ClusterPool) -> None:
    """At the end of the process, with who waits for it."""
    with socket.socket() as sock, asyncio_utils.set_eager_task_factory():
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        waiter = Waits(sock.getsockname()[1])
        pool.acquire(waiter)
        pool.close()
        await until(lambda: pool.cluster.idle)
    assert waiter.refusal is Refusal.CONNECT_FAILURE
