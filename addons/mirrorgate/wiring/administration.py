"""Starts the admin server where the options say."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ..proxy.admin.server import AdminServer, parse_bind
from ..proxy.admin.sources import AdminSources

if TYPE_CHECKING:
    from ..workers.seat import Seat

__all__ = ["start_admin"]

logger = logging.getLogger("mirrorgate")


def start_admin(sources: AdminSources, options: Any, seat: Seat | None = None) -> AdminServer | None:
    """Return the running server, `None` when none is wanted; ends the process when it cannot bind.

    A worker's answers its supervisor, wherever that binds.
    """
    if seat is not None:
        server = seat.admin_server(sources, options.gateway_admin_token)
        server.start()
        return server
    bind = parse_bind(options.gateway_admin)
    if bind is None:
        return None
    server = AdminServer(sources, bind, token=options.gateway_admin_token)
    try:
        server.start()
    except OSError as error:
        remedy = "does another gateway run? gateway_admin (--admin HOST:PORT) names another address, empty for none"
        logger.error("the admin server cannot bind: %s (%s)", error, remedy)
        sys.exit(1)
    logger.info("admin server at %s", server.url)
    return server
