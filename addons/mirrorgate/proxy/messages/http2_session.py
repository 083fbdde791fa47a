"""The library's side of an HTTP/2 connection, set up so that it frames and we judge."""

from __future__ import annotations

from collections.abc import Mapping

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream

from ...http2_lasting import LastingSession

__all__ = ["session_of"]


class _Settings(Settings):
    """What we advertise. The library would end the connection over one stream too many, which is the stream's fault."""

    max_concurrent_streams = property(lambda self: 2**31 - 1)


class _Session(LastingSession):
    """A connection without the library's check of Content-Length, which would end all streams over one's fault."""

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = _nothing  # type: ignore[method-assign]
        return stream


def _nothing(headers: object) -> None:
    return


def session_of(*, client: bool, settings: Mapping[SettingCodes, int], max_head: int) -> H2Connection:
    """Make a session that advertises `settings`; heads are judged by `http2_heads`."""
    config = H2Configuration(
        client_side=client,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    session = _Session(config)
    session.local_settings = _Settings(client=client, initial_values=dict(settings))
    session.decoder.max_header_list_size = 2 * max_head
    return session
