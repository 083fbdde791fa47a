"""What the tests of the cluster source share: a fake API server, and a way to it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mirrorgate.sources.kubernetes.api import Api
from mirrorgate.sources.kubernetes.cluster import ClusterSource
from mirrorgate.testing.api_server import ApiServer


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """Run a fake API server."""
    async with ApiServer() as running:
        yield running


@pytest.fixture
async def api(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """Connect to it as a kubeconfig says."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    connected = await Api.connect()
    yield connected
    await connected.close()


@pytest.fixture
def following(api: Api) -> Callable[..., contextlib.AbstractAsyncContextManager[ClusterSource]]:
    """Return a function that runs a source, with pauses that fit a test."""

    @contextlib.asynccontextmanager
    async def follow(*namespaces: str) -> AsyncIterator[ClusterSource]:
        source = ClusterSource(api, namespaces, random.Random(1), absent_seconds=0.05, first_pause=0.02)
        source.start()
        try:
            yield source
        finally:
            await source.stop()

    return follow
