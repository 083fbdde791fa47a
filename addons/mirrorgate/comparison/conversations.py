"""One observation for each conversation: turns of the same conversation are no independent evidence.

The rule: a conversation's window opens with its first turn and closes `seconds` later, by the clock of arrivals, or
with its sixteenth turn. What counts then is one observation, the mean of its turns for each guardrail. The
conversation's next turn opens a new window. Windows close in the order in which they opened. When a window closes
depends on arrivals only and never on answers, so that no choice of the moment can favour a result. A pair without a
conversation is an observation of its own, at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ConversationState", "Conversations"]

_MOST_TURNS = 16
_MOST_OPEN = 20_000


@dataclass(slots=True)
class ConversationState:
    """One open window."""

    key: str
    opened: float
    """Arrival of its first turn, Unix seconds."""
    turns: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)
    """The differences of the turns that had one, by guardrail."""

    def add(self, losses: Mapping[str, float]) -> None:
        self.turns += 1
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)

    def observation(self) -> dict[str, float]:
        """Return the mean over the turns, by guardrail; the mean of equal values is that value exactly."""
        return {
            name: values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)
            for name, values in self.losses.items()
        }


class Conversations:
    """The open windows, oldest first."""

    def __init__(self, seconds: float) -> None:
        """Open windows of `seconds`; with 0 each pair is an observation of its own."""
        self._seconds = seconds
        self._open: dict[str, ConversationState] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def oldest(self) -> float | None:
        """When the oldest window opened, `None` when none is open."""
        return next((window.opened for window in self._open.values()), None)

    def take(self, losses: Mapping[str, float], at: float, conversation: str | None) -> list[dict[str, float]]:
        """Take a pair that arrived `at`, in order of arrival, and return the observations that are due."""
        due = self.due(at)
        if conversation is None or self._seconds <= 0.0:
            due.append(dict(losses))
            return due
        window = self._open.get(conversation)
        if window is None:
            if len(self._open) >= _MOST_OPEN:
                due.append(self._close(next(iter(self._open))))
            window = self._open[conversation] = ConversationState(conversation, at)
        window.add(losses)
        if window.turns >= _MOST_TURNS:
            due.append(self._close(conversation))
        return due

    def due(self, now: float) -> list[dict[str, float]]:
        """Close the windows whose time is over and return their observations.

        `now` must be a time up to which all arrivals have been taken: the watermark, not the wall clock.
        """
        over: list[str] = []
        for key, window in self._open.items():
            if window.opened + self._seconds > now:
                break
            over.append(key)
        return [self._close(key) for key in over]

    def clear(self) -> None:
        self._open.clear()

    def state(self) -> list[ConversationState]:
        """Return the open windows, oldest first."""
        return list(self._open.values())

    def restore(self, windows: list[ConversationState]) -> None:
        """Go on with these windows."""
        self._open = {window.key: window for window in windows}

    def _close(self, key: str) -> dict[str, float]:
        return self._open.pop(key).observation()
