"""Picks endpoints for exchanges: the part of the director that remembers.

What it remembers outlives a reload: requests in flight by endpoint, and what each destination's picks have to know
(prefixes, round robin's turn).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from .errors import Refusal
from .health import ClusterHealth
from .inference.requests import InferenceRequest
from .plans import Held, Refused
from .routing.splitting import ModelChoice
from .routing.table import Destination, DestinationKind, TrafficPolicy
from .scheduling.endpoints import EndpointHealth
from .scheduling.in_flight import InFlight
from .scheduling.picks import NoEndpoint, NoEndpointReason, Pick, PickRequest, PickState
from .scheduling.profiles import BALANCERS, PROFILES, Profile, pick
from .scheduling.saturation import room, saturated

__all__ = ["Picking", "dropped", "pick_request", "profile_of", "refusal_of"]

_DROPPED = b"x-llm-d-request-dropped-reason"
"""Why an endpoint picker has dropped a request (llm-d's name; the Inference Extension has none)."""

_RETRY_AFTER = (b"retry-after", b"1")
"""Loads are scraped more often than once a second: by then the answer may be another."""


class Picking:
    """Every destination's picks. What changes with the configuration comes as arguments."""

    def __init__(
        self, loads: Callable[[], Mapping[str, EndpointHealth]], clock: Callable[[], float], rng: random.Random
    ) -> None:
        self.in_flight = InFlight()
        self._loads = loads
        self._clock = clock
        self._rng = rng
        self._states: dict[str, PickState] = {}

    def retain(self, destinations: Iterable[Destination]) -> None:
        """Forget what is none of these, and endpoints that have left them."""
        live: dict[str, set[str]] = {}
        for destination in destinations:
            live.setdefault(destination.ref, set()).update(map(str, destination.endpoints))
        for ref in [ref for ref in self._states if ref not in live]:
            del self._states[ref]
        for ref, state in self._states.items():
            state.retain(live[ref])

    def pick(
        self,
        destination: Destination,
        traffic: TrafficPolicy,
        asked: PickRequest,
        health: ClusterHealth | None = None,
    ) -> tuple[Pick | NoEndpoint, PickState, float]:
        """Pick an endpoint among those that `health` lets be used.

        Also returns the memory to tell when it is sent, and the seconds that it took.
        """
        begun = self._clock()
        state = self._state(destination)
        if health is None:
            views = state.views(destination.endpoints, self._loads(), self.in_flight)
        else:
            out = health.excluded(state.keys(destination.endpoints))
            known = state.views(destination.endpoints, self._loads(), self.in_flight, out, health.cluster)
            views = health.warm(known)
        picked = pick(profile_of(destination, traffic), views, asked, state, self._rng)
        return picked, state, self._clock() - begun

    def saturated(self, destination: Destination) -> bool:
        """Tell whether no endpoint has room."""
        return saturated(self._state(destination).views(destination.endpoints, self._loads(), self.in_flight))

    def room(self, destination: Destination) -> int:
        """Tell how many more requests the endpoints could take; -1 where nothing is known of them."""
        return room(self._state(destination).views(destination.endpoints, self._loads(), self.in_flight))

    def _state(self, destination: Destination) -> PickState:
        ref = destination.ref
        state = self._states.get(ref)
        if state is None:
            state = self._states[ref] = PickState()
        return state


def dropped(reason: str, model: str | None, held: Held | None = None) -> Refused:
    """Shed a request, in the words of llm-d's endpoint picker."""
    headers = ((_DROPPED, reason.encode()), _RETRY_AFTER)
    return Refused(Refusal.SATURATED, code="system_saturated", headers=headers, model=model, held=held)


def pick_request(request: InferenceRequest | None, choice: ModelChoice) -> PickRequest:
    """Say what a pick may know of a request and of the model that was chosen for it."""
    if request is None:
        return PickRequest(choice.target, critical=choice.critical, priority=choice.priority)
    salt = b"" if request.cache_salt is None else request.cache_salt.encode()
    return PickRequest(choice.target, request.prompt, salt, choice.critical, choice.priority)


def profile_of(destination: Destination, traffic: TrafficPolicy) -> Profile:
    """Choose how a destination's endpoints are picked: an InferencePool's by its profile, others by the policy's
    balancer."""
    if destination.kind is DestinationKind.INFERENCE_POOL:
        return PROFILES[destination.profile]
    return BALANCERS.get(traffic.load_balancer, BALANCERS["LeastRequest"])


def refusal_of(
    found: NoEndpoint, destination: Destination, model: str | None, health: ClusterHealth | None = None
) -> Refused:
    """Say how a pick without an endpoint is answered; only endpoint pickers, hence pools, tell their reason."""
    if found.reason is NoEndpointReason.SATURATED:
        return dropped("rejected-saturated", model)
    if health is not None and health.broken:
        return Refused(Refusal.BREAKER_OPEN, headers=health.headers(Refusal.BREAKER_OPEN), model=model)
    pool = destination.kind is DestinationKind.INFERENCE_POOL
    return Refused(Refusal.NO_ENDPOINTS, headers=((_DROPPED, b"rejected-no-endpoints"),) if pool else (), model=model)
