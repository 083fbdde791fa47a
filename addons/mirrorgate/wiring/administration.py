"""Starts the admin server where the options say."""

from __future__ import annotations

import logging
import sys
from typing import Any

from ..proxy.admin import AdminServer, parse_bind
from ..proxy.admin_sources import AdminSources

__all__ = ["start_admin"]

logger = logging.getLogger("mirrorgate")


def start_admin(sources: AdminSources, options: Any) -> AdminServer | None:
    """Return the running server, `None` when none is wanted; ends the process when it cannot bind."""
    bind = parse_bind(options.gateway_admin)
    if bind is None:
        return None
    server = AdminServer(sources, bind, token=options.gateway_admin_token)
    try:
        server.start()
    except OSError as error:
        logger.error("the admin server cannot bind: %s", error)
        sys.exit(1)
    logger.info("admin server at %s", server.url)
    return server
