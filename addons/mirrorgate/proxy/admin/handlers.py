"""The admin server's requests: who may, what is asked, and the answer as JSON."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from tornado.web import Application, RequestHandler

from .access import Access, Denial
from .page import Page
from .sources import Action, AdminSources, View

__all__ = ["PeerOf", "application"]

logger = logging.getLogger(__name__)

PeerOf = Callable[[RequestHandler], str]
"""Names the peer's address; tests put another machine in its place."""


@dataclass(frozen=True, slots=True)
class _Context:
    sources: AdminSources
    access: Access
    page: Page
    peer_of: PeerOf


def socket_peer(handler: RequestHandler) -> str:
    """Return the address at the other end of the socket."""
    return handler.request.remote_ip or ""


def application(sources: AdminSources, access: Access, page: Page, peer_of: PeerOf = socket_peer) -> Application:
    """Return the tornado application with every route of the admin server."""
    context = _Context(sources, access, page, peer_of)
    views: dict[str, View] = {
        "/resources": sources.resources,
        "/routes": sources.routes,
        "/clusters": sources.clusters,
        "/exchanges": sources.exchanges,
        "/overview": sources.overview,
    }
    actions: dict[str, Action | None] = {
        "/drain": sources.drain,
        "/mirror/pause": sources.pause_mirrors,
        "/mirror/resume": sources.resume_mirrors,
    }
    return Application(
        [
            ("/ready", _Ready, {"context": context}),
            ("/healthz", _Health, {"context": context}),
            ("/metrics", _Metrics, {"context": context}),
            ("/", _Dashboard, {"context": context}),
            ("/verdict", _Verdict, {"context": context, "view": sources.verdict}),
            ("/verdict/promote", _Gate, {"context": context, "wanted": "PROMOTE"}),
            ("/verdict/reject", _Gate, {"context": context, "wanted": "REJECT"}),
            *((path, _Json, {"context": context, "view": view}) for path, view in views.items()),
            *((path, _Change, {"context": context, "action": action}) for path, action in actions.items()),
        ],
        default_handler_class=_Nothing,
        default_handler_args={"context": context},
        log_function=_log,
    )


class _Handler(RequestHandler):
    """What all answers have in common: their headers, and errors as JSON."""

    context: _Context

    def initialize(self, context: _Context) -> None:
        self.context = context

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Referrer-Policy", "no-referrer")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.send_json({"error": {"status": status_code, "message": self._reason}})

    def refuse(self, status: int, text: str) -> None:
        """Answer with an error; 401 says which scheme would help."""
        self.set_status(status)
        if status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="mirrorgate admin"')
        self.send_json({"error": {"status": status, "message": text}})

    def send_json(self, value: object) -> None:
        """Answer with JSON, indented for people: `?pretty`, or a browser that asks for HTML."""
        body = msgspec.json.encode(value)
        if "pretty" in self.request.arguments or "text/html" in self.request.headers.get("Accept", ""):
            body = msgspec.json.format(body, indent=2) + b"\n"
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(body)

    async def value_of(self, source: View) -> tuple[bool, object]:
        """Return True and what *source* says; after a fault of it False, with the 500 already sent."""
        try:
            value = source()
            return True, (await value if inspect.isawaitable(value) else value)
        except Exception as error:
            self._broken(error)
            return False, None

    def _broken(self, error: Exception) -> None:
        logger.exception("%s %s failed.", self.request.method, self.request.path)
        self.refuse(500, f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode("utf-8"))

    def readable(self) -> bool:
        """Whether the request may read what is not open; when not, the refusal is already sent."""
        return self._passed(self.context.access.may_read(self.context.peer_of(self), self._headers_by_name()))

    def changeable(self) -> bool:
        """Whether the request may change something; when not, the refusal is already sent."""
        return self._passed(self.context.access.may_change(self._headers_by_name()))

    def _passed(self, denial: Denial | None) -> bool:
        if denial is not None:
            self.refuse(denial.status, denial.text)
        return denial is None

    def _headers_by_name(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.request.headers.items()}


class _Ready(_Handler):
    async def get(self) -> None:
        try:
            ready, text = await _settled(self.context.sources.ready())
        except Exception:
            logger.exception("The readiness check failed.")
            ready, text = False, "the readiness check failed"
        self.set_status(200 if ready else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text + "\n")

    head = get


class _Health(_Handler):
    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")

    head = get


class _Metrics(_Handler):
    async def get(self) -> None:
        try:
            kind, pieces = await _settled(self.context.sources.metrics(self.request.headers.get("Accept", "")))
            body = await _joined(pieces)
        except Exception as error:
            self._broken(error)
            return
        self.set_header("Content-Type", kind)
        self.finish(body)

    head = get


class _Dashboard(_Handler):
    async def get(self) -> None:
        if not self.readable():
            return
        page = self.context.page
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", page.policy)
        self.set_header("X-Frame-Options", "DENY")
        self.finish(page.body)

    head = get


class _Json(_Handler):
    view: View

    def initialize(self, context: _Context, view: View) -> None:  # type: ignore[override]
        super().initialize(context)
        self.view = view

    async def get(self) -> None:
        if not self.readable():
            return
        answered, value = await self.value_of(self.view)
        if answered:
            try:
                self.send_json(value)
            except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
                self._broken(error)

    head = get


class _Verdict(_Json):
    """All verdicts, or with `?cluster=` one of them with its fields at the top level, for tools that read one value."""

    async def get(self) -> None:
        cluster = self.get_query_argument("cluster", "")
        if not cluster:
            await super().get()
        elif self.readable():
            document = await _settled(self.context.sources.verdict_of(cluster))
            if document is None:
                self.refuse(404, "no mirror has this cluster; /verdict lists them")
            else:
                self.send_json(document)

    head = get


class _Gate(_Handler):
    """200 when the decision is the wanted one and 409 otherwise, with the reason: for webhooks, which read no more.

    POST is what Flagger sends; it changes nothing and needs what reading needs.
    """

    wanted: str

    def initialize(self, context: _Context, wanted: str) -> None:  # type: ignore[override]
        super().initialize(context)
        self.wanted = wanted

    async def get(self) -> None:
        if not self.readable():
            return
        found = await _settled(self.context.sources.decision_of(self.get_query_argument("cluster", "")))
        if found is None:
            self.refuse(404, "no mirror has this cluster; /verdict lists them")
            return
        decision, reason = found
        self.set_status(200 if decision == self.wanted else 409)
        self.send_json({"verdict": decision, "reason": reason})

    head = get
    post = get


class _Change(_Handler):
    action: Action | None

    def initialize(self, context: _Context, action: Action | None) -> None:  # type: ignore[override]
        super().initialize(context)
        self.action = action

    async def post(self) -> None:
        if not self.changeable():
            return
        if self.action is None:
            self.refuse(501, "this gateway does not offer that")
            return
        answered, value = await self.value_of(self.action)
        if answered:
            logger.info("%s by an operator", self.request.path)
            self.send_json({"done": True} if value is None else value)


class _Nothing(_Handler):
    async def prepare(self) -> None:
        self.refuse(404, "there is no such page; / is the dashboard")


async def _settled[T](value: T | Awaitable[T]) -> T:
    return await value if inspect.isawaitable(value) else value


async def _joined(pieces: Iterator[bytes]) -> bytes:
    """Join the pieces and let the event loop move tokens between any two of them."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        await asyncio.sleep(0)
    return bytes(gathered)


def _log(handler: RequestHandler) -> None:
    request = handler.request
    logger.debug("%s %s %d", request.method, request.path, handler.get_status())
