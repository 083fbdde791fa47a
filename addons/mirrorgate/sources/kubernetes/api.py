"""The API server: requests with the credentials of a kubeconfig or a service account."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException

__all__ = ["Api", "ApiError", "Unreachable"]

Object = dict[str, Any]

_REQUEST_SECONDS = 30.0
_LONGEST_LINE = 32 * 1024 * 1024
"""Bytes of one event; etcd takes objects of 1.5 MiB."""
_WATCH_IDLE_SECONDS = 360.0
"""A watch that says nothing for this long, not even a bookmark, is taken for dead; servers send one a minute."""


class Unreachable(Exception):
    """The API server cannot be reached, or broke off."""


class ApiError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asks to wait, `None` when it does not say."""


def _refresher(loader: Any) -> Callable[[client.Configuration], Awaitable[None]]:
    """Make the hook that renews the token of a kubeconfig whose plugin gave one that expires."""

    async def refresh(configuration: client.Configuration) -> None:
        if getattr(loader, "exec_plugin_expiry", None) is not None:
            await loader.load_from_exec_plugin()  # does nothing before the old one expires
            configuration.api_key["BearerToken"] = loader.token

    return refresh


class Api:
    """A connection to one API server."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._client = api_client

    @classmethod
    async def connect(cls, context: str | None = None) -> Api:
        """Take the service account of the Pod where there is one, else the kubeconfig.

        Raises ConfigException when there is neither.
        """
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException:
            path = os.environ.get("KUBECONFIG") or None
            try:
                loader = await config.load_kube_config(path, context, configuration, persist_config=False)
            except (TypeError, AttributeError, KeyError) as error:  # the library's, of an empty file for one
                raise ConfigException(f"{path or 'the default one'} has not the shape of a kubeconfig") from error
            configuration.refresh_api_key_hook = _refresher(loader)
        configuration.connection_pool_maxsize = 0  # a watch holds a connection of its own
        # The client library is a hundred thousand objects that never go: the collector need not walk them each time.
        gc.freeze()
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Read an object or a list."""
        return await self._json("GET", path, query)

    async def create(self, path: str, body: Object) -> Object:
        return await self._json("POST", path, None, body)

    async def replace(self, path: str, body: Object) -> Object:
        """Write an object; raises ApiError 409 when its resourceVersion is no longer the newest."""
        return await self._json("PUT", path, None, body)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Object, None]:
        """Yield events (`type`, `object`) until the server ends the watch."""
        response = await self._request("GET", path, {**query, "watch": "1"}, timeout=_WATCH_IDLE_SECONDS)
        try:
            await self._check(response)
            async for line in self._lines(response):
                event = msgspec.json.decode(line)
                if isinstance(event, dict):
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, msgspec.DecodeError) as error:
            raise Unreachable(f"the watch of {path} broke off: {error or type(error).__name__}") from error
        finally:
            response.close()

    async def _lines(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise ValueError("an event is too long")
            for line in lines:
                if line.strip():
                    yield line

    async def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                response = await self._request(method, path, query, body)
                try:
                    await self._check(response)
                    read = msgspec.json.decode(await response.read())
                finally:
                    response.release()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, msgspec.DecodeError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        if not isinstance(read, dict):
            raise Unreachable(f"{method} {path}: the answer is no object")
        return read

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None = None,
        timeout: float | None = None,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "mirrorgate"}
        bounds = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=timeout or _REQUEST_SECONDS)
        try:
            # Refreshes a service account's token, which the kubelet replaces in its file, and those of plugins.
            token = await self._client.configuration.get_api_key_with_prefix("BearerToken")
            if token:
                headers["Authorization"] = token
            response: aiohttp.ClientResponse = await self._client.rest_client.request(
                method,
                self._client.configuration.host + path,
                query_params=list((query or {}).items()),
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=bounds,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ConfigException) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        return response

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status < 300:
            return
        text = (await response.content.read(65536)).decode("utf-8", "replace")
        try:
            message = str(json.loads(text).get("message", ""))
        except (ValueError, AttributeError):
            message = text[:200]
        after = response.headers.get("Retry-After", "")
        retry_after = float(after) if after.isascii() and after.isdecimal() and len(after) < 10 else None
        raise ApiError(response.status, message or str(response.reason), retry_after)
