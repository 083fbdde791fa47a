import asyncio
import time

import pytest

from mirrorgate.testing.verdict_bench.virtual_time import run


def test_sleeping_takes_no_time() -> None:
    """The loop's clock shows what was slept, and tasks wake in their order."""

    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        woken: list[tuple[str, float]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append((name, loop.time()))

        await asyncio.gather(sleeper("late", 7200.0), sleeper("early", 3600.0))
        return woken

    began = time.monotonic()
    found = run(main())
    assert [name for name, _ in found] == ["early", "late"]
    assert [at for _, at in found] == pytest.approx([3600.0, 7200.0])
    assert time.monotonic() - began < 5.0


def test_what_never_comes_is_an_error() -> None:
    """A benchmark that waits for nothing must not hang."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing is left"):
        run(main())
