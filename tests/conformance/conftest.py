"""One gateway process for all conformance tests, over the manifests beside this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mirrorgate.testing.conformance import Conformance, running_conformance

SERVERS = [
    *(("infra", name) for name in ("v1", "v2", "v3")),
    *(("apps", name) for name in ("app-v1", "app-v2")),
    ("web", "web-backend"),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def conformance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Conformance]:
    """Run the gateway and the servers for the whole session."""
    texts = [path.read_text("utf-8") for path in sorted((Path(__file__).parent / "manifests").glob("*.yaml"))]
    folder = tmp_path_factory.mktemp("conformance")
    async with running_conformance(folder, texts, SERVERS, (80, 443, 8080, 8090)) as running:
        yield running
