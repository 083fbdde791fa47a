"""Work beside the event loop: what it returns, raises, and leaves behind."""

from __future__ import annotations

import gc
import threading

import pytest

from mirrorgate.wiring.aside import Aside


async def test_work_runs_in_a_thread_without_the_collector() -> None:
    """The collector rests meanwhile, works afterwards, and leaves alone what there is then."""
    try:
        name, collects = await Aside().run(lambda: (threading.current_thread().name, gc.isenabled()))
        assert name != threading.main_thread().name
        assert not collects
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_what_is_raised_is_raised_and_the_collector_works_again() -> None:
    """A refused configuration is an exception."""
    try:
        with pytest.raises(ZeroDivisionError):
            await Aside().run(lambda: 1 // 0)
        assert gc.isenabled()
    finally:
        gc.unfreeze()
