"""Introduces the gateway to the people who look: commands everywhere, pairs and bounds where mitmproxy has a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mitmproxy import ctx

from ..director import rules_of
from ..proxy.dataplane import Dataplane
from ..proxy.mitm import is_view, take_client_replay
from ..proxy.viewing.commands import Commands
from ..proxy.viewing.replayed import Replays
from ..resources.shadow_policy import ShadowPolicySpec

if TYPE_CHECKING:
    from ..proxy.viewing.web_view import WebView

__all__ = ["Viewing"]


_COLUMNS = ("icon", "method", "path", "comment", "status", "size", "time", "timestamp")


class Viewing:
    """Made once, when mitmproxy runs."""

    def __init__(self, plane: Dataplane, pause: Callable[[bool], object]) -> None:
        self._plane = plane
        addons = ctx.master.addons
        view = addons.get("view")
        self.web: WebView | None = None
        """`None` in mitmdump, which has no view."""
        if is_view(view):
            from ..proxy.viewing.web_view import (
                WebView,  # with it comes what compares texts, 8 MiB that a headless one spares
            )

            self.web = WebView(view, plane, self._policy)
            addons.add(self.web)
            _show_comments()
        addons.add(Commands(plane, pause, self.web))
        self._undo = take_client_replay(Replays(plane).replay)

    @property
    def content_limit(self) -> int:
        """Bytes of each answer that the shadow process is asked for; 0 where nobody can look."""
        return 0 if self.web is None else self.web.content_limit

    def close(self) -> None:
        """Give client replay back to mitmproxy."""
        self._undo()

    def _policy(self, mirror: str) -> ShadowPolicySpec | None:
        return next(
            (
                declared.policy
                for rule in rules_of(self._plane.director.snapshot)
                for declared in rule.mirrors
                if declared.cluster == mirror
            ),
            None,
        )


def _show_comments() -> None:
    """Give mitmweb's list the column in which verdicts and reasons stand, unless the columns were chosen."""
    if "web_columns" in ctx.options and not ctx.options.has_changed("web_columns"):
        ctx.options.update(web_columns=list(_COLUMNS))
