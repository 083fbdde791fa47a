"""The views that a pick is made of."""

from __future__ import annotations

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointHealth, EndpointView, Load, endpoint_views
from mirrorgate.scheduling.in_flight import InFlight

A, B, C = Address("10.0.0.1", 8000), Address("10.0.0.2", 8000), Address("::1", 8000)
TARGETS = {str(address): address for address in (A, B, C)}


def test_views_put_health_and_counts_together() -> None:
    """Views come in the order of the targets, and `unseen` counts from the load's time."""
    load = Load(waiting=3, at=10.0)
    in_flight = InFlight()
    for now in (9.0, 11.0, 12.0):
        in_flight.acquire("10.0.0.1:8000", now)
    in_flight.acquire("10.0.0.2:8000", 1.0)
    health = {"10.0.0.1:8000": EndpointHealth(load), "10.0.0.2:8000": EndpointHealth(healthy=False, failures=3)}
    assert endpoint_views(TARGETS, health, in_flight) == [
        EndpointView("10.0.0.1:8000", A, load, in_flight=3, healthy=True, unseen=2),
        EndpointView("10.0.0.2:8000", B, None, in_flight=1, healthy=False, unseen=1),
        EndpointView("[::1]:8000", C),
    ]


def test_an_ejected_endpoint_is_unhealthy() -> None:
    """The outlier detector's word counts as much as the scraper's."""
    views = endpoint_views(TARGETS, {}, InFlight(), ejected={"10.0.0.2:8000"})
    assert [view.healthy for view in views] == [True, False, True]
