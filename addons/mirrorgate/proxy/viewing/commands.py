"""The gateway's commands, for mitmweb's command bar, the console's prompt, and scripts (`POST /commands/NAME`).

Names consist of letters and dots, since mitmweb's route takes nothing else. What cannot be done is a `CommandError`
that says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mitmproxy import command, ctx, exceptions, flow, http

from ...admission.failure_breaker import State, Trigger
from ...admission.gauges import Gauges
from ...admission.limits import UNLIMITED
from ...director import rules_of
from ...effective import limits_of
from ...routing.explaining import Explanation, explain
from ..dataplane import Dataplane
from .flow_pairs import AGAIN, ENDPOINT, LEG, MIRROR, PREFIX

if TYPE_CHECKING:
    from .web_view import WebView

__all__ = ["Commands"]

logger = logging.getLogger(__name__)

_BY_HAND: dict[State | None, str] = {
    None: "",
    State.FORCED_OPEN: "OPEN by hand; ",
    State.FORCED_CLOSED: "failure breaker bypassed by hand; ",
}

_MOST_FLOWS = 20
"""Flows of one command whose texts are returned."""


def _command[F: Callable[..., Any]](name: str) -> Callable[[F], F]:
    """Make a method a command, and leave its type alone."""
    decorate: Callable[[F], F] = command.command(name)
    return decorate


class Commands:
    """Commands on flows need a view; the others work everywhere."""

    name = "mirrorgate.commands"

    def __init__(self, plane: Dataplane, pause: Callable[[bool], object], view: WebView | None) -> None:
        self._plane = plane
        self._pause = pause
        self._view = view

    @_command("mirrorgate.compare")
    def compare(self, flows: Sequence[flow.Flow]) -> str:
        """Show what the candidate answered beside what production did; on either flow of a pair."""
        texts = [text for held in flows[:_MOST_FLOWS] if (text := self._needed_view().text_of(held)) is not None]
        if not texts:
            raise exceptions.CommandError(
                "No flow is selected." if not flows else "Not mirrored, or the comparison is still to come."
            )
        return "\n\n".join(dict.fromkeys(texts))

    @_command("mirrorgate.replay")
    def replay(self, flows: Sequence[flow.Flow], target: str = "primary") -> str:
        """Send requests again, as new flows: to the primary through route and limits, or straight to the candidate.

        What is sent again is never mirrored.
        """
        if target not in ("primary", "candidate"):
            raise exceptions.CommandError(f"The target is primary or candidate, not {target!r}.")
        made = [self._again(held, target) for held in flows if isinstance(held, http.HTTPFlow)]
        if not made:
            raise exceptions.CommandError("No flow is selected.")
        for fresh in made:
            self._needed_view().show(fresh)
        ctx.master.commands.call("replay.client", made)
        return f"{len(made)} sent to the {target}"

    @_command("mirrorgate.explain")
    def explain(self, flows: Sequence[flow.Flow]) -> str:
        """Tell which listener, route and rule a request meets, what was considered, and why the rest did not match."""
        if not any(isinstance(held, http.HTTPFlow) for held in flows):
            raise exceptions.CommandError("No flow is selected.")
        return "\n\n".join(self._explained(held) for held in flows[:_MOST_FLOWS] if isinstance(held, http.HTTPFlow))

    @_command("mirrorgate.breaker.open")
    def breaker_open(self, cluster: str) -> str:
        """Open a cluster's circuit breaker: every request to it is answered with the overflow 503 until it is closed.

        Requests that are under way or queued go on. A reload that keeps the cluster keeps it open.
        """
        self._plane.director.health.force(self._known(cluster), Trigger.FORCE_OPEN)
        logger.warning("the circuit breaker of %s is opened by hand", cluster)
        return self.breaker_status(cluster)

    @_command("mirrorgate.breaker.close")
    def breaker_close(self, cluster: str) -> str:
        """Take an operator's word back, open or bypassed; limits and a FailureBreakerPolicy apply again."""
        self._plane.director.health.force(self._known(cluster), Trigger.RELEASE)
        logger.warning("the circuit breaker of %s is no longer held by hand", cluster)
        return self.breaker_status(cluster)

    @_command("mirrorgate.breaker.bypass")
    def breaker_bypass(self, cluster: str) -> str:
        """Hold a cluster's failure breaker closed, whatever fails, until `mirrorgate.breaker.close`; limits apply."""
        self._plane.director.health.force(self._known(cluster), Trigger.FORCE_CLOSE)
        logger.warning("the failure breaker of %s is bypassed by hand", cluster)
        return self.breaker_status(cluster)

    @_command("mirrorgate.breaker.status")
    def breaker_status(self, cluster: str = "") -> str:
        """Show the counts and limits of a cluster, or of all."""
        names = [self._known(cluster)] if cluster else self._clusters()
        return "\n".join(self._status(name) for name in names) or "There are no clusters."

    @_command("mirrorgate.mirror.pause")
    def mirror_pause(self) -> str:
        """Mirror nothing until mirroring is resumed; what was handed off goes on."""
        self._pause(True)
        return "mirroring is paused"

    @_command("mirrorgate.mirror.resume")
    def mirror_resume(self) -> str:
        """Mirror again."""
        self._pause(False)
        return "mirroring goes on"

    def _needed_view(self) -> WebView:
        if self._view is None:
            raise exceptions.CommandError("This command needs mitmweb or the console.")
        return self._view

    def _again(self, held: http.HTTPFlow, target: str) -> http.HTTPFlow:
        """Make the flow that is sent."""
        view = self._needed_view()
        source = view.primary_of(held) if target == "primary" else view.shadow_of(held)
        if source is None:
            gone = "The primary's flow is not in the view any more."
            raise exceptions.CommandError(gone if target == "primary" else "The flow has no candidate in the view.")
        if source.request.raw_content is None:
            raise exceptions.CommandError("The request's content was not kept, so it cannot be sent again.")
        fresh: http.HTTPFlow = source.copy()
        fresh.timestamp_created = time.time()
        fresh.live = False
        fresh.intercepted = False
        fresh.error = None
        fresh.response = None
        kept = (LEG, MIRROR, ENDPOINT) if source.metadata.get(LEG) else ()
        for name in [name for name in fresh.metadata if name.startswith(PREFIX) and name not in kept]:
            del fresh.metadata[name]
        fresh.marked = AGAIN
        fresh.comment = f"sent again to the {target}"
        return fresh

    def _explained(self, held: http.HTTPFlow) -> str:
        request = held.request
        sockname = held.client_conn.sockname
        told = explain(
            self._plane.director.snapshot.table,
            request.method,
            request.host_header or request.pretty_host,
            request.path,
            request.headers.fields,
            port=self._plane.ports.get(sockname[1]) if sockname else None,
            model=_text(held.metadata.get("mirrorgate.model")),
        )
        return f"# {request.method} {request.path[:200]}\n{_explanation(told)}"

    def _clusters(self) -> list[str]:
        names = dict.fromkeys(rule.cluster for rule in rules_of(self._plane.director.snapshot))
        return list(names | dict.fromkeys(self._plane.pools))

    def _known(self, cluster: str) -> str:
        names = self._clusters()
        if cluster not in names:
            raise exceptions.CommandError(f"There is no cluster {cluster!r}. There are: {', '.join(names) or 'none'}.")
        return cluster

    def _status(self, cluster: str) -> str:
        pool = self._plane.pools.get(cluster)
        if pool is not None:
            gauges = pool.cluster.gauges
        else:
            rule = next(rule for rule in rules_of(self._plane.director.snapshot) if rule.cluster == cluster)
            gauges = Gauges(0, 0, 0, limits_of(rule.traffic))
        limits = gauges.limits
        counts = ", ".join(
            f"{name} {used}" + ("" if limit >= UNLIMITED else f" of {limit}") + (" (reached)" if reached else "")
            for name, used, limit, reached in (
                ("parallel", gauges.active, limits.parallel, gauges.parallel_open),
                ("pending", gauges.pending, limits.pending, gauges.pending_open),
                ("connections", gauges.connections, limits.connections, gauges.connections_open),
            )
        )
        return f"{cluster}: {_BY_HAND[self._plane.director.health.forced(cluster)]}{counts}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _explanation(told: Explanation) -> str:
    lines = [f"outcome: {told.outcome}", "listeners:"]
    lines += [f"  - {each.what}: {each.reason or 'chosen'}" for each in told.listeners]
    lines.append("matches:" if told.matches else "matches: none was considered")
    if told.omitted:
        lines.append(f"  # {told.omitted} more were considered")
    lines += [f"  - {each.what}: {each.reason or 'chosen'}" for each in told.matches]
    if told.forwarded_path is not None:
        lines.append(f"path: {told.forwarded_path}")
    if told.backends:
        lines.append("backends:")
    for backend in told.backends:
        answer = f", answered {backend.answer}" if backend.answer else ""
        model = f", model {backend.model}" if backend.model else ""
        lines.append(f"  - {backend.ref}: {backend.share:.0%}{model}{answer}")
        lines += [f"      {endpoint}" for endpoint in backend.endpoints]
    if told.mirrors:
        lines.append("mirrors:")
        lines += [f"  - {mirror}" for mirror in told.mirrors]
    return "\n".join(lines)
