"""What the admin server tells of the process itself: how it is bound, what it runs on, and whether it can write."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from mitmproxy import version

__all__ = ["instance_view", "journal_view"]


def instance_view(options: Any) -> dict[str, object]:
    """Return facts that the metrics do not have; the token itself is not among them."""
    return {
        "now": time.time(),
        "mitmproxy": version.VERSION,
        "bind": options.gateway_admin,
        "token": bool(options.gateway_admin_token),
        "journal": journal_view(options.shadow_journal),
    }


def journal_view(folder: str) -> dict[str, object] | None:
    """Return the journal's folder, whether it can be written to, and its disk in bytes; `None` without a journal.

    `free` and `size` are `None` where the disk does not tell.
    """
    if not folder:
        return None
    path = Path(folder).expanduser()
    nearest = next((each for each in (path, *path.absolute().parents) if each.exists()), path)
    free: int | None = None
    size: int | None = None
    with contextlib.suppress(OSError):
        disk = os.statvfs(nearest)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return {"folder": str(path), "writable": writable, "free": free, "size": size}
