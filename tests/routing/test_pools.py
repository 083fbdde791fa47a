"""Pools: parents of an InferencePool."""

from mirrorgate.resources.inventory import Inventory
from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.routing.pools import PoolUse, pools_of
from mirrorgate.routing.table import Backend, Destination, DestinationKind, Mirror, Rule


def destination(kind: DestinationKind, name: str) -> Destination:
    return Destination(kind, "default", name, None, ())


def test_pools_of_a_rule() -> None:
    """Pools count as backends and as mirrors; invalid references and Services do not."""
    pool, service = DestinationKind.INFERENCE_POOL, DestinationKind.SERVICE
    backends = (
        Backend(1, "x", destination(pool, "a")),
        Backend(1, "x", destination(service, "s")),
        Backend(1, "x", None, "BackendNotFound"),
    )
    mirrors = (Mirror(0, "m", destination(pool, "b"), 1.0, ShadowPolicySpec()),)
    rule = Rule(("default", "r"), 0, None, "c", backends, mirrors)
    assert pools_of(rule) == {("default", "a"), ("default", "b")}


def test_one_accepted_route_is_enough() -> None:
    """A Gateway accepts a pool when it accepts one of the routes that use it."""
    use = PoolUse()
    for accepted in (False, True, False):
        use.note(("default", "pool"), ("default", "gw"), accepted)
    assert use.accepted["default", "pool"]["default", "gw"]
    assert use.statuses(Inventory(), "c") == {}
