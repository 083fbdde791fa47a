"""An HTTP/2 session that outlives a GOAWAY."""

from __future__ import annotations

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame

from mirrorgate.http2_lasting import LastingSession

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")]


def pair() -> tuple[LastingSession, H2Connection]:
    """A client that lasts and a server, past their prefaces."""
    client = LastingSession(H2Configuration(client_side=True, header_encoding="utf-8"))
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    client.initiate_connection()
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    return client, server


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_under_way_goes_on(at_once: bool) -> None:
    """What comes behind a GOAWAY is read, in the same piece or later, and what waits to be sent is sent."""
    client, server = pair()
    client.send_headers(1, HEAD)
    server.receive_data(client.data_to_send())
    client.send_data(1, b"upload")
    server.send_headers(1, [(":status", "200")])
    goaway = GoAwayFrame(0, last_stream_id=1, error_code=0, additional_data=b"bye").serialize()
    before = server.data_to_send()
    server.send_data(1, b"answer", end_stream=True)
    after = server.data_to_send()
    pieces = [before + goaway + after] if at_once else [before, goaway, after]
    found = [event for piece in pieces for event in client.receive_data(piece)]
    [told] = [event for event in found if isinstance(event, events.ConnectionTerminated)]
    assert (told.error_code, told.last_stream_id, told.additional_data) == (0, 1, b"bye")
    assert [event.data for event in found if isinstance(event, events.DataReceived)] == [b"answer"]
    client.end_stream(1)
    sent = server.receive_data(client.data_to_send())
    assert b"".join(event.data or b"" for event in sent if isinstance(event, events.DataReceived)) == b"upload"
    assert isinstance(sent[-1], events.StreamEnded)


def test_an_unknown_error_code_is_told() -> None:
    """As the number that it is."""
    client, _ = pair()
    [told] = client.receive_data(GoAwayFrame(0, last_stream_id=0, error_code=4711).serialize())
    assert isinstance(told, events.ConnectionTerminated)
    assert told.error_code == 4711
