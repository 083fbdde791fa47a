"""A configuration as the destination."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.errors import ConfigProblems
from mirrorgate.legs import policy_bytes
from mirrorgate.records import Leg
from mirrorgate.replay.aiming import Rewrites
from mirrorgate.replay.captured import Captured, Skip
from mirrorgate.replay.route_target import RouteTarget, compiled
from mirrorgate.replay.selecting import request_of
from mirrorgate.resources.shadow_policy import ShadowPolicySpec

POLICY = ShadowPolicySpec()


def destination(manifests: Any, *texts: str, mirrors: bool = False) -> RouteTarget:
    """Return a destination over these manifests."""
    return RouteTarget(
        manifests.snapshot(*texts), "test", Rewrites(), POLICY, policy_bytes(POLICY), random.Random(1), mirrors=mirrors
    )


def ask(to: RouteTarget, entry: Captured, leg: Leg = Leg.CANDIDATE) -> Any:
    """Aim one request."""
    return to.aims(entry, request_of(entry), leg)


def mirrored(manifests: Any) -> tuple[str, ...]:
    """Return manifests of a rule with a mirror and a policy."""
    ref = manifests.to_server("shadow")
    filters = f"[{{type: RequestMirror, requestMirror: {{backendRef: {ref}}}}}]"
    rule = f"[{{backendRefs: [{manifests.to_server('a')}], filters: {filters}}}]"
    policy = manifests.policy("ShadowPolicy", "candidate: {modelName: other, timeout: 7s}")
    return manifests.server("a", 8001), manifests.server("shadow", 8002), manifests.route(rule), policy


def test_backends_are_picked_by_the_director(captures: Any, manifests: Any) -> None:
    """Requests that are under way at one endpoint send the next to another, until they are released."""
    rule = manifests.route(f"[{{backendRefs: [{manifests.to_server('a')}]}}]")
    to = destination(manifests, manifests.server("a", 8001, 8002), rule)
    found = [ask(to, captures.entry(str(n))) for n in range(20)]
    ports = [aims[0].target.port for aims in found]
    assert ports.count(8001) == ports.count(8002) == 10
    for aims in found:
        aims[0].release()
        aims[0].release()
    assert not to._director.in_flight.counts()


def test_mirrors_have_their_own_policy(captures: Any, manifests: Any) -> None:
    """Model, timeout and mark are those of a live mirror."""
    [aim] = ask(destination(manifests, *mirrored(manifests), mirrors=True), captures.entry())
    target = aim.target
    assert (target.port, target.model, target.timeout, target.leg) == (8002, "other", 7.0, Leg.CANDIDATE)
    assert [value for name, value in target.head if name == b"x-mirrorgate-leg"] == [b"candidate"]
    assert json.loads(target.policy)["candidate"]["modelName"] == "other"


def test_the_same_configuration_is_the_primary(captures: Any, manifests: Any) -> None:
    """Its backends, marked so that nobody mirrors the request again."""
    [aim] = ask(destination(manifests, *mirrored(manifests)), captures.entry(), Leg.PRIMARY)
    assert aim.target.port == 8001
    assert (b"x-mirrorgate-leg", b"primary") in aim.target.head
    assert all(name != b"authorization" for name, _ in aim.target.head)


def test_where_nothing_leads(captures: Any, manifests: Any) -> None:
    """A path without a rule, a rule without a mirror."""
    rule = manifests.route(
        f"[{{matches: [{{path: {{value: /v1}}}}], backendRefs: [{manifests.to_server('a')}]}}]"
    )  # fmt: skip
    texts = (manifests.server("a", 8001), rule)
    assert ask(destination(manifests, *texts), captures.entry(path="/v2/x")) is Skip.NO_ROUTE
    assert ask(destination(manifests, *texts, mirrors=True), captures.entry()) is Skip.NO_MIRROR


def test_wrong_manifests_are_refused(tmp_path: Path) -> None:
    """With every problem, as `mirrorgate check` lists them."""
    (tmp_path / "a.yaml").write_text("kind: Gateway\napiVersion: gateway.networking.k8s.io/v1\nspec: 3\n")
    with pytest.raises(ConfigProblems):
        compiled([tmp_path])
