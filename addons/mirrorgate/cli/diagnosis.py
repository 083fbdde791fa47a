"""What is wrong with a gateway, judged from what it says of itself: facts in, findings out.

Each finding says what is so and what to do about it. A check never guesses: what is not known (an older gateway does
not tell it, or may not) is not found fault with.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import Severity
from ..events import MirrorDropReason
from .facts import Facts, FailureBreakers

__all__ = ["Finding", "Weight", "diagnose", "worst"]

_LATE = 0.1
"""Seconds of the event loop's lag that clients notice: two tokens at a usual pace."""
_SKEW = 2.0
"""Seconds between two clocks that no clock discipline explains."""
_NEARLY = 0.9
"""Of a limit."""
_FREE_SHARE, _FREE_BYTES = 0.05, 1024**3
_SILENT = 900.0
"""Seconds without a good answer of a candidate that is sent mirrors."""
_SOURCE_AGE = 120.0
_LOSS = 0.01
"""Share of lost mirrors from which it is told."""


class Weight(enum.IntEnum):
    """How much a finding weighs; it is the exit code of the command."""

    NOTE = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Finding:
    weight: Weight
    subject: str
    """What it is about, such as `cluster default/route/0`."""
    text: str
    remedy: str


def worst(findings: Sequence[Finding]) -> int:
    """Return the exit code: 0 nothing but notes, 1 a warning, 2 a problem."""
    return max((int(finding.weight) for finding in findings), default=0)


def diagnose(facts: Facts) -> list[Finding]:
    """Return every finding, the gravest first."""
    found = [finding for check in _CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: -finding.weight)


def _problem(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Weight.PROBLEM, subject, text, remedy)


def _warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(Weight.WARNING, subject, text, remedy)


def _reached(facts: Facts) -> Iterator[Finding]:
    if facts.unreachable:
        remedy = "see whether the gateway runs; gateway_admin says where its admin server binds, --admin where to ask"
        yield _problem("admin server", f"nothing answers at {facts.admin}: {facts.unreachable}", remedy)
    elif facts.denied:
        remedy = "ask on its own machine, or with --token"
        yield _warning("admin server", f"{facts.admin} shows no more than metrics: {facts.denied}", remedy)
    if facts.ready is not None and not facts.ready[0]:
        draining = facts.ready[1].strip() == "draining"
        remedy = "it stops; nothing is to be done" if draining else "what follows says why; the log says more"
        yield _problem("gateway", f"not ready: {facts.ready[1].strip()}", remedy)


def _configuration(facts: Facts) -> Iterator[Finding]:
    for problem in facts.config or ():
        weight = Weight.PROBLEM if problem.severity is Severity.ERROR else Weight.WARNING
        yield Finding(weight, "manifests", str(problem), problem.hint or "mend the manifest")
    overview = facts.overview
    if overview is None:
        return
    for mode, error in overview.bind_errors.items():
        remedy = "free the port, or change it (gateway_port_offset); ports under 1024 need a capability"
        yield _problem(f"listener {mode}", f"not bound: {error}", remedy)
    if overview.problems:
        age = _span(facts.now - overview.applied)
        yield _problem(
            "configuration",
            f"the latest was refused for {overview.problems} problems; generation {overview.generation}, {age} old, "
            "goes on serving",
            "`mirrorgate check` lists the problems",
        )
    for warning in overview.warnings:
        yield Finding(Weight.NOTE, "configuration", warning, "see docs/fields.md for what is done with each field")
    age_of_source = facts.total("mirrorgate_config_source_age_seconds")
    if age_of_source > _SOURCE_AGE:
        yield _warning(
            "configuration",
            f"the API server was last heard of {_span(age_of_source)} ago",
            "see whether it can be reached, and whether the service account may list and watch",
        )


def _endpoints(facts: Facts) -> Iterator[Finding]:
    for cluster in facts.clusters or ():
        if not cluster.destinations:
            continue  # it redirects, or every backendRef is invalid, which the configuration's warnings tell
        subject, ill = f"cluster {cluster.name}", [each for each in cluster.endpoints if not each.healthy]
        grave = Weight.PROBLEM if cluster.kind == "rule" else Weight.WARNING
        if not cluster.endpoints:
            text = f"{', '.join(cluster.destinations)} has no endpoint"
            yield Finding(grave, subject, text, "see the Pods' labels and readiness, and the pool's selector")
        elif len(ill) == len(cluster.endpoints):
            text = f"none of {len(ill)} endpoints is healthy"
            yield Finding(grave, subject, text, "see the servers; what is wrong with each follows")
        for endpoint in cluster.endpoints:
            if not endpoint.healthy:
                text = f"out: {endpoint.error or 'unhealthy'}"
                remedy = "see the server; an ejected endpoint returns by itself"
                yield _warning(f"endpoint {endpoint.address}", text, remedy)
            elif endpoint.error:
                yield _warning(
                    f"endpoint {endpoint.address}",
                    f"its load is not known: {endpoint.error}",
                    "let it serve /metrics, or set gateway_scrape_interval=0",
                )


def _breakers(facts: Facts) -> Iterator[Finding]:
    for cluster in facts.clusters or ():
        subject = f"cluster {cluster.name}"
        for name, breaker in cluster.limits.items():
            if breaker.limit is None or not breaker.limit:
                continue
            remedy = "add endpoints, or raise the limit of its BackendTrafficPolicy if the servers can take it"
            if breaker.open:
                yield _warning(subject, f"the limit on {name} is reached ({breaker.used} of {breaker.limit})", remedy)
            elif breaker.used >= _NEARLY * breaker.limit:
                text = f"{breaker.used} of {breaker.limit} {name} are in use"
                yield Finding(Weight.NOTE, subject, text, remedy)
        yield from _failure_breakers(subject, cluster.failure_breaker)


def _failure_breakers(subject: str, breakers: FailureBreakers | None) -> Iterator[Finding]:
    if breakers is None:
        return
    enforced = breakers.mode == "Enforce"
    for name, breaker in {"": breakers.cluster, **breakers.endpoints}.items():
        place = f"{subject}, endpoint {name}" if name else subject
        if breaker.state.startswith("forced"):
            text = f"an operator holds the failure breaker {breaker.state.removeprefix('forced_')}"
            weight = Weight.PROBLEM if breaker.state == "forced_open" and not name else Weight.WARNING
            yield Finding(weight, place, text, "take the word back when it is no longer needed (docs/health.md)")
        elif breaker.state != "closed":
            weight = (Weight.WARNING if name else Weight.PROBLEM) if enforced else Weight.NOTE
            text = f"the failure breaker is {breaker.state.replace('_', '-')}" + ("" if enforced else " (dry run)")
            yield Finding(weight, place, text, "see why the servers fail or are slow; it closes by itself")


_DROP_REMEDIES: dict[str, str] = {
    MirrorDropReason.QUEUE_FULL: "the shadow process does not keep up: mirror a smaller share, or raise "
    "shadow_queue_bytes and shadow_max_queued",
    MirrorDropReason.NO_ENDPOINTS: "the candidate has no ready endpoint",
    MirrorDropReason.PROCESS_DOWN: "the shadow process was down: see the log for why",
    MirrorDropReason.BODY_TOO_LARGE: "raise shadow_queue_bytes, or mirror a route without such bodies",
    MirrorDropReason.UPLOAD_OVERRUN: "uploads come faster than the candidate takes them",
    MirrorDropReason.OVERLOAD: "the gateway itself is overloaded: add replicas",
}
_INTENDED = frozenset(
    (
        MirrorDropReason.SAMPLED_OUT,
        MirrorDropReason.REJECTED,
        MirrorDropReason.REPLAY,
        MirrorDropReason.PAUSED,
        MirrorDropReason.ALREADY_SHADOW,
    )
)


def _shadow(facts: Facts) -> Iterator[Finding]:
    mirrored = any(cluster.kind == "mirror" for cluster in facts.clusters or ())
    if mirrored and "mirrorgate_shadow_up" in facts.metrics and not facts.total("mirrorgate_shadow_up"):
        remedy = "it is started again by itself; the log has its last words"
        yield _problem("shadow", "the shadow process is down: nothing is mirrored or compared", remedy)
    if facts.overview is not None and facts.overview.paused:
        yield _warning("shadow", "mirroring is paused", "POST /mirror/resume on the admin port")
    if restarts := facts.total("mirrorgate_shadow_restarts_total"):
        yield _warning("shadow", f"the shadow process was restarted {restarts:.0f} times", "the log has its last words")
    dropped: dict[tuple[str, str], float] = {}
    for labels, value in facts.metrics.get("mirrorgate_shadow_dropped_total", ()):
        if value and labels.get("leg") != "control" and labels.get("reason") not in _INTENDED:
            key = labels.get("cluster", ""), labels.get("reason", "")
            dropped[key] = dropped.get(key, 0) + value
    for (cluster, reason), count in dropped.items():
        sent = facts.total("mirrorgate_shadow_sent_total", cluster=cluster)
        if count > _LOSS * (sent + count):
            why = _DROP_REMEDIES.get(reason, "docs/metrics.md and the log say more")
            text = f"{count:.0f} mirrors were lost beside {sent:.0f} that were sent: {reason}"
            yield _warning(f"mirror {cluster}", text, why)
    for labels, at in facts.metrics.get("mirrorgate_shadow_last_success_timestamp_seconds", ()):
        cluster = labels.get("cluster", "")
        if labels.get("leg") == "candidate" and at and facts.now - at > _SILENT:
            text = f"its last good answer is {_span(facts.now - at)} old"
            yield _warning(f"mirror {cluster}", text, "see the candidate, and whether there is traffic to mirror")


def _journal(facts: Facts) -> Iterator[Finding]:
    if lost := facts.total("mirrorgate_journal_records_total", result="lost"):
        yield _problem("journal", f"{lost:.0f} records were lost", "see the disk; the verdict is not touched by it")
    journal = None if facts.overview is None else facts.overview.journal
    if journal is None:
        return
    if not journal.writable:
        remedy = "let the gateway's user write there, or set shadow_journal"
        yield _problem("journal", f"{journal.folder} cannot be written to", remedy)
    if journal.free is not None and journal.size and journal.free < min(_FREE_BYTES, _FREE_SHARE * journal.size):
        text = f"{journal.free / 2**20:.0f} MiB are left on the disk of {journal.folder}"
        yield _warning("journal", text, "remove old journals; docs/scaling.md says how much a day brings")


def _verdicts(facts: Facts) -> Iterator[Finding]:
    for verdict in facts.verdicts or ():
        subject = f"verdict of {verdict.cluster}"
        if verdict.verdict == "REJECT":
            yield _warning(subject, f"REJECT: {verdict.reason}", "`mirrorgate report` shows the worst pairs")
        elif verdict.verdict == "HOLD":
            yield Finding(Weight.NOTE, subject, f"HOLD: {verdict.reason}", "docs/verdict.md says what it waits for")
        coverage = verdict.coverage
        if coverage is not None and coverage.share < coverage.minimum:
            reasons = ", ".join(f"{name} {count}" for name, count in coverage.reasons.items()) or "reasons unknown"
            yield _warning(
                subject,
                f"{100 * coverage.share:.1f} % of the mirrored exchanges were compared, PROMOTE takes "
                f"{100 * coverage.minimum:.0f} %: {reasons}",
                "mirror a smaller share, so that all of it is compared",
            )


def _workers(facts: Facts) -> Iterator[Finding]:
    for worker in () if facts.overview is None else facts.overview.workers:
        subject = f"worker {worker.worker}"
        if worker.pid is None:
            yield _warning(subject, "it does not run", "it is started again by itself; the log says why it ended")
        elif not worker.ready:
            text = f"it does not answer (process {worker.pid}), and the connections that it was given hang"
            remedy = "if it does not start just now it is ended and started again, unless --worker-hang-timeout is 0"
            yield _problem(subject, text, remedy)
        if worker.restarts:
            text = f"it was started again {worker.restarts} times, {worker.hangs} of them because it hung"
            yield _warning(subject, text, "the log says how it ended: `is gone`, with its exit status or signal")


def _process(facts: Facts) -> Iterator[Finding]:
    standing = facts.total("mirrorgate_overload_active", sheds="requests")
    if standing:
        share = facts.total("mirrorgate_overload_refused_share")
        text = f"overloaded: {100 * share:.0f} % of new requests are refused, so that the others are in time"
        yield _problem("event loop", text, "add replicas (docs/scaling.md), or see which addon blocks")
    elif (lag := facts.total("mirrorgate_event_loop_lag_max_seconds")) > _LATE:
        text = f"it was {1000 * lag:.0f} ms late lately, in which no byte moved"
        yield _warning("event loop", text, "see whether the process gets its CPU, and which addon blocks")
    if shed := facts.total("mirrorgate_local_replies_total", reason="overload"):
        away = facts.total("mirrorgate_downstream_connections_refused_total", reason="overload")
        text = f"{shed:.0f} requests and {away:.0f} connections were refused for overload since it started"
        yield Finding(Weight.NOTE, "overload", text, "the access log has their clients: lines with the flag OM")
    if bugs := facts.total("mirrorgate_local_replies_total", reason="internal"):
        text = f"{bugs:.0f} requests ended in a bug of the gateway or of an addon"
        yield _warning("gateway", text, "the log has the tracebacks: please report them")
    if lost := facts.total("mirrorgate_access_log_dropped_total"):
        yield _warning("access log", f"{lost:.0f} lines were lost", "see whether its disk is full or slow")
    yield from _descriptors(facts)
    overview = facts.overview
    if overview is None:
        return
    if overview.now is not None and abs(facts.now - overview.now) > _SKEW:
        text = f"its clock and this one are {abs(facts.now - overview.now):.0f} s apart"
        yield _warning("clock", text, "let NTP set both; journals and metrics of replicas are put together by time")
    series = tuple(f"{each}." for each in facts.tested)
    if overview.mitmproxy and series and not overview.mitmproxy.startswith(series):
        text = f"mitmproxy {overview.mitmproxy} was not tested with Mirrorgate ({', '.join(facts.tested)}.x were)"
        yield _warning("mitmproxy", text, "install the version that requirements.txt pins")
    if overview.bind and not _loopback(overview.bind) and not overview.token:
        yield _warning(
            "admin server",
            f"it is bound to {overview.bind} without a token: nobody but its own machine sees more than metrics, and "
            "nothing can be changed",
            "set gateway_admin_token",
        )


def _descriptors(facts: Facts) -> Iterator[Finding]:
    most, used = facts.total("process_max_fds"), facts.total("process_open_fds")
    if not most:
        return
    remedy = "raise the limit on open files (ulimit -n, LimitNOFILE)"
    if used >= _NEARLY * most:
        yield _problem("file descriptors", f"{used:.0f} of {most:.0f} are open", remedy)
        return
    limits = [
        breaker.limit
        for cluster in facts.clusters or ()
        for name, breaker in cluster.limits.items()
        if name == "connections" and breaker.limit is not None
    ]
    # Each connection to a server comes with one of a client's.
    if 2 * sum(limits) > most:
        text = f"{most:.0f} may be open, while the clusters' connection limits add up to {sum(limits)}, with as many "
        yield Finding(Weight.NOTE, "file descriptors", text + "of clients", remedy)


def _loopback(bind: str) -> bool:
    host = bind.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def _span(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _reached,
    _configuration,
    _endpoints,
    _breakers,
    _shadow,
    _journal,
    _verdicts,
    _workers,
    _process,
)
