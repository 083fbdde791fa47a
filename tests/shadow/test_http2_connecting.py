"""Shadow legs over HTTP/2: answers with times, uploads within windows, and streams that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame

from mirrorgate.records import Target
from mirrorgate.resources.server_tls import ServerTls
from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.shadow.connecting import ConnectionPool
from mirrorgate.shadow.holding import Holding
from mirrorgate.shadow.sending import run_leg
from mirrorgate.shadow.uploading import Upload
from mirrorgate.testing.certificates import Authority

AUTHORITY = Authority()
Reply = Callable[[H2Connection, int], None]


class Candidate:
    """An HTTP/2 server that answers each whole request with a script, and keeps what it was sent."""

    def __init__(self, reply: Reply) -> None:
        self.fields: dict[str, str] = {}
        self.body = b""
        self._reply = reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one connection."""
        session = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        session.initiate_connection()
        writer.write(session.data_to_send())
        while data := await reader.read(65536):
            for event in session.receive_data(data):
                if isinstance(event, events.RequestReceived):
                    self.fields = dict(event.headers)  # type: ignore[arg-type]
                elif isinstance(event, events.DataReceived):
                    self.body += event.data
                    session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.StreamEnded):
                    self._reply(session, event.stream_id)
            writer.write(session.data_to_send())
        writer.close()


def answer(session: H2Connection, number: int) -> None:
    session.send_headers(number, [(":status", "200"), ("content-type", "text/event-stream")])
    session.send_data(number, b"data: one\n\n")
    session.send_data(number, b"data: two\n\n", end_stream=True)


def refuse(session: H2Connection, number: int) -> None:
    session.reset_stream(number, 7)


def break_off(session: H2Connection, number: int) -> None:
    session.send_headers(number, [(":status", "200")])
    session.send_data(number, b"half")
    session.reset_stream(number, 2)


def answer_and_go(session: H2Connection, number: int) -> None:
    """As a server does that is being stopped: its last stream is this one."""
    session.send_headers(number, [(":status", "200"), ("content-type", "text/event-stream")])
    before = session.data_to_send()
    session.send_data(number, b"data: one\n\n", end_stream=True)
    after = session.data_to_send()
    session._data_to_send += before + GoAwayFrame(0, last_stream_id=number, error_code=0).serialize() + after


def go_away(session: H2Connection, number: int) -> None:
    session.close_connection(last_stream_id=0)


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., Any]]:
    """Return a function that sends one leg to a candidate with a script; returns the answer and the candidate."""
    servers: list[asyncio.Server] = []
    pool = ConnectionPool(asyncio.get_running_loop())

    async def ask(reply: Reply, body: bytes | None = b"{}", *, secure: bool = False, **changes: Any) -> Any:
        candidate = Candidate(reply)
        context = AUTHORITY.server("a.test", protocols=("h2",)) if secure else None
        server = await asyncio.start_server(candidate.serve, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        tls = ServerTls("a.test", AUTHORITY.certificate.decode()) if secure else None
        upload = Upload(body)
        if body is None:
            for _ in range(5):
                upload.push(b"x" * 50_000)
            upload.end()
        target = Target(
            leg="candidate", cluster="c", ref="Service s", host="127.0.0.1",  # type: ignore[arg-type]
            port=server.sockets[0].getsockname()[1],
            head=[(b"Host", b"a.test"), (b"X-One", b"1"), (b"Connection", b"x")],
            path="/v1/chat/completions", model=None, timeout=20.0, connect_timeout=10.0, idle_timeout=20.0,
            max_parallel=1, policy=b"{}", http2=True, tls=tls, **changes,
        )  # fmt: skip
        return await run_leg(pool, Holding(), "POST", target, upload), candidate

    yield ask
    pool.close()
    for server in servers:
        server.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_an_answer(ask: Any, secure: bool) -> None:
    """Its body has times, its fields are HTTP/2's, and so are the request's."""
    found, candidate = await ask(answer, secure=secure)
    assert isinstance(found, Answer)
    assert (found.outcome, found.status, b"".join(found.chunks)) == (
        LegOutcome.COMPLETE, 200, b"data: one\n\ndata: two\n\n",
    )  # fmt: skip
    assert found.header(b"content-type") == "text/event-stream"
    assert len(found.times) == len(found.chunks)
    assert candidate.body == b"{}"
    assert candidate.fields == {
        ":method": "POST",
        ":scheme": "https" if secure else "http",
        ":authority": "a.test",
        ":path": "/v1/chat/completions",
        "x-one": "1",
        "content-length": "2",
    }


async def test_an_upload_larger_than_the_windows(ask: Any) -> None:
    """It goes on as the candidate reads."""
    found, candidate = await ask(answer, None, length=250_000)
    assert found.outcome is LegOutcome.COMPLETE
    assert candidate.body == b"x" * 250_000


@pytest.mark.parametrize(("reply", "kept"), [(refuse, b""), (break_off, b"half"), (go_away, b"")])
async def test_what_breaks(ask: Any, reply: Reply, kept: bytes) -> None:
    """A stream that is reset, before or in its answer, and a server that goes away."""
    found, _ = await ask(reply)
    assert found.outcome is LegOutcome.RESET
    assert b"".join(found.chunks) == kept


async def test_an_answer_behind_a_goaway(ask: Any) -> None:
    """It is whole: a candidate that is being rolled out anew has broken nothing."""
    found, _ = await ask(answer_and_go)
    assert (found.outcome, b"".join(found.chunks)) == (LegOutcome.COMPLETE, b"data: one\n\n")
