"""mitmweb under test: its HTTP interface, as its page and scripts use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["WebClient", "WebError", "web_options"]

_POLL = 0.05
_PASSWORD = "look-but-do-not-touch"
_XSRF = "1" * 32


class WebError(Exception):
    """mitmweb refused, or a command failed; the message is its own."""


def web_options(port: int) -> dict[str, str]:
    """Return the options of a mitmweb that `WebClient(port)` may talk to."""
    return {"web_port": str(port), "web_open_browser": "false", "web_password": _PASSWORD}


class WebClient:
    """Talks to one mitmweb.

    async with WebClient(port) as web:
        await web.command("mirrorgate.mirror.pause")
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.page = f"{self.url}/?token={_PASSWORD}"
        """What a browser opens."""
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {_PASSWORD}", "X-XSRFToken": _XSRF},
            cookies={"_mitmproxy_xsrf": _XSRF},
            timeout=20.0,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def command(self, name: str, *arguments: str) -> Any:
        """Call a command and return its value; raises `WebError` with the text of a `CommandError`."""
        answer = (await self._post(f"/commands/{name}", {"arguments": list(arguments)})).json()
        if "error" in answer:
            raise WebError(answer["error"])
        return answer.get("value")

    async def flows(self) -> list[dict[str, Any]]:
        """Return the flows in the order of the view."""
        found: list[dict[str, Any]] = self._checked(await self._http.get("/flows")).json()
        return found

    async def until(self, holds: Callable[[list[dict[str, Any]]], bool], timeout: float = 20.0) -> list[dict[str, Any]]:
        """Ask for the flows until they are as wanted, and return them."""
        flows: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(timeout):
                while not holds(flows := await self.flows()):  # noqa: ASYNC110 - another process tells of no change
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise WebError(f"the flows are {flows}") from None
        return flows

    async def shown(self, id: str, message: str = "response", view: str = "auto") -> dict[str, Any]:
        """Return a message's content as a content view shows it."""
        path = f"/flows/{id}/{message}/content/{view}.json"
        found: dict[str, Any] = self._checked(await self._http.get(path)).json()
        return found

    async def edit(self, id: str, **changes: Any) -> None:
        """Change a flow, such as `request={"content": "..."}`."""
        self._checked(await self._http.put(f"/flows/{id}", json=changes))

    async def resume(self, id: str) -> None:
        """Let an intercepted flow go on."""
        await self._post(f"/flows/{id}/resume", {})

    async def options(self, **changes: Any) -> None:
        """Change options."""
        self._checked(await self._http.put("/options", json=changes))

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self._checked(await self._http.post(path, json=body))

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        if answer.is_error:
            raise WebError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
        return answer
