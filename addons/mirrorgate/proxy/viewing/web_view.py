"""What the gateway adds to mitmweb and the console: the shadow's flows, verdicts on the primary's, bounds on the view.

An addon that only looks. It is loaded where mitmproxy's `view` is; nothing of it runs in mitmdump.
"""

from __future__ import annotations

from mitmproxy import contentviews, ctx, flow, http
from mitmproxy.addons.view import View

from ...records import Compared, Leg, LegContent
from ..dataplane import Dataplane
from .flow_pairs import NUMBERS, PRIMARY, SHADOWS, numbers_of, plain
from .pair_view import PairContentview, Policies, pair_text
from .shadow_flows import CONTENT_LIMIT, ShadowFlows
from .view_bounds import ViewBounds

__all__ = ["WebView"]

_MARKS = {"same": ":white_check_mark:", "similar": ":wavy_dash:", "different": ":warning:", "candidate_failed": ":x:"}


class WebView:
    """Watches flows and shows pairs."""

    name = "mirrorgate.web_view"

    def __init__(self, view: View, plane: Dataplane, policies: Policies) -> None:
        options = ctx.options
        self._view = view
        self._plane = plane
        self._policies = policies
        self._bounds = ViewBounds(view, options.view_flows, options.view_bytes)
        self._shadows = ShadowFlows(view, options.shadow_flows, options.shadow_flows_bytes)
        plane.keep_streamed = CONTENT_LIMIT
        contentviews.add(PairContentview(view.get_by_id, policies, self._looked_at))

    @property
    def content_limit(self) -> int:
        """Bytes of each answer that the shadow process is asked for; 0 for none."""
        return CONTENT_LIMIT if ctx.options.shadow_flows and ctx.options.shadow_flows_bytes else 0

    # mitmproxy's hooks

    def configure(self, updated: set[str]) -> None:
        options = ctx.options
        if updated & {"view_flows", "view_bytes"}:
            self._bounds.configure(options.view_flows, options.view_bytes)
        if updated & {"shadow_flows", "shadow_flows_bytes"}:
            self._shadows.configure(options.shadow_flows, options.shadow_flows_bytes)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._bounds.added()

    def response(self, flow: http.HTTPFlow) -> None:
        self._bounds.ended(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._bounds.ended(flow)

    # News of the shadow process

    def compared(self, message: Compared) -> None:
        """Write what a comparison came to on the primary's flow."""
        held = self._primary(message.id)
        if held is None:
            return
        known = held.metadata.get(NUMBERS)
        numbers = known if isinstance(known, dict) else {}
        held.metadata[NUMBERS] = {**numbers, message.cluster: plain(numbers_of(message))}
        if not held.marked or held.marked in _MARKS.values():
            held.marked = _MARKS.get(message.outcome, "")
        held.comment = f"{held.comment}; {message.summary}" if held.comment else message.summary
        self._bounds.ended(held)
        self._update(held)

    def content(self, message: LegContent) -> None:
        """Show a shadow's leg as a flow."""
        primary = self._primary(message.id)
        if primary is None:
            return
        shadow = self._shadows.add(message, primary)
        if shadow is not None:
            self._bounds.added()
            self._bounds.ended(shadow)
            self._update(primary)

    # For the commands

    def text_of(self, held: flow.Flow) -> str | None:
        """Return the pairs of a flow as text, `None` when it has none."""
        return pair_text(held, self._view.get_by_id, self._policies)

    def shadow_of(self, held: http.HTTPFlow) -> http.HTTPFlow | None:
        """Return the flow of the first candidate of a flow's exchange, itself when it is one; `None` without any."""
        if held.metadata.get(PRIMARY):
            return held
        ids = held.metadata.get(SHADOWS)
        for id in ids if isinstance(ids, list) else ():
            shadow = self._view.get_by_id(id)
            if isinstance(shadow, http.HTTPFlow) and shadow.metadata.get("mirrorgate.leg") == Leg.CANDIDATE.value:
                return shadow
        return None

    def primary_of(self, held: http.HTTPFlow) -> http.HTTPFlow | None:
        """Return the primary's flow of a flow's exchange, itself when it is one; `None` when it is gone."""
        id = held.metadata.get(PRIMARY)
        if not isinstance(id, str):
            return held
        found = self._view.get_by_id(id)
        return found if isinstance(found, http.HTTPFlow) else None

    def show(self, held: http.HTTPFlow) -> None:
        """Add a flow that a command has made."""
        self._view.add([held])

    def _primary(self, id: str) -> http.HTTPFlow | None:
        held = self._view.get_by_id(id)
        return held if isinstance(held, http.HTTPFlow) else None

    def _update(self, held: http.HTTPFlow) -> None:
        pending = self._plane.hooks.fire("update", [held])
        if pending is not None:
            self._plane.spawn(pending)

    def _looked_at(self, held: flow.Flow) -> None:
        """Make `@focus` the flow that was opened last: mitmweb's server does not know what its page shows."""
        if ctx.master.addons.get("webaddon") is not None and held in self._view and self._view.focus.flow is not held:
            self._view.focus.flow = held
