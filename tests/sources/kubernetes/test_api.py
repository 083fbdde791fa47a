"""The connection to the API server: credentials, errors, and answers that no API server gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio.config.config_exception import ConfigException

from mirrorgate.sources.kubernetes.api import Api, ApiError, Unreachable
from mirrorgate.testing.api_server import ApiServer


@contextlib.asynccontextmanager
async def saying(answer: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """Connect to a server that gives one answer, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    stub = ApiServer(port=server.sockets[0].getsockname()[1])
    monkeypatch.setenv("KUBECONFIG", str(stub.kubeconfig(folder)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    api = await Api.connect()
    try:
        yield api
    finally:
        await api.close()
        server.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    """Return an answer's bytes."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\r\n\r\n",
        http("200 OK", b"not json"),
        http("200 OK", b"[1, 2]"),
        http("200 OK", b'{"a": "\xff"}'),
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
    ],
)
async def test_nonsense_is_unreachable(answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never an exception that nobody expects."""
    async with saying(answer, tmp_path, monkeypatch) as api:
        with pytest.raises(Unreachable):
            await api.get("/api/v1/pods")


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("soon", None), ("", None), ("²", None), ("9" * 30, None)])
async def test_retry_after_is_read(
    text: str, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds only, and only those that are a number."""
    answer = http("429 Too Many Requests", b'{"message": "slow down"}', f"retry-after: {text}")
    async with saying(answer, tmp_path, monkeypatch) as api:
        with pytest.raises(ApiError, match="slow down") as caught:
            await api.get("/api/v1/pods")
        assert (caught.value.status, caught.value.retry_after) == (429, seconds)


async def test_a_watch_that_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events before are given; half a line is none."""
    line = json.dumps({"type": "ADDED", "object": {}}).encode() + b"\n"
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + line + line[:10]
    async with saying(answer, tmp_path, monkeypatch) as api:
        events = api.watch("/api/v1/pods", {})
        assert (await anext(events))["type"] == "ADDED"
        with pytest.raises(Unreachable, match="broke off"):
            await anext(events)


async def test_a_wrong_token_is_an_error(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the API says it."""
    path = server.kubeconfig(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("secret", "wrong"), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(path))
    api = await Api.connect()
    with pytest.raises(ApiError, match="Unauthorized"):
        await api.get("/api/v1/pods")
    await api.close()


@pytest.mark.parametrize("text", ["", "[]", "words", "clusters: 3\ncontexts: 4\ncurrent-context: x\n"])
async def test_a_file_that_is_no_kubeconfig_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """An empty file for one: the client library fails over it with errors of Python's own."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ConfigException, match="has not the shape of a kubeconfig"):
        await Api.connect()


async def test_without_a_kubeconfig_there_is_no_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a service account nor a file."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises((ConfigException, OSError)):
        await Api.connect()
