"""The library's side of an HTTP/2 connection, set up so that it frames and we judge."""

from __future__ import annotations

from collections.abc import Mapping

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hyperframe.frame import WindowUpdateFrame

from ...http2_lasting import LastingSession
from .http2_heads import response_fields

__all__ = ["Session", "answer_at_once", "answer_past", "ended_by_peer", "session_of"]


class _Settings(Settings):
    """What we advertise. The library would end the connection over one stream too many, which is the stream's fault."""

    max_concurrent_streams = property(lambda self: 2**31 - 1)


class Session(LastingSession):
    """A connection without the library's check of Content-Length, which would end all streams over one's fault.

    The windows of a connection and of a stream are given back together by `acknowledge_received_data`, and each by
    itself by `reopen` and `reopen_stream`.
    """

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = _nothing  # type: ignore[method-assign]
        return stream

    def reopen(self, size: int) -> None:
        """Let the peer send so many bytes again on the connection."""
        increment = self._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            self._prepare_for_sending([WindowUpdateFrame(0, window_increment=increment)])

    def reopen_stream(self, size: int, number: int) -> None:
        """Let the peer send so many bytes again on a stream; nothing where that has ended."""
        try:
            stream = self._get_stream_by_id(number)
        except StreamClosedError:
            return
        if stream.open:
            self._prepare_for_sending(stream.acknowledge_received_data(size))


def _nothing(headers: object) -> None:
    return


def session_of(*, client: bool, settings: Mapping[SettingCodes, int], max_head: int) -> Session:
    """Make a session that advertises `settings`; heads are judged by `http2_heads`."""
    config = H2Configuration(
        client_side=client,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    session = Session(config)
    session.local_settings = _Settings(client=client, initial_values=dict(settings))
    session.decoder.max_header_list_size = 2 * max_head
    return session


def ended_by_peer(session: H2Connection, number: int) -> bool | None:
    """Tell whether the end of a request has come; `None` when its stream is over, or was never there."""
    stream = session.streams.get(number)
    state = None if stream is None else stream.state_machine.state
    if state is StreamState.HALF_CLOSED_REMOTE:
        return True
    return False if state is StreamState.OPEN else None


def answer_at_once(session: H2Connection, number: int, status: int, body: bytes) -> bool:
    """Answer a request with a text, or without where the client's windows have no room for it. Whether the client has
    not given it up yet."""
    try:
        if session.local_flow_control_window(number) < len(body):
            body = b""
        fields = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
        session.send_headers(number, response_fields(status, fields), end_stream=not body)
        if body:
            session.send_data(number, body, end_stream=True)
    except H2Error:
        return False
    return True


def answer_past(session: H2Connection, number: int, size: int) -> bool:
    """Take note that a request whose end has come is answered past the library, with a body of `size`.

    `False` when it must not be: the client's windows have no room for it, or the next head has to begin with what has
    become of the dynamic table (RFC 7541, 4.2).
    """
    stream = session.streams[number]
    room = min(stream.outbound_flow_control_window, session.outbound_flow_control_window)
    if size > room or session.encoder.table_size_changes:
        return False
    session.outbound_flow_control_window -= size
    stream.state_machine.state = StreamState.CLOSED
    stream.state_machine.stream_closed_by = StreamClosedBy.SEND_END_STREAM
    return True
