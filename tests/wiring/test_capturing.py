"""The capture follows its option while the gateway runs."""

import threading
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.telemetry.names import SPECS
from mirrorgate.testing.in_loop import GatewayInLoop, until
from mirrorgate.wiring.capturing import Captures


async def test_the_option_opens_moves_and_closes(tmp_path: Path, manifests: Any) -> None:
    """One file after the other, and none; what was counted stays counted."""
    async with GatewayInLoop(manifests.snapshot()) as gateway:
        captures = Captures(gateway.plane)
        for name in ("a", "a", "b", ""):
            captures.configure(str(tmp_path / name) if name else "")
            capture = gateway.plane.capture
            assert (capture.path if capture is not None else "") == (str(tmp_path / name) if name else "")
            if capture is not None:
                capture.counts["no_room"] += 1

        def dropped() -> float:
            return sum(each.value for each in captures.samples() if each.labels.get("result") == "no_room")

        await until(lambda: dropped() == 3)
        assert {each.name for each in captures.samples()} <= set(SPECS)
        captures.close()


async def test_a_file_that_is_none_of_flows_is_refused(tmp_path: Path, manifests: Any) -> None:
    """The capture that runs goes on."""
    (tmp_path / "notes").write_text("mine")
    async with GatewayInLoop(manifests.snapshot()) as gateway:
        captures = Captures(gateway.plane)
        captures.configure(str(tmp_path / "a"))
        with pytest.raises(ValueError, match="gateway_capture"):
            captures.configure(str(tmp_path / "notes"))
        assert gateway.plane.capture is not None
        captures.close()


async def test_no_count_goes_back_and_none_is_lost(tmp_path: Path, manifests: Any) -> None:
    """While an old file is being closed its counts stay, and exchanges that began with it count when they end."""
    async with GatewayInLoop(manifests.snapshot()) as gateway:
        captures = Captures(gateway.plane)

        def count(result: str) -> float:
            return sum(each.value for each in captures.samples() if each.labels.get("result") == result)

        captures.configure(str(tmp_path / "a"))
        first = gateway.plane.capture
        assert first is not None
        first.counts["no_room"] += 1
        first.begin(0.0)
        seen = []
        for name in ("b", "", "a", "b"):
            captures.configure(str(tmp_path / name) if name else "")
            seen.append(count("no_room"))
        assert seen == [1.0] * 4
        await until(lambda: not any(thread.name == "capture end" for thread in threading.enumerate()))
        assert count("no_room") == 1
        first.counts["closed"] += 1
        assert count("closed") == 1, "an exchange ended after its file was closed"
        captures.close()
        assert count("closed") == 1
