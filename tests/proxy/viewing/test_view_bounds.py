"""The bounds of mitmweb's view."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.addons.view import View
from mitmproxy.test import taddons, tflow

from mirrorgate.proxy.viewing.view_bounds import ViewBounds, size_of


@pytest.fixture
def view() -> Iterator[View]:
    """Return mitmproxy's view, as an addon of a master."""
    view = View()
    with taddons.context(view):
        yield view


def flow_of(size: int = 0, *, live: bool = False) -> http.HTTPFlow:
    """Return a flow whose answer has a size."""
    flow = tflow.tflow(resp=True)
    flow.live = live
    assert flow.response is not None
    flow.response.content = b"x" * size
    return flow


def enter(view: View, bounds: ViewBounds, flow: http.HTTPFlow) -> None:
    """Let a flow come and, unless it is live, end."""
    view.requestheaders(flow)
    bounds.added()
    if not flow.live:
        bounds.ended(flow)


def test_the_oldest_finished_flows_go(view: View) -> None:
    """The bound is never exceeded, and what is left is the newest."""
    bounds = ViewBounds(view, 100, 0)
    flows = [flow_of() for _ in range(1000)]
    for flow in flows:
        enter(view, bounds, flow)
        assert view.store_count() <= 100
    kept = view.resolve("@all")
    assert len(kept) >= 95
    assert kept == flows[-len(kept) :]


def test_flows_under_way_stay(view: View) -> None:
    """However old they are; they are not killed, and the finished ones around them go."""
    bounds = ViewBounds(view, 10, 0)
    live = [flow_of(live=True) for _ in range(20)]
    for flow in live:
        enter(view, bounds, flow)
        enter(view, bounds, flow_of())
    assert all(view.get_by_id(flow.id) is flow for flow in live)
    assert not any(flow.error for flow in live)
    assert view.store_count() <= 22
    for flow in live:
        flow.live = False
        bounds.ended(flow)
    enter(view, bounds, flow_of())
    bounds.configure(10, 0)
    assert view.store_count() <= 10


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=60))
def test_bytes_are_bounded(steps: list[tuple[int, bool]]) -> None:
    """And counted exactly, whether flows grow after they ended or somebody removes them."""
    view = View()
    with taddons.context(view):
        bounds = ViewBounds(view, 0, 40_000)
        for size, grows in steps:
            flow = flow_of(size)
            enter(view, bounds, flow)
            if grows:
                assert flow.response is not None
                flow.response.content = b"y" * (size + 100)
                bounds.ended(flow)
            assert bounds.total == sum(map(size_of, view.resolve("@all"))) <= 40_000
        view.remove(view.resolve("@all")[:1])
        assert bounds.total == sum(map(size_of, view.resolve("@all")))
        view.clear()
        assert bounds.total == 0


def test_a_bound_of_zero_is_none(view: View) -> None:
    """Nothing goes."""
    bounds = ViewBounds(view, 0, 0)
    for _ in range(50):
        enter(view, bounds, flow_of(1000))
    assert view.store_count() == 50


def test_a_flow_that_left_the_view_is_not_counted(view: View) -> None:
    """Its end comes after a person has cleared the view."""
    bounds = ViewBounds(view, 10, 1000)
    bounds.ended(flow_of(500))
    assert bounds.total == 0
