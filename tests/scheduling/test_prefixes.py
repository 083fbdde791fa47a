"""The prefix index: what matches, what is forgotten, and that it stays within its bounds."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.endpoints import Address
from mirrorgate.scheduling.endpoints import Load
from mirrorgate.scheduling.prefixes import PrefixIndex, cache_blocks, hash_chain

ADDRESS = Address("127.0.0.1", 1)


def test_the_chain_follows_its_formula() -> None:
    """`h[i] = xxh64(block || le64(h[i-1]))`, begun with the model and the salt."""
    first = xxhash.xxh64_intdigest(b"a" * 64 + xxhash.xxh64_intdigest(b"llamasalt").to_bytes(8, "little"))
    second = xxhash.xxh64_intdigest(b"b" * 64 + first.to_bytes(8, "little"))
    assert hash_chain("llama", b"a" * 64 + b"b" * 64 + b"tail", salt=b"salt") == [first, second]


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (63, 0), (64, 1), (127, 1), (128, 2), (1_000_000, 256)])
def test_only_whole_blocks_up_to_a_limit_count(size: int, blocks: int) -> None:
    """A tail is left out, and a prompt shorter than a block has no chain."""
    assert len(hash_chain("m", b"x" * size)) == blocks


def test_a_chain_depends_on_everything_before() -> None:
    """Another model, salt or first byte changes every hash; another last byte only the last."""
    prompt = bytes(range(256))
    chain = hash_chain("m", prompt)
    for other in (hash_chain("n", prompt), hash_chain("m", prompt, salt=b"s"), hash_chain("m", b"!" + prompt[1:])):
        assert not set(chain) & set(other)
    assert hash_chain("m", prompt[:-1] + b"!")[:-1] == chain[:-1]
    assert hash_chain("\ud800", prompt) != chain


def test_matches_are_unbroken_runs() -> None:
    """A block that is held without those before it counts for nothing."""
    index = PrefixIndex()
    index.observe("a", [1, 2, 3])
    index.observe("b", [1])
    index.observe("c", [2, 3])
    assert index.match([1, 2, 3]) == {"a": 3, "b": 1}
    assert index.match([1, 2, 9, 3]) == {"a": 2, "b": 1}
    assert index.match([2, 3]) == {"a": 2, "c": 2}
    assert index.match([9]) == {}
    assert index.match([]) == {}


def test_the_oldest_chain_loses_its_end_first() -> None:
    """What is left of a chain can still be matched."""
    index = PrefixIndex(capacity=5)
    index.observe("a", [1, 2, 3])
    index.observe("a", [11, 12, 13])
    assert index.match([1, 2, 3]) == {"a": 2}
    assert index.match([11, 12, 13]) == {"a": 3}


def test_what_is_seen_again_is_young_again() -> None:
    """A repeated prompt outlives one that was sent after its first time."""
    index = PrefixIndex(capacity=4)
    index.observe("a", [1, 2])
    index.observe("a", [11, 12])
    index.observe("a", [1, 2])
    index.observe("a", [21])
    assert index.match([1, 2]) == {"a": 2}
    assert index.match([11, 12]) == {"a": 1}


def test_departed_endpoints_match_nothing_and_are_forgotten() -> None:
    """One that left and came back starts anew, and what it held is swept."""
    index = PrefixIndex()
    index.observe("a", [1, 2])
    index.observe("b", [1])
    index.retain(["b"])
    assert index.match([1, 2]) == {"b": 1}
    index.observe("a", [2])
    assert index.match([1, 2]) == {"b": 1}
    assert index.endpoints == {"a", "b"}
    assert len(index) == 2


def test_departed_endpoints_make_room_first() -> None:
    """Under pressure what can never match again goes before what can, more than one sweep of it if need be."""
    index = PrefixIndex(max_total=4000)
    index.observe("gone", range(3000))
    index.observe("stays", range(10_000, 10_500))
    index.retain(["stays"])
    index.observe("new", range(20_000, 23_000))
    assert len(index) == 4000
    assert index.match(range(10_000, 10_500)) == {"stays": 500}
    assert index.match(range(20_000, 23_000)) == {"new": 3000}


def test_the_block_size_follows_what_servers_report() -> None:
    """The reported size counts, within bounds, and only with autotuning."""
    prompt = b"x" * 1024
    assert len(PrefixIndex().chain("m", prompt, b"", 32)) == 8
    assert len(PrefixIndex(autotune=False).chain("m", prompt, b"", 32)) == 16
    assert len(PrefixIndex().chain(None, prompt, b"", 1)) == 16
    assert len(PrefixIndex().chain(None, prompt, b"", 0)) == 16
    assert len(PrefixIndex().chain("m", b"x" * 8192, b"", 10**9)) == 1


def test_an_endpoint_remembers_no_more_than_its_cache_holds() -> None:
    """Pages smaller than our blocks are counted in tokens."""
    assert cache_blocks(Load(block_size=32, num_blocks=64)) == 64
    assert cache_blocks(Load(block_size=1, num_blocks=4096)) == 256
    assert cache_blocks(Load(block_size=1, num_blocks=1)) == 1
    assert cache_blocks(Load(block_size=16)) is None
    assert cache_blocks(None) is None
    index = PrefixIndex()
    index.observe("a", [1, 2, 3], cache_blocks(Load(block_size=16, num_blocks=2)))
    assert index.match([1, 2, 3]) == {"a": 2}


steps = st.lists(
    st.tuples(st.sampled_from("oooor"), st.sampled_from("abcd"), st.lists(st.integers(0, 30), unique=True, max_size=8)),
    max_size=40,
)


@given(steps, st.integers(1, 12), st.integers(1, 24))
def test_the_index_is_bounded_and_agrees_with_a_plain_one(
    history: list[tuple[str, str, list[int]]], capacity: int, max_total: int
) -> None:
    """No history exceeds the bounds, and nothing matches that was not observed there since it last came."""
    index = PrefixIndex(capacity=capacity, max_total=max_total)
    ever: dict[str, set[int]] = {}
    for action, key, hashes in history:
        if action == "o":
            index.observe(key, hashes)
            ever.setdefault(key, set()).update(hashes)
        else:
            index.retain([other for other in "abcd" if other != key])
            ever.pop(key, None)
        assert len(index) <= max_total
        assert len(index) <= 8 * capacity
        for endpoint, run in index.match(hashes).items():
            assert 0 < run <= len(hashes)
            assert set(hashes[:run]) <= ever[endpoint]
    index.retain([])
    for _ in range(8):
        index.observe("z", [])
    assert len(index) == 0
    assert index.match([0]) == {}


@given(st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), max_size=10), st.lists(st.integers(0, 9)))
def test_without_pressure_the_longest_run_is_found(chains: list[list[int]], asked: list[int]) -> None:
    """With room for everything, an endpoint matches exactly the leading blocks that it was sent."""
    index = PrefixIndex()
    held: dict[str, set[int]] = {}
    for number, chain in enumerate(chains):
        index.observe(str(number % 3), chain)
        held.setdefault(str(number % 3), set()).update(chain)
    expected = {}
    for key, blocks in held.items():
        run = next((row for row, block in enumerate(asked) if block not in blocks), len(asked))
        if run:
            expected[key] = run
    assert index.match(asked) == expected
