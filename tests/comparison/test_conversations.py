from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.comparison.conversations import Conversations


def test_turns_of_a_window_are_one_observation() -> None:
    """Their mean counts once, when the window is over."""
    windows = Conversations(60.0)
    assert windows.take({"a": 1.0}, 0.0, "x") == []
    assert windows.take({"a": 0.0, "b": 1.0}, 30.0, "x") == []
    assert windows.take({"a": 0.0}, 40.0, None) == [{"a": 0.0}]
    assert windows.take({"a": 1.0}, 60.0, "x") == [{"a": 0.5, "b": 1.0}]
    assert windows.due(120.0) == [{"a": 1.0}]
    assert len(windows) == 0


def test_a_long_conversation_closes_by_turns() -> None:
    """Sixteen turns are an observation, so that a busy conversation is heard before its time."""
    windows = Conversations(1e9)
    found = [windows.take({"a": 1.0}, float(turn), "x") for turn in range(16)]
    assert found[:-1] == [[]] * 15
    assert found[-1] == [{"a": 1.0}]


def test_without_a_window_each_pair_counts() -> None:
    """A window of zero seconds switches the rule off."""
    assert Conversations(0.0).take({"a": 1.0}, 5.0, "x") == [{"a": 1.0}]


def test_open_windows_go_through_a_checkpoint() -> None:
    """A restart in the middle of a conversation keeps its turns."""
    first, second = Conversations(10.0), Conversations(10.0)
    first.take({"a": 1.0}, 0.0, "x")
    second.restore(first.state())
    assert second.take({"a": 0.0}, 10.0, "y") == [{"a": 1.0}]


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.sampled_from(["x", "y", None])), max_size=60))
def test_every_turn_counts_once(arrivals: list[tuple[float, str | None]]) -> None:
    """Nothing is lost and windows close in the order in which they opened."""
    windows = Conversations(30.0)
    at, seen = 0.0, []
    for number, (gap, key) in enumerate(arrivals):
        at += gap
        seen += windows.take({str(number): 1.0}, at, key)
    seen += windows.due(at + 30.0)
    assert sorted(int(name) for observation in seen for name in observation) == list(range(len(arrivals)))
    assert len(windows) == 0
