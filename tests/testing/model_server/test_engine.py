"""Places, queues and caches of the load model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.testing.model_server.asks import Ask, Shape
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.engine import Engine, EngineBusy


def engine_of(**changes: object) -> Engine:
    """Make an engine with a fixed behaviour."""
    behaviour = Behaviour().changed(changes)
    return Engine(lambda: behaviour)


async def test_the_rest_waits_first_in_first_out(ask: Callable[..., Ask]) -> None:
    """Whoever leaves gives the place to the one that waited longest."""
    engine = engine_of(max_num_seqs=1)
    with ExitStack() as first, ExitStack() as second, ExitStack() as third:
        one, two, three = (stack.enter_context(engine.place(ask())) for stack in (first, second, third))
        assert (engine.running, engine.waiting) == (1, 2)
        assert [each.admitted.done() for each in (one, two, three)] == [True, False, False]
        first.close()
        assert [two.admitted.done(), three.admitted.done()] == [True, False]
    assert (engine.running, engine.waiting) == (0, 0)


async def test_a_full_queue_refuses(ask: Callable[..., Ask]) -> None:
    """And counts it; the queue itself goes on."""
    engine = engine_of(max_num_seqs=1, max_num_queued_reqs=1)
    with engine.place(ask()), engine.place(ask()):
        with pytest.raises(EngineBusy), engine.place(ask()):
            pass
        assert (engine.running, engine.waiting, engine.totals["rejections"]) == (1, 1, 1)


async def test_the_kv_cache_bounds_what_runs(ask: Callable[..., Ask]) -> None:
    """A prompt that does not fit waits, and one alone always runs."""
    tokens = ask().prompt_tokens
    engine = engine_of(kv_cache_tokens=tokens + 2)
    with engine.place(ask()) as first, engine.place(ask()):
        assert (engine.running, engine.waiting) == (1, 1)
        assert engine.kv_cache_usage == pytest.approx(tokens / (tokens + 2))
        engine.generated(first, 5)
        assert engine.kv_cache_usage == 1.0


async def test_a_shared_prefix_is_found_again(ask: Callable[..., Ask]) -> None:
    """Whole blocks of the prompt hit, for the same adapter only."""
    engine = engine_of(block_size=4, adapters=["lora-a"])
    prompt = "one two three four five six seven eight nine ten"
    with engine.place(ask(prompt)) as first:
        assert first.cached_tokens == 0
    with engine.place(ask(prompt + " eleven")) as second:
        assert second.cached_tokens == 12
    with engine.place(ask(prompt, model="lora-a")) as third:
        assert third.cached_tokens == 0
        assert engine.running_adapters == ("lora-a",)


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=60),
    seats=st.integers(1, 4),
    queue=st.one_of(st.none(), st.integers(0, 3)),
)
async def test_any_order_of_comings_and_goings_ends_at_zero(
    steps: list[tuple[bool, int]], seats: int, queue: int | None
) -> None:
    """Limits hold at every step, nobody waits while there is room, and nothing is left."""
    engine = engine_of(max_num_seqs=seats, max_num_queued_reqs=queue)
    ask = Ask(Shape.COMPLETIONS, "fake-model", "", "one two", "one two")
    inside: list[ExitStack] = []
    for come, which in steps:
        if come:
            stack = ExitStack()
            try:
                stack.enter_context(engine.place(ask))
                inside.append(stack)
            except EngineBusy:
                assert engine.waiting == queue
        elif inside:
            inside.pop(which % len(inside)).close()
        assert engine.running <= seats
        assert queue is None or engine.waiting <= queue
        assert not (engine.waiting and engine.running < seats)
        assert engine.running + engine.waiting == len(inside)
    for stack in inside:
        stack.close()
    assert (engine.running, engine.waiting) == (0, 0)
