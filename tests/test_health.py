"""Which endpoints get requests, by what they answered."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from mirrorgate.admission.checks import Outcome
from mirrorgate.admission.failure_breaker import State, Trigger
from mirrorgate.calls import Call
from mirrorgate.errors import Refusal
from mirrorgate.events import EndpointChanged, HealthChange
from mirrorgate.health import ClusterHealth, Health, Watched
from mirrorgate.resources.endpoints import Address
from mirrorgate.resources.failure_breaker_policy import FailureBreakerPolicySpec
from mirrorgate.resources.traffic_health import (
    ActiveHealthCheck,
    HealthCheck,
    HealthCheckOverrides,
    HttpActiveHealthCheck,
    PassiveHealthCheck,
)

NAMES = ("a:80", "b:80", "c:80", "d:80")


def addresses(*names: str) -> tuple[Address, ...]:
    return tuple(Address(host, int(port)) for host, port in (name.split(":") for name in names))


@dataclass(frozen=True)
class View:
    key: str


class World:
    """A health with one cluster, a clock, and what was told."""

    def __init__(self, *names: str, panic: int | None = None, **passive: Any) -> None:
        self.now = 0.0
        self.told: list[EndpointChanged] = []
        self.health = Health(lambda: self.now, random.Random(1))
        self.health.tell = self.told.append
        self.policy = HealthCheck(
            passive=PassiveHealthCheck(max_ejection_percent=100, consecutive_5xx_errors=1, **passive),
            panic_threshold=panic,
        )
        self.health.adopt([Watched("c", addresses(*names), self.policy)])

    @property
    def cluster(self) -> ClusterHealth:
        found = self.health.of("c")
        assert found is not None
        return found

    def begin(self, name: str) -> Call:
        """Begin a request that nothing refuses, and give it a connection."""
        call = self.cluster.begin(name)
        assert isinstance(call, Call)
        return call

    def usable(self, *names: str) -> list[str]:
        out = self.cluster.excluded(names)
        return [view.key for view in self.cluster.warm([View(name) for name in names if name not in out])]


@pytest.mark.parametrize(
    ("out", "panic", "used"),
    [
        (0, None, 4),
        (1, None, 3),
        (2, None, 2),
        (3, None, 4),
        (4, None, 4),
        (3, 0, 1),
        (4, 0, 0),
        (1, 100, 4),
        (3, 25, 1),
        (3, 26, 4),
    ],
)
def test_too_few_healthy_endpoints_are_a_panic(out: int, panic: int | None, used: int) -> None:
    """Below 50 percent by default health is ignored; 0 never ignores it, not even where nothing is left."""
    world = World(*NAMES, panic=panic)
    for name in NAMES[:out]:
        world.begin(name).answered(500)
    assert len(world.usable(*NAMES)) == used
    assert world.cluster.panics == int(used == 4 and out > 0)


def test_each_destination_is_looked_at_by_itself() -> None:
    """One that is dead as a whole is used in a panic, the other one keeps to its healthy endpoints."""
    world = World(*NAMES)
    for name in NAMES[:3]:
        world.begin(name).answered(500)
    assert world.usable("a:80", "b:80") == ["a:80", "b:80"]
    assert world.usable("c:80", "d:80") == ["d:80"]


@pytest.mark.parametrize(
    ("refusal", "sent", "answered", "counts"),
    [
        (Refusal.CONNECT_FAILURE, False, False, True),
        (Refusal.CONNECT_TIMEOUT, False, False, True),
        (Refusal.UPSTREAM_CLOSED, True, False, True),
        (Refusal.UPSTREAM_CLOSED, True, True, True),
        (Refusal.UPSTREAM_PROTOCOL, True, False, True),
        (Refusal.REQUEST_TIMEOUT, True, False, True),
        (Refusal.REQUEST_TIMEOUT, True, True, False),
        (Refusal.REQUEST_TIMEOUT, False, False, False),
        (Refusal.CLIENT_LEFT, True, False, False),
        (Refusal.KILLED, True, False, False),
        (Refusal.ACTIVE_OVERFLOW, False, False, False),
        (Refusal.PENDING_OVERFLOW, False, False, False),
        (Refusal.INTERNAL, True, False, False),
    ],
)
def test_only_what_the_endpoint_is_to_blame_for_counts(
    refusal: Refusal, sent: bool, answered: bool, counts: bool
) -> None:
    """Not the breaker's own replies, not a client that leaves, not a timeout before it was asked or after its head."""
    world = World(*NAMES)
    call = world.begin("a:80")
    if sent:
        call.sent()
    if answered:
        call.answered(200)
    call.ended(refusal)
    assert world.cluster.out == ({"a:80"} if counts else frozenset())


def test_ejections_and_returns_are_told_and_shown() -> None:
    """With the cause and the length; the reason counts down."""
    world = World(*NAMES, base_ejection_time=10.0, interval=4.0)
    world.begin("a:80").answered(503)
    assert world.told == [EndpointChanged("c", "a:80", HealthChange.EJECTED, "consecutive_5xx", 10.0)]
    world.now = 3.0
    assert world.cluster.reason("a:80") == "ejected as an outlier, for 7 s more"
    assert world.health.tick() == 1.0
    for world.now in (4.0, 8.0, 12.0):
        wait = world.health.tick()
    assert wait == 4.0
    assert world.told[1:] == [EndpointChanged("c", "a:80", HealthChange.RETURNED, "", 0.0)]
    assert world.cluster.reason("a:80") == ""


def test_an_ejection_outlives_a_reload_and_ends_with_its_policy() -> None:
    """The cluster keeps its state; one without a health check is not followed at all."""
    world = World(*NAMES)
    world.begin("a:80").answered(500)
    world.health.adopt([Watched("c", addresses(*NAMES[:2]), world.policy), Watched("other", addresses(*NAMES))])
    assert world.cluster.out == {"a:80"}
    assert world.health.of("other") is None
    world.health.adopt([Watched("c", addresses(*NAMES), HealthCheck())])
    assert world.cluster.out == frozenset()
    assert world.health.tick() is None
    world.health.adopt([])
    assert world.health.of("c") is None


CHECK = ActiveHealthCheck(type="HTTP", http=HttpActiveHealthCheck(path="/health"))


def test_rules_that_ask_for_the_same_check_share_it() -> None:
    """One probe for an endpoint and a check, whatever Pod it is; another check is another probe."""
    health = Health(lambda: 0.0, random.Random(1))
    policy = HealthCheck(active=CHECK)
    other = HealthCheck(active=CHECK.model_copy(update={"overrides": HealthCheckOverrides(port=81)}))
    health.adopt(
        [
            Watched("one", (Address("a", 80, "default/pod"),), policy),
            Watched("two", addresses("a:80"), HealthCheck(active=CHECK.model_copy())),
            Watched("three", addresses("a:80"), other),
        ]
    )
    assert [str(target.address) for target in health.checks] == ["a:80", "a:81"]
    shared, apart = health.checks
    health.checked(shared, Outcome.PASSED, "")
    assert [health.clusters[name].out for name in ("one", "two", "three")] == [frozenset(), frozenset(), {"a:80"}]
    assert health.clusters["three"].reason("a:80") == "not checked yet"
    health.checked(apart, Outcome.FAILED, "/health answers 500")
    assert health.clusters["three"].reason("a:80") == "the active check fails: /health answers 500"


def test_a_new_endpoint_waits_for_its_first_check() -> None:
    """It gets nothing while others are well; before anybody is known to be well, all are used."""
    world = World(*NAMES)
    policy = HealthCheck(active=CHECK)
    world.health.adopt([Watched("c", addresses(*NAMES[:3]), policy)])
    assert world.usable(*NAMES[:3]) == list(NAMES[:3])
    for target in list(world.health.checks):
        world.health.checked(target, Outcome.PASSED, "")
    world.health.adopt([Watched("c", addresses(*NAMES), policy)])
    assert world.usable(*NAMES) == list(NAMES[:3])
    world.health.checked(list(world.health.checks)[3], Outcome.PASSED, "")
    assert world.usable(*NAMES) == list(NAMES)


def test_a_check_that_passes_ends_an_ejection_and_one_that_fails_is_told() -> None:
    """Both kinds of check together; a probe of what is not declared any more is nothing."""
    world = World(*NAMES)
    both = HealthCheck(active=CHECK, passive=world.policy.passive)
    world.health.adopt([Watched("c", addresses(*NAMES), both)])
    targets = list(world.health.checks)
    for target in targets:
        world.health.checked(target, Outcome.PASSED, "")
    assert world.told == []
    world.begin("a:80").answered(500)
    world.health.checked(targets[0], Outcome.PASSED, "")
    world.health.checked(targets[1], Outcome.FAILED, "why")
    world.health.checked(targets[1], Outcome.PASSED, "")
    assert [(change.endpoint, change.change) for change in world.told] == [
        ("a:80", HealthChange.EJECTED),
        ("a:80", HealthChange.RETURNED),
        ("b:80", HealthChange.CHECK_FAILED),
        ("b:80", HealthChange.CHECK_PASSED),
    ]
    world.health.adopt([])
    world.health.checked(targets[0], Outcome.FAILED, "")
    assert world.health.checks == {}


@pytest.mark.parametrize("outcome", [Outcome.SILENT, Outcome.RETRIABLE])
def test_a_check_that_fails_ends_no_ejection(outcome: Outcome) -> None:
    """Below unhealthyThreshold the endpoint is still in by its checks, and found healthy by none of those."""
    world = World(*NAMES)
    active = CHECK.model_copy(update={"unhealthy_threshold": 3})
    world.health.adopt([Watched("c", addresses(*NAMES), HealthCheck(active=active, passive=world.policy.passive))])
    target = next(iter(world.health.checks))
    world.health.checked(target, Outcome.PASSED, "")
    world.begin("a:80").answered(500)
    world.health.checked(target, outcome, "no answer")
    assert "a:80" in world.cluster.out
    world.health.checked(target, Outcome.PASSED, "")
    assert "a:80" not in world.cluster.out


def broken(**spec: Any) -> World:
    """Return a world of two endpoints with breakers that open at half of four calls, wait 10 s and take two probes."""
    world = World("a:80", "b:80")
    settings = {"targetRefs": [ROUTE], "minimumCalls": 4, "openDuration": "10s", "permittedProbes": 2, **spec}
    policy = FailureBreakerPolicySpec.model_validate(settings)
    world.health.adopt([Watched("c", addresses("a:80", "b:80"), breaker=policy)])
    return world


ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route"}


def ask(world: World, name: str, status: int, times: int = 1) -> list[Refusal | None]:
    """Make whole requests; return how they were refused."""
    found: list[Refusal | None] = []
    for _ in range(times):
        call = world.cluster.begin(name)
        if isinstance(call, Refusal):
            found.append(call)
            continue
        found.append(None)
        call.sent()
        call.answered(status)
        call.ended(None)
    return found


def changes(world: World) -> list[tuple[str, str]]:
    return [(change.endpoint, change.change.value.removeprefix("breaker_")) for change in world.told]


def test_an_endpoint_that_fails_is_not_picked_until_its_probes_pass() -> None:
    """Open, half-open and closed, each told; the other endpoint goes on."""
    world = broken(scope="Endpoint")
    assert ask(world, "a:80", 503, 4) == [None] * 4
    assert world.usable("a:80", "b:80") == ["b:80"]
    assert world.cluster.begin("a:80") is Refusal.BREAKER_OPEN
    assert world.usable("a:80") == []
    assert world.cluster.broken
    assert world.cluster.headers(Refusal.BREAKER_OPEN) == ((b"retry-after", b"10"),)
    assert world.cluster.headers(Refusal.NO_ENDPOINTS) == ()
    assert world.cluster.reason("a:80") == "the failure breaker is open, for 10 s more"
    world.now = 10.0
    assert world.usable("a:80", "b:80") == ["a:80", "b:80"]
    probes = [world.begin("a:80"), world.begin("a:80")]
    assert world.usable("a:80", "b:80") == ["b:80"]
    assert world.cluster.reason("a:80") == "the failure breaker is half-open"
    for probe in probes:
        probe.sent()
        probe.answered(200)
        probe.ended(None)
    assert changes(world) == [("a:80", "open"), ("a:80", "half_open"), ("a:80", "closed")]
    assert not world.cluster.broken
    assert world.usable("a:80", "b:80") == ["a:80", "b:80"]


def test_the_clusters_own_breaker_refuses_whatever_the_endpoint() -> None:
    """And a pass of the cluster's is given back where the endpoint's refuses."""
    world = broken(scope="Cluster")
    ask(world, "a:80", 500, 2)
    ask(world, "b:80", 500, 2)
    assert ask(world, "b:80", 200) == [Refusal.BREAKER_OPEN]
    assert changes(world) == [("", "open")]
    world = broken(failureRatePercent=60, minimumCalls=5)
    ask(world, "b:80", 200, 5)
    ask(world, "a:80", 500, 5)
    assert changes(world) == [("a:80", "open")]
    world.now = 10.0
    held = world.begin("a:80"), world.begin("a:80")
    assert world.cluster.begin("a:80") is Refusal.BREAKER_OPEN
    for call in held:
        call.ended(Refusal.CLIENT_LEFT)
    assert ask(world, "a:80", 200, 2) == [None, None]
    assert changes(world)[-1] == ("a:80", "closed")


def test_metrics_only_refuses_nothing_and_shows_what_it_would() -> None:
    """The machine runs all the same."""
    world = broken(mode="MetricsOnly")
    assert ask(world, "a:80", 500, 10) == [None] * 10
    assert world.usable("a:80") == ["a:80"]
    assert not world.cluster.broken
    breakers = world.cluster.breakers
    assert breakers is not None
    assert (breakers.whole.opened, breakers.whole.refused, breakers.endpoints["a:80"].refused) == (1, 6, 6)
    assert changes(world) == [("", "open"), ("a:80", "open")]


@pytest.mark.parametrize(
    ("refusal", "judged"),
    [(Refusal.UPSTREAM_CLOSED, 1), (Refusal.REQUEST_TIMEOUT, 1), (Refusal.CLIENT_LEFT, 0), (Refusal.KILLED, 0)],
)
@pytest.mark.parametrize("answered", [False, True])
def test_a_stream_that_is_cut_is_a_failure_and_a_client_that_leaves_is_nothing(
    refusal: Refusal, judged: int, answered: bool
) -> None:
    """Before and after the head."""
    world = broken()
    call = world.begin("a:80")
    call.sent()
    if answered:
        call.answered(200)
    call.ended(refusal)
    breakers = world.cluster.breakers
    assert breakers is not None
    assert breakers.whole.rates(0.0) == (judged, 100.0 * judged, 0.0)


def test_slow_is_by_the_first_piece_of_a_stream_and_the_end_of_other_answers() -> None:
    """A long stream that began in time is not slow."""
    world = broken(slowCall={"timeToFirstToken": "2s", "duration": "30s", "ratePercent": 50})
    for first, end in ((1.0, 600.0), (2.0, 600.0), (None, 29.0), (None, 31.0)):
        call = world.begin("a:80")
        call.sent()
        begun = world.now
        call.answered(200)
        if first is not None:
            world.now = begun + first
            call.first_piece()
        world.now = begun + end
        call.ended(None)
    assert changes(world) == [("", "open"), ("a:80", "open")]


def test_a_streaming_probe_is_judged_by_its_first_piece() -> None:
    """It may last for minutes, and nobody waits for its end."""
    world = broken(scope="Cluster")
    ask(world, "a:80", 500, 4)
    world.now = 10.0
    for _ in range(2):
        call = world.begin("a:80")
        call.sent()
        call.answered(200)
        call.first_piece()
    assert changes(world) == [("", "open"), ("", "half_open"), ("", "closed")]


def test_an_operators_word_holds_over_reloads_and_without_a_policy() -> None:
    """Open refuses everything, closed lets pass what a policy would refuse; taken back, nothing is left of it."""
    world = World("a:80")
    world.health.adopt([Watched("c", addresses("a:80"))])
    assert world.health.of("c") is None
    world.health.force("c", Trigger.RELEASE)
    assert world.health.of("c") is None
    world.health.force("c", Trigger.FORCE_OPEN)
    world.health.adopt([Watched("c", addresses("a:80"))])
    assert world.health.forced("c") is State.FORCED_OPEN
    assert ask(world, "a:80", 200) == [Refusal.FORCED_OPEN]
    world.health.force("c", Trigger.RELEASE)
    assert ask(world, "a:80", 200) == [None]
    world.health.adopt([Watched("c", addresses("a:80"))])
    assert world.health.of("c") is None
    world = broken()
    ask(world, "a:80", 500, 4)
    world.health.force("c", Trigger.FORCE_CLOSE)
    assert ask(world, "a:80", 500, 20) == [None] * 20
    assert world.usable("a:80") == ["a:80"]
    world.health.adopt([])
    assert world.health.forced("c") is None


def test_a_new_endpoint_starts_slowly() -> None:
    """One that comes with a reload, or returns from an ejection, stands aside from most picks at first."""
    world = World(*NAMES)
    world.health.adopt([Watched("c", addresses(*NAMES[:3]), world.policy, 10.0)])
    world.health.adopt([Watched("c", addresses(*NAMES), world.policy, 10.0)])
    assert sum("d:80" in world.usable(*NAMES) for _ in range(1000)) < 200
    world.now = 10.0
    assert world.usable(*NAMES) == list(NAMES)
    world.begin("a:80").answered(500)
    world.now = 60.0
    world.health.tick()
    assert sum("a:80" in world.usable(*NAMES) for _ in range(1000)) < 200
