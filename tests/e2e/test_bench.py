"""`scripts/bench` at its smallest: it runs to its end and writes its page. No time is judged."""

import sys
from pathlib import Path

import pytest

from mirrorgate.testing.processes import Process

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's process clocks"),
]


async def test_the_smallest_run_writes_its_page(tmp_path: Path) -> None:
    """Mirrorgate alone: with and without a mirror, with a killed shadow process, and what it holds in memory."""
    command = [sys.executable, "-m", "mirrorgate.testing.bench", "--smoke", "--output", str(tmp_path)]
    async with Process(command) as process:
        assert await process.wait(timeout=100) == 0, process.text
    text = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert "| mirrorgate-mirror | small |" in text
    assert "| torrent | mirrorgate-kill |" in text
    assert "each of 50 clients, KiB" in text
    assert "## Errors" not in text
    assert (tmp_path / "images" / "benchmark.svg").is_file()
