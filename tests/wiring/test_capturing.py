"""The capture follows its option while the gateway runs."""

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
