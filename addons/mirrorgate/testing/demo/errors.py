"""The one way in which the demo fails."""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(Exception):
    """Something is not as a tutorial promises, or could not be started; the message says what."""
