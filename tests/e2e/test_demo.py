"""The demo itself: it ends with 0 because every verification held, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mirrorgate.testing.processes import Process

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-m", "mirrorgate.testing.demo")


async def test_the_demo_walks_through_both_tutorials() -> None:
    """Both services' log lines, the comparisons, the overflow answer; short enough for a screen or two."""
    async with Process([*DEMO, "--once"]) as process:
        assert await process.wait(90.0) == 0, process.text
    text = process.text
    for promised in (
        "primary service logs:",
        "mirror service logs:",
        '"POST /v1/chat/completions HTTP/1.1" 200 OK',
        "13 of 13 requests compared",
        "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        "envoy_cluster_upstream_rq_active_overflow 1",
        "both tutorials verified",
    ):
        assert promised in text
    assert len(process.output) < 80
    assert max(map(len, process.output)) <= 116
    assert "\x1b" not in text, "colours are for terminals"


async def test_an_interrupted_demo_leaves_nothing() -> None:
    """All that it started has ended before it does."""
    async with Process(DEMO) as process:
        await process.printed("mirror service logs:", timeout=60.0)
        started = _descendants(process.pid)
        assert len(started) >= 6, "four model servers, the gateway and its shadow process"
        process.signal(signal.SIGINT)
        assert await process.wait(20.0) == 130
        assert [pid for pid in started if _runs(pid)] == []


def _descendants(pid: int) -> list[int]:
    """Return every process below this one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, thread.read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
