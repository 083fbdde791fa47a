"""The failure breaker: refuses what is likely to fail, until probes show that it does not.

The machine is the table `TRANSITIONS`. Calls that begin while it is closed are recorded in a window; at the failure
rate or the slow rate it opens, waits, lets some probes pass, and closes or opens again by what becomes of them. An
operator's word holds until it is taken back. A call belongs to the stretch of the state in which it began: what ends
later, in another one, is not recorded, so that the stragglers of an outage do not judge its end.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

from ..resources.failure_breaker_policy import FailureBreakerPolicySpec, Window

__all__ = ["TRANSITIONS", "FailureBreaker", "Outcome", "Pass", "State", "Trigger"]


class State(enum.StrEnum):
    CLOSED = "closed"
    """Everything passes."""
    OPEN = "open"
    """Nothing passes."""
    HALF_OPEN = "half_open"
    """Probes pass."""
    FORCED_OPEN = "forced_open"
    """Nothing passes, by an operator's word."""
    FORCED_CLOSED = "forced_closed"
    """Everything passes and nothing is judged, by an operator's word."""


class Trigger(enum.StrEnum):
    RATE_REACHED = "rate_reached"
    WAIT_OVER = "wait_over"
    PROBES_PASSED = "probes_passed"
    PROBES_FAILED = "probes_failed"
    FORCE_OPEN = "force_open"
    FORCE_CLOSE = "force_close"
    RELEASE = "release"
    """An operator takes the word back."""


_JUDGED: dict[tuple[State, Trigger], State] = {
    (State.CLOSED, Trigger.RATE_REACHED): State.OPEN,
    (State.OPEN, Trigger.WAIT_OVER): State.HALF_OPEN,
    (State.HALF_OPEN, Trigger.PROBES_PASSED): State.CLOSED,
    (State.HALF_OPEN, Trigger.PROBES_FAILED): State.OPEN,
    (State.FORCED_OPEN, Trigger.RELEASE): State.CLOSED,
    (State.FORCED_CLOSED, Trigger.RELEASE): State.CLOSED,
}
TRANSITIONS: dict[tuple[State, Trigger], State] = (
    _JUDGED
    | {(state, Trigger.FORCE_OPEN): State.FORCED_OPEN for state in State if state is not State.FORCED_OPEN}
    | {(state, Trigger.FORCE_CLOSE): State.FORCED_CLOSED for state in State if state is not State.FORCED_CLOSED}
)
"""The whole machine. What is not in here changes nothing."""

_STEPS = 10
"""Of a window of time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call."""

    failed: bool
    slow: bool = False


class Pass:
    """The right to make one call. It is used up by `FailureBreaker.record` or `cancel`, whichever is first."""

    __slots__ = ("stretch", "used")

    def __init__(self, stretch: int) -> None:
        self.stretch = stretch
        self.used = False


class FailureBreaker:
    """One breaker. Times are seconds of one monotonic clock."""

    def __init__(self, spec: FailureBreakerPolicySpec | None) -> None:
        """Without a specification it judges nothing, and only an operator's word moves it."""
        self._spec = spec
        self.state = State.CLOSED
        self.opened = 0
        """How often it opened by itself."""
        self.refused = 0
        """Calls that it did not let pass."""
        self._stretch = 0
        """Counts the changes of state."""
        self._since = 0.0
        self._calls = _calls_of(spec)
        self._probes = 0
        """Passes given in this stretch of half-open and not cancelled."""

    @property
    def spec(self) -> FailureBreakerPolicySpec | None:
        return self._spec

    def configure(self, spec: FailureBreakerPolicySpec | None) -> None:
        """Take another specification: what was recorded under the old one is forgotten, an operator's word is not."""
        if spec != self._spec:
            self._spec = spec
            if self.state in (State.FORCED_OPEN, State.FORCED_CLOSED):
                self._calls = _calls_of(spec)
            else:
                self._enter(State.CLOSED, self._since)

    def acquire(self, now: float) -> Pass | None:
        """Ask for a pass; `None` is a refusal."""
        if not self.passes(now):
            self.refused += 1
            return None
        if self.state is State.HALF_OPEN:
            self._probes += 1
        return Pass(self._stretch)

    def passes(self, now: float) -> bool:
        """Tell whether a call would get a pass, without asking for one."""
        if self.state is State.OPEN and now - self._since >= self._wait:
            self._trigger(Trigger.WAIT_OVER, now)
        if self.state is State.HALF_OPEN:
            return self._probes < self._permitted
        return self.state in (State.CLOSED, State.FORCED_CLOSED)

    def record(self, given: Pass, outcome: Outcome, now: float) -> bool:
        """Record what became of a call; whether the state changed by it."""
        if given.used or given.stretch != self._stretch or self._spec is None:
            given.used = True
            return False
        given.used = True
        if self.state is State.CLOSED:
            self._calls.add(outcome, now)
            return self._rates_reached(self._calls, self._spec.minimum_calls, now) and self._trigger(
                Trigger.RATE_REACHED, now
            )
        if self.state is State.HALF_OPEN:
            self._calls.add(outcome, now)
            if self._calls.totals(now)[0] < self._permitted:
                return False
            failed = self._rates_reached(self._calls, self._permitted, now)
            return self._trigger(Trigger.PROBES_FAILED if failed else Trigger.PROBES_PASSED, now)
        return False

    def cancel(self, given: Pass) -> None:
        """Give a pass back whose call says nothing: its client left, or it was refused elsewhere."""
        if not given.used and given.stretch == self._stretch and self.state is State.HALF_OPEN:
            self._probes -= 1
        given.used = True

    def force(self, trigger: Trigger, now: float) -> bool:
        """Take an operator's word; whether it changes anything."""
        return self._trigger(trigger, now)

    def retry_after(self, now: float) -> int:
        """Tell in how many seconds a client may try again, at least 1."""
        left = self._since + self._wait - now if self.state is State.OPEN else 0.0
        return max(1, math.ceil(left))

    def rates(self, now: float) -> tuple[int, float, float]:
        """Return calls in the window and the percentages of failed and slow ones."""
        total, failed, slow = self._calls.totals(now)
        return total, 100 * failed / max(total, 1), 100 * slow / max(total, 1)

    @property
    def _wait(self) -> float:
        return 0.0 if self._spec is None else self._spec.open_duration

    @property
    def _permitted(self) -> int:
        return 1 if self._spec is None else self._spec.permitted_probes

    def _rates_reached(self, calls: _CountWindow | _TimeWindow, minimum: int, now: float) -> bool:
        assert self._spec is not None
        total, failed, slow = calls.totals(now)
        if total < minimum:
            return False
        slow_call = self._spec.slow_call
        return 100 * failed >= self._spec.failure_rate_percent * total or (
            slow_call is not None and 100 * slow >= slow_call.rate_percent * total
        )

    def _trigger(self, trigger: Trigger, now: float) -> bool:
        state = TRANSITIONS.get((self.state, trigger))
        if state is None:
            return False
        self.opened += state is State.OPEN
        self._enter(state, now)
        return True

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self._stretch += 1
        self._since = now
        self._probes = 0
        # Probes are counted one by one, whatever the window.
        self._calls = _CountWindow(self._permitted) if state is State.HALF_OPEN else _calls_of(self._spec)


class _CountWindow:
    """The latest calls."""

    __slots__ = ("_calls", "_failed", "_slow")

    def __init__(self, size: int) -> None:
        self._calls: deque[Outcome] = deque(maxlen=size)
        self._failed = 0
        self._slow = 0

    def add(self, outcome: Outcome, now: float) -> None:
        if len(self._calls) == self._calls.maxlen:
            oldest = self._calls[0]
            self._failed -= oldest.failed
            self._slow -= oldest.slow
        self._calls.append(outcome)
        self._failed += outcome.failed
        self._slow += outcome.slow

    def totals(self, now: float) -> tuple[int, int, int]:
        """Return calls, failed ones and slow ones."""
        return len(self._calls), self._failed, self._slow


class _TimeWindow:
    """The calls of the latest seconds, in steps."""

    __slots__ = ("_step", "_steps")

    def __init__(self, duration: float) -> None:
        self._step = duration / _STEPS
        self._steps: deque[list[int]] = deque()
        """Number of the step, calls, failed, slow."""

    def add(self, outcome: Outcome, now: float) -> None:
        number = math.floor(now / self._step)
        if not self._steps or self._steps[-1][0] != number:
            self._steps.append([number, 0, 0, 0])
        step = self._steps[-1]
        step[1] += 1
        step[2] += outcome.failed
        step[3] += outcome.slow

    def totals(self, now: float) -> tuple[int, int, int]:
        """Return calls, failed ones and slow ones, without those that have become too old."""
        oldest = math.floor(now / self._step) - _STEPS
        while self._steps and self._steps[0][0] <= oldest:
            self._steps.popleft()
        return sum(s[1] for s in self._steps), sum(s[2] for s in self._steps), sum(s[3] for s in self._steps)


def _calls_of(spec: FailureBreakerPolicySpec | None) -> _CountWindow | _TimeWindow:
    window = Window(calls=1) if spec is None else spec.window
    return _CountWindow(window.calls) if window.type == "Count" else _TimeWindow(window.duration)
