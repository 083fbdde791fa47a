"""Asks an InferencePool's own endpoint picker on the way up, and tells it of the answer on the way down.

Our own picker has picked before: where the picker outside fails and may (`FailOpen`), its choice stands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import msgspec
from mitmproxy import http

from ...errors import Refusal
from ...inference.requests import InferenceRequest, parse_request
from ...plans import Plan, Refused
from ...replanning import at_next_choice
from ...resources.endpoints import Address
from ...routing.filters import apply
from ...routing.table import Destination, EndpointPicker, HeaderChanges
from ...sources.endpoint_picker.asking import Asked, Failed, PickerClient
from ...sources.endpoint_picker.consulting import Consultation, Picked, Question
from ...sources.endpoint_picker.messages import Immediate
from ..messages.heads import ResponseHead, without_hop_by_hop
from ..messages.sketch import ResponseSketch

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["Consulted", "Pickers"]

logger = logging.getLogger("mirrorgate")

Fields = tuple[tuple[bytes, bytes], ...]

_NOT_TOLD = frozenset(
    (
        b"x-gateway-destination-endpoint", b"x-gateway-destination-endpoint-subset",
        b"x-gateway-destination-endpoint-served", b"x-gateway-model-name-rewrite", b"x-request-id", b"x-forwarded-for",
        b"x-forwarded-proto", b"host",
    )
)  # fmt: skip
"""Fields of a client's that would speak for the gateway; some follow with the gateway's own value."""


class Consulted:
    """The picker that chose for one exchange, as the way down sees it."""

    __slots__ = ("_carrier", "_client", "_consultation", "_picker")

    def __init__(
        self, carrier: Carrier, client: PickerClient, picker: EndpointPicker, consultation: Consultation
    ) -> None:
        self._carrier = carrier
        self._client = client
        self._picker = picker
        self._consultation = consultation

    def head(self, head: ResponseHead, pending: Awaitable[None] | None) -> Awaitable[None] | None:
        """Tell of the answer's head, and let the picker change it after the addons, if it speaks in time."""
        carrier = self._carrier
        fields = ((b":status", b"%d" % head.status), *head.fields)
        ended = head.bodiless or (head.content_length == 0 and not head.chunked)
        told = self._consultation.answer_head(fields, str(carrier.address), ended=ended)
        return pending if told is None else self._change(pending, told)

    def pieces(self, pieces: list[bytes]) -> None:
        """Copy pieces of the body."""
        self._consultation.answer_pieces(pieces)

    def end(self, response: http.Response | ResponseSketch) -> None:
        """Tell of the end, and of a body that was buffered."""
        if not response.stream and response.raw_content:
            self._consultation.answer_pieces([response.raw_content])
        self._consultation.answer_end(() if response.trailers is None else response.trailers.fields)

    def finish(self) -> None:
        self._client.finished(self._picker, self._consultation)

    async def _change(self, pending: Awaitable[None] | None, told: Awaitable[HeaderChanges]) -> None:
        if pending is not None:
            await pending
        changes = await told
        response = self._carrier.flow.response
        if changes and response is not None:
            response.headers.fields = tuple(apply(changes, response.headers.fields))


class Pickers:
    """Asks the pickers of every pool that has one."""

    def __init__(self, client: PickerClient) -> None:
        self._client = client
        self._failing: set[str] = set()
        """Pickers whose latest choice failed, so that the log has one line for an outage."""

    async def consult(self, carrier: Carrier, plan: Plan, body: bytes | None) -> Plan | Refused | None:
        """Let the picker of the plan's pool choose; `body` is what the client sent. `None` when the exchange has ended
        meanwhile."""
        destination = plan.destination
        picker = None if destination is None else destination.picker
        if destination is None or picker is None:
            return plan
        began = time.monotonic()
        asking = asyncio.get_running_loop().create_task(self._client.ask(picker, _question(carrier, plan, body)))
        asking.add_done_callback(lambda _: carrier.wake())
        while not asking.done():
            await carrier.wait()
            if carrier.over:
                asking.cancel()
                return None
        asked = asking.result()
        if carrier.over:
            if isinstance(asked, Asked):
                self._client.finished(picker, asked.consultation)
            return None
        if isinstance(asked, Failed):
            return self._failed(plan, picker, asked.message)
        if isinstance(asked.result, Immediate):
            self._client.finished(picker, asked.consultation)
            self._client.results[picker.ref, "answered"] += 1
            return _answer(asked.result, plan)
        choices = _choices(destination, asked.result)
        if not choices:
            self._client.finished(picker, asked.consultation)
            self._client.results[picker.ref, "outside_pool"] += 1
            named = ", ".join(asked.result.endpoints) or "no endpoint"
            return self._failed(plan, picker, f"{picker.ref} chose {named}, which is not of the pool")
        self._client.results[picker.ref, "picked"] += 1
        if picker.ref in self._failing:
            self._failing.discard(picker.ref)
            logger.info("%s chooses again", picker.ref)
        carrier.consulted = Consulted(carrier, self._client, picker, asked.consultation)
        return _chosen(plan, picker, choices, asked.result, body, time.monotonic() - began)

    def _failed(self, plan: Plan, picker: EndpointPicker, message: str) -> Plan | Refused:
        if picker.ref not in self._failing:
            self._failing.add(picker.ref)
            follows = "our own picker stands in" if picker.fail_open else "requests are refused"
            logger.warning("the endpoint picker failed: %s; %s (failureMode)", message, follows)
        return plan if picker.fail_open else Refused(Refusal.PICKER_FAILED, model=plan.model)


def _question(carrier: Carrier, plan: Plan, body: bytes | None) -> Question:
    """Say what the picker is to know: the request as the client sent it, as Envoy's filter does before the router.

    A streamed upload is told of as one without a body.
    """
    request = carrier.flow.request
    fields: list[tuple[bytes, bytes]] = [
        (b":method", request.data.method),
        (b":scheme", carrier.connection.scheme),
        (b":authority", next((value for name, value in request.headers.fields if name.lower() == b"host"), b"")),
        (b":path", request.data.path),
    ]
    fields += [field for field in without_hop_by_hop(request.headers.fields) if field[0].lower() not in _NOT_TOLD]
    fields += [
        (b"x-forwarded-for", carrier.client.peername[0].encode("latin-1", "replace")),
        (b"x-forwarded-proto", carrier.connection.scheme),
        (b"x-request-id", plan.request_id.encode()),
    ]
    pick, subset = plan.pick, None
    if pick is not None and pick.dropped and not pick.panic:
        # Some endpoints do not answer: the others are what may be chosen.
        subset = tuple(view.key for view in pick.candidates)
    return Question(fields, body or b"", subset)


def _choices(destination: Destination, picked: Picked) -> tuple[Address, ...]:
    """Return those of the endpoints that are the pool's: the list is scoped to the pool it came from."""
    known = {str(address): address for address in destination.endpoints}
    return tuple(known[endpoint] for endpoint in dict.fromkeys(picked.endpoints) if endpoint in known)


def _chosen(
    plan: Plan,
    picker: EndpointPicker,
    choices: tuple[Address, ...],
    picked: Picked,
    body: bytes | None,
    seconds: float,
) -> Plan:
    """Return the plan with the picker's choice: its endpoint, its header fields, and its body and hence its model
    instead of what our own models would have made of it."""
    sent = body if picked.body is None or body is None else picked.body
    chosen = at_next_choice(msgspec.structs.replace(plan, choices=choices), (), f"chosen by {picker.ref}")
    return msgspec.structs.replace(
        chosen,
        body=sent,
        target_model=plan.model if sent == body else _model(plan, sent),
        request_changes=(picked.changes, *plan.request_changes) if picked.changes else plan.request_changes,
        pick_seconds=seconds,
        control=None if plan.control == chosen.address else plan.control,
    )


def _model(plan: Plan, body: bytes | None) -> str | None:
    request = parse_request("POST", plan.path.decode("latin-1"), "application/json", body or b"")
    return request.model if isinstance(request, InferenceRequest) else plan.model


def _answer(answer: Immediate, plan: Plan) -> Refused:
    """Pass an immediate answer to the client; one without a body gets an error in the shape that clients expect."""
    fields = answer.fields
    if answer.body and not any(name == b"content-type" for name, _ in fields):
        fields = (*fields, (b"content-type", b"text/plain"))
    elif not answer.body:
        fields = tuple(field for field in fields if field[0] != b"content-type")
    return Refused(Refusal.ANSWERED_BY_PICKER, status=answer.status, headers=fields, body=answer.body, model=plan.model)
