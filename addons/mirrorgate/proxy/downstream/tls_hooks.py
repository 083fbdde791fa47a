"""How a client's TLS handshake ended, where mitmproxy's addons and our counters look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import connection

from ..mitm import note_session

if TYPE_CHECKING:
    from ..dataplane import Dataplane
    from ..tls_contexts import Handshake

__all__ = ["established", "failed"]


def established(plane: Dataplane, client: connection.Client, session: Handshake) -> None:
    """Write down what was agreed on, and tell addons."""
    note_session(client, session)
    _tell(plane, "tls_established_client", client)


def failed(plane: Dataplane, client: connection.Client, session: Handshake, message: str) -> None:
    """Write down why there is no session, and tell addons."""
    client.sni = session.server_name or None
    client.error = f"the TLS handshake failed: {message}"
    plane.tls_failures += 1
    _tell(plane, "tls_failed_client", client)


def _tell(plane: Dataplane, hook: str, client: connection.Client) -> None:
    """Call a hook if anybody listens; what it is told is not made for nobody."""
    hooks = plane.hooks
    if hooks.listens(hook) and (pending := hooks.fire(hook, hooks.tls_data(client))) is not None:
        plane.spawn(pending)
