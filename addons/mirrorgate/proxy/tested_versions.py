"""The versions of mitmproxy that Mirrorgate is tested with, for who wants to know without importing mitmproxy."""

from __future__ import annotations

__all__ = ["TESTED"]

TESTED = ("12.2",)
"""Release series."""
