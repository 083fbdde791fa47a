"""The limits of a cluster: Envoy Gateway's defaults."""

from mirrorgate.admission.limits import UNLIMITED, Limits


def test_the_defaults_are_envoy_gateways() -> None:
    """What is not declared is 1024, and unlimited for one endpoint."""
    assert Limits() == Limits(connections=1024, pending=1024, parallel=1024, per_endpoint_connections=UNLIMITED)
    assert UNLIMITED == 4294967295
