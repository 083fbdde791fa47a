"""The routes of the fake server: what vLLM has, and `/control`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from . import api_errors, chat, completions, embeddings, messages, responses
from .api_errors import ApiError
from .asks import Ask, Shape, parse_ask, parse_json
from .behaviour import Behaviour, BehaviourError, Canned, Defect
from .delivery import JSON, Delivery
from .engine import EngineBusy
from .events import dumps
from .exchange import Exchange
from .generation import digest, generate
from .metrics import CONTENT_TYPE, Metrics

__all__ = ["Application", "Host"]

_SHAPES = {
    "/v1/chat/completions": Shape.CHAT,
    "/v1/completions": Shape.COMPLETIONS,
    "/v1/responses": Shape.RESPONSES,
    "/v1/messages": Shape.MESSAGES,
}
_WRITERS: dict[Shape, Any] = {
    Shape.CHAT: chat,
    Shape.COMPLETIONS: completions,
    Shape.RESPONSES: responses,
    Shape.MESSAGES: messages,
}
VERSION = "0.32.0"


class Host(Protocol):
    """What `/control` can do to the server."""

    @property
    def behaviour(self) -> Behaviour: ...
    def state(self) -> dict[str, Any]: ...
    async def configure(self, **changes: Any) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Application:
    """Answers requests in the shapes that vLLM answers in."""

    host: Host
    metrics: Metrics
    started: int
    """Unix time, seconds."""

    async def answer(self, delivery: Delivery) -> None:
        """Answer one request, whatever it is."""
        exchange, behaviour = delivery.exchange, self.host.behaviour
        path, method = exchange.received.path, exchange.received.method
        if await delivery.before_body():
            return
        if canned := behaviour.canned.get(path):
            await _send_canned(exchange, canned)
        elif path.startswith("/control"):
            await self._control(exchange, path, method)
        elif path.startswith("/v1/") and not _authorized(exchange, behaviour):
            await exchange.body()
            await delivery.error(api_errors.unauthorized())
        elif path in _SHAPES or path in _ROUTES:
            wanted = "POST" if path in _SHAPES else _ROUTES[path][0]
            if method != wanted and not (method == "HEAD" and wanted == "GET"):
                await delivery.error(api_errors.method_not_allowed())
            elif path in _SHAPES:
                await self._generate(delivery, _SHAPES[path])
            else:
                await _ROUTES[path][1](self, delivery)
        else:
            await exchange.body()
            await delivery.error(api_errors.not_found())

    async def _generate(self, delivery: Delivery, shape: Shape) -> None:
        exchange, behaviour = delivery.exchange, self.host.behaviour
        body = parse_json(exchange.received.header("content-type") or "", await exchange.body())
        ask = body if isinstance(body, ApiError) else parse_ask(shape, body, behaviour)
        if isinstance(ask, ApiError):
            await delivery.error(ask)
            return
        if behaviour.has(Defect.FLAKY_5XX) and self._draw(exchange, "flaky") < 0.05:
            await delivery.error(api_errors.internal())
            return
        self.metrics.note_adapters()
        try:
            await self._deliver(delivery, ask)
        except EngineBusy:
            await delivery.error(api_errors.busy())

    async def _deliver(self, delivery: Delivery, ask: Ask) -> None:
        exchange, behaviour = delivery.exchange, self.host.behaviour
        number = exchange.received.number
        answers = [generate(ask, behaviour, number, choice) for choice in range(max(1, min(ask.n, 16)))]
        answers = delivery.altered(answers)
        writer = _WRITERS[ask.shape]
        identifier = self._identifier(exchange)
        created = int(time.time())
        if ask.stream:
            truncated = behaviour.has(Defect.TRUNCATED_STREAMS) and self._draw(exchange, "truncated") < 0.1
            events = writer.events(ask, answers, identifier, created)
            await delivery.stream(ask, answers, events, truncated=truncated)
        else:
            await delivery.whole(ask, answers, dumps(writer.whole(ask, answers, identifier, created)))

    async def _embeddings(self, delivery: Delivery) -> None:
        exchange, behaviour = delivery.exchange, self.host.behaviour
        body = parse_json(exchange.received.header("content-type") or "", await exchange.body())
        if not isinstance(body, ApiError):
            body = embeddings.embeddings(body, behaviour, self._identifier(exchange), int(time.time()))
        if isinstance(body, ApiError):
            await delivery.error(body)
        else:
            await exchange.respond(200, dumps(body), JSON)

    async def _models(self, delivery: Delivery) -> None:
        behaviour = self.host.behaviour
        parent = behaviour.models[0]
        served = [(name, None) for name in behaviour.models] + [(name, parent) for name in behaviour.adapters]
        cards = [self._card(name, base, behaviour) for name, base in served]
        await delivery.exchange.respond(200, dumps({"object": "list", "data": cards}), JSON)

    def _card(self, name: str, parent: str | None, behaviour: Behaviour) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{digest('permission', name):016x}",
            "object": "model_permission",
            "created": self.started,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": self.started,
            "owned_by": "vllm",
            "root": f"models/{name}",
            "parent": parent,
            "max_model_len": behaviour.max_model_len if parent is None else None,
            "permission": [permission],
        }

    async def _health(self, delivery: Delivery) -> None:
        await delivery.exchange.respond(200, b"")

    async def _version(self, delivery: Delivery) -> None:
        await delivery.exchange.respond(200, dumps({"version": VERSION}), JSON)

    async def _metrics(self, delivery: Delivery) -> None:
        await delivery.exchange.respond(200, self.metrics.render(), [("content-type", CONTENT_TYPE)])

    async def _control(self, exchange: Exchange, path: str, method: str) -> None:
        """Change the behaviour (`POST /control`), let go of what hangs (`POST /control/release`), or tell (`GET`)."""
        body = await exchange.body()
        if path == "/control/release" and method == "POST":
            self.host.release()
        elif method == "POST":
            changes = parse_json("application/json", body)
            if isinstance(changes, ApiError):
                await exchange.respond(changes.status, dumps(changes.body), JSON)
                return
            try:
                await self.host.configure(**changes)
            except (BehaviourError, TypeError) as error:
                await exchange.respond(400, dumps({"detail": str(error)}), JSON)
                return
        await exchange.respond(200, dumps(self.host.state()), JSON)

    def _identifier(self, exchange: Exchange) -> str:
        given = exchange.received.header("x-request-id")
        name = self.host.behaviour.name
        return given or f"{digest('id', name, self.started, exchange.received.number):016x}"

    def _draw(self, exchange: Exchange, purpose: str) -> float:
        behaviour = self.host.behaviour
        return digest(purpose, behaviour.seed, behaviour.name, exchange.received.number) / 2**64


_ROUTES: dict[str, tuple[str, Callable[[Application, Delivery], Awaitable[None]]]] = {
    "/v1/embeddings": ("POST", Application._embeddings),
    "/v1/models": ("GET", Application._models),
    "/health": ("GET", Application._health),
    "/version": ("GET", Application._version),
    "/metrics": ("GET", Application._metrics),
}


def _authorized(exchange: Exchange, behaviour: Behaviour) -> bool:
    if not behaviour.api_key:
        return True
    return exchange.received.header("authorization") == f"Bearer {behaviour.api_key}"


async def _send_canned(exchange: Exchange, canned: Canned) -> None:
    if canned.upgrade:
        await exchange.start(101, [("connection", "upgrade"), ("upgrade", canned.upgrade)], chunked=False)
        while data := await exchange.read():
            await exchange.raw(data)
        return
    await exchange.body()
    if canned.status in (204, 304):
        await exchange.start(canned.status, canned.headers, chunked=False)
        return
    if len(canned.chunks) == 1 and not canned.trailers:
        await exchange.respond(canned.status, canned.chunks[0], canned.headers)
        return
    await exchange.start(canned.status, canned.headers, chunked=True)
    for chunk in canned.chunks:
        await exchange.send(chunk)
    await exchange.finish(canned.trailers)
