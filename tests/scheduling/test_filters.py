"""Filters take out what should not be picked, and never everything."""

from __future__ import annotations

import random

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import EndpointView
from mirrorgate.scheduling.filters import affine, healthy, named, untried
from mirrorgate.scheduling.maglev import MaglevTable
from mirrorgate.scheduling.picks import Affinity, PickRequest

RNG = random.Random(0)


def view(key: str, *, well: bool = True) -> EndpointView:
    return EndpointView(key, Address(key, 80), healthy=well)


def test_unhealthy_ones_are_taken_out() -> None:
    """The healthy ones stay in their order."""
    views = [view("a"), view("b", well=False), view("c")]
    assert [v.key for v in healthy(views, PickRequest(), RNG)] == ["a", "c"]


def test_all_are_used_when_none_is_healthy() -> None:
    """Panic: the same sequence comes back."""
    views = [view("a", well=False), view("b", well=False)]
    assert healthy(views, PickRequest(), RNG) is views


def test_nothing_is_copied_when_nothing_is_taken_out() -> None:
    """The usual case costs no list that is kept."""
    views = [view("a"), view("b")]
    assert healthy(views, PickRequest(), RNG) is views
    assert untried(views, PickRequest(), RNG) is views
    assert untried(views, PickRequest(avoid=frozenset({"z"})), RNG) is views


def test_tried_ones_are_taken_out_unless_there_is_no_other() -> None:
    """A retry goes elsewhere where it can."""
    views = [view("a"), view("b")]
    assert [v.key for v in untried(views, PickRequest(avoid=frozenset("a")), RNG)] == ["b"]
    assert untried(views, PickRequest(avoid=frozenset("ab")), RNG) is views


def test_a_named_endpoint_is_kept_where_it_is_a_candidate() -> None:
    """The first of several; where none of them is one, all are kept."""
    candidates, rng = [view("a"), view("b")], random.Random(1)
    assert [each.key for each in named(candidates, PickRequest(named=("x", "b", "a")), rng)] == ["b"]
    assert named(candidates, PickRequest(named=("x",)), rng) is candidates
    assert named(candidates, PickRequest(), rng) is candidates


def test_a_key_leads_to_its_endpoint_among_the_candidates() -> None:
    """And elsewhere while that is out."""
    table, rng = MaglevTable(["a", "b", "c"], 101), random.Random(1)
    asked = PickRequest(affinity=Affinity(5, table))
    [own] = affine([view("a"), view("b"), view("c")], asked, rng)
    others = [each for each in (view("a"), view("b"), view("c")) if each.key != own.key]
    [other] = affine(others, asked, rng)
    assert other in others
    unknown = [view("x")]
    assert affine(unknown, asked, rng) is unknown
    assert affine(others, PickRequest(), rng) is others
