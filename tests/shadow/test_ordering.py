"""Results are committed in the order of arrival."""

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.shadow.ordering import ArrivalOrder, Place


@given(st.lists(st.sampled_from("ab"), max_size=30), st.randoms(use_true_random=False), st.sets(st.integers(0, 29)))
def test_any_order_of_completion_commits_in_order_of_arrival(keys: list[str], rng: object, excluded: set[int]) -> None:
    """Of each key the committed values are its values in arrival order, without those that are left out."""
    order: ArrivalOrder[int] = ArrivalOrder()
    places: list[tuple[int, Place[int]]] = [(number, order.arrive(key)) for number, key in enumerate(keys)]
    rng.shuffle(places)  # type: ignore[attr-defined]
    committed: dict[str, list[int]] = {"a": [], "b": []}
    for number, place in places:
        committed[place.key] += order.settle(place, None if number in excluded else number)
        assert order.settle(place, 99) == []
    for key, values in committed.items():
        assert values == [n for n, k in enumerate(keys) if k == key and n not in excluded]
    assert order.waiting == 0


def test_one_slow_key_holds_up_no_other() -> None:
    """Each key has a watermark of its own."""
    order: ArrivalOrder[str] = ArrivalOrder()
    slow, quick = order.arrive("slow"), order.arrive("quick")
    behind = order.arrive("slow")
    assert order.settle(behind, "behind") == []
    assert order.settle(quick, "quick") == ["quick"]
    assert order.waiting == 2
    assert order.keys == {"slow"}
    assert order.settle(slow, "slow") == ["slow", "behind"]
    assert order.keys == frozenset()
