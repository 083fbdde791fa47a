"""What the library is told of answers that are sent past it."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, ResponseReceived, StreamEnded
from h2.settings import SettingCodes

from mirrorgate.proxy.messages.http2_answers import WholeAnswer
from mirrorgate.proxy.messages.http2_session import answer_past, ended_by_peer, session_of

ANSWER = WholeAnswer(503, [(b"retry-after", b"1")], b"not now")
REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
OK = [(b":status", b"200"), (b"x-known", b"value")]


class Pair:
    """A client and our side of its connection, with nothing between them."""

    def __init__(self) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.session = session_of(client=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 65535}, max_head=65536)
        self.client.initiate_connection()
        self.session.initiate_connection()
        self.exchange()

    def exchange(self) -> None:
        """Let each side read what the other has said, until nobody has anything to say."""
        while (there := self.client.data_to_send()) or (back := self.session.data_to_send()):
            self.session.receive_data(there)
            self.client.receive_data(self.session.data_to_send() if there else back)

    def ask(self, *, ended: bool = True, body: bytes = b"") -> int:
        """Send a request; the number of its stream."""
        number = self.client.get_next_available_stream_id()
        self.client.send_headers(number, REQUEST, end_stream=ended and not body)
        if body:
            self.client.send_data(number, body, end_stream=ended)
        found = self.session.receive_data(self.client.data_to_send())
        assert any(isinstance(event, RequestReceived) for event in found)
        return number

    def settings(self, code: SettingCodes, value: int) -> None:
        self.client.update_settings({code: value})
        self.session.receive_data(self.client.data_to_send())


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_whether_a_request_is_whole(pair: Pair) -> None:
    """By its end, wherever that stood; a stream that is over has none, nor one that never was."""
    whole, open_, given_up = pair.ask(body=b"x"), pair.ask(ended=False), pair.ask(ended=False)
    pair.client.reset_stream(given_up)
    pair.session.receive_data(pair.client.data_to_send())
    assert [ended_by_peer(pair.session, number) for number in (whole, open_, given_up, 99)] == [True, False, None, None]


def test_a_connection_goes_on_behind_it(pair: Pair) -> None:
    """The client reads the answer, and the library's own before and behind it; the stream is over for both."""
    for _ in range(3):
        number = pair.ask()
        pair.session.send_headers(number, OK, end_stream=True)
        assert isinstance(pair.client.receive_data(pair.session.data_to_send())[0], ResponseReceived)
        number = pair.ask(body=b"x")
        assert answer_past(pair.session, number, ANSWER.size)
        assert ended_by_peer(pair.session, number) is None
        read = pair.client.receive_data(ANSWER.frames(number))
        assert isinstance(read[0], ResponseReceived)
        assert isinstance(read[-1], StreamEnded)
        # What a good client sends for it is ignored.
        pair.client.acknowledge_received_data(ANSWER.size, number)
        pair.client.increment_flow_control_window(1000)
        assert pair.session.receive_data(pair.client.data_to_send()) is not None
    assert pair.session.open_inbound_streams == 0
    assert pair.client.open_outbound_streams == 0


def test_windows_are_kept(pair: Pair) -> None:
    """The connection's shrinks by what was sent; an answer that does not fit is left to the library."""
    before = pair.session.outbound_flow_control_window
    assert answer_past(pair.session, pair.ask(), 1000)
    assert pair.session.outbound_flow_control_window == before - 1000
    assert not answer_past(pair.session, pair.ask(), before - 999)
    assert answer_past(pair.session, pair.ask(), before - 1000)
    last = pair.ask()
    assert not answer_past(pair.session, last, 1)
    assert answer_past(pair.session, last, 0)


def test_a_streams_own_window_is_kept(pair: Pair) -> None:
    """It may be smaller than the connection's."""
    pair.settings(SettingCodes.INITIAL_WINDOW_SIZE, ANSWER.size - 1)
    assert not answer_past(pair.session, pair.ask(), ANSWER.size)


def test_what_has_become_of_the_table_is_said_first(pair: Pair) -> None:
    """A client that has made its table smaller reads no head that does not begin with that (RFC 7541, 4.2)."""
    pair.settings(SettingCodes.HEADER_TABLE_SIZE, 128)
    pair.client.receive_data(pair.session.data_to_send())
    number = pair.ask()
    assert not answer_past(pair.session, number, ANSWER.size)
    pair.session.send_headers(number, OK, end_stream=True)
    assert isinstance(pair.client.receive_data(pair.session.data_to_send())[0], ResponseReceived)
    number = pair.ask()
    assert answer_past(pair.session, number, ANSWER.size)
    assert isinstance(pair.client.receive_data(ANSWER.frames(number))[0], ResponseReceived)
