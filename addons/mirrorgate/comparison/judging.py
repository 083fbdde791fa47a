"""The judge of one candidate: takes pairs in the order of their arrival and knows the verdict at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .conversations import Conversations, ConversationState
from .evidence import Evidence, EvidenceState, Tally, summed
from .verdict import Coverage, Decision, Verdict, VerdictPolicy, decide, settle

__all__ = ["Judge", "JudgeState", "combined"]


class JudgeState(msgspec.Struct):
    """A checkpoint. As JSON it gives back every float to the last digit."""

    identity: str
    evidence: dict[str, EvidenceState]
    windows: list[ConversationState]
    coverage: Coverage
    decision: Decision
    guardrail: str | None
    version: int = 1


class Judge:
    """The evidence of one candidate against one primary under one policy.

    `identity` names what is being compared: models, images, sampling parameters, policy. Evidence for one identity
    says nothing about another, so a change starts anew.
    """

    def __init__(self, policy: VerdictPolicy, identity: str) -> None:
        """Start without evidence; raises `ValueError` when a margin is outside (0, 1)."""
        self.policy = policy
        self.identity = identity
        self._start()

    def _start(self) -> None:
        self._evidence = {guardrail.name: Evidence(guardrail.margin) for guardrail in self.policy.guardrails}
        self._conversations = Conversations(self.policy.conversation_seconds)
        self._coverage = Coverage()
        self._decision = Decision.HOLD
        self._guardrail: str | None = None

    def identify(self, identity: str, policy: VerdictPolicy | None = None) -> bool:
        """Say what is compared from now on; return whether that is a change, which starts the evidence anew."""
        policy = self.policy if policy is None else policy
        if identity == self.identity and policy == self.policy:
            return False
        self.policy, self.identity = policy, identity
        self._start()
        return True

    def observe(self, losses: Mapping[str, float], at: float, conversation: str | None = None) -> None:
        """Take the differences of a pair that arrived `at` (Unix seconds), in the order of arrival.

        A guardrail that is missing from `losses` is not observed; with none at all the pair scores neither side.
        """
        if not losses:
            self._coverage += Coverage(unscored=1)
            self.advance(at)
            return
        self._coverage += Coverage(compared=1)
        observations = self._conversations.take(losses, at, conversation)
        self._take(observations)
        if not observations:
            self._latch()  # it counts to the coverage, and so may have decided

    def drop(self, count: int = 1) -> None:
        """Count mirrored exchanges that were not compared."""
        self._coverage += Coverage(dropped=count)

    def advance(self, now: float) -> None:
        """Close the conversations that are over by `now`, up to which every arrival has been observed."""
        self._take(self._conversations.due(now))

    def _take(self, observations: Iterable[Mapping[str, float]]) -> None:
        for observation in observations:
            for name, difference in observation.items():
                evidence = self._evidence.get(name)
                if evidence is not None:
                    evidence.update(difference)
            # Every observation is looked at, so that a verdict latches where the evidence passed, not where
            # somebody happened to ask.
            self._latch()

    def _latch(self) -> None:
        self._decision, self._guardrail = settle(
            self.policy, self.tallies(), self._coverage, self._decision, self._guardrail
        )

    def verdict(self) -> Verdict:
        """Return the verdict now."""
        return decide(
            self.policy,
            self.tallies(),
            self._coverage,
            latched=self._decision,
            latched_guardrail=self._guardrail,
        )

    def tallies(self) -> dict[str, Tally]:
        """Return what is known of each guardrail, to be added up over replicas."""
        return {name: evidence.tally() for name, evidence in self._evidence.items()}

    @property
    def decision(self) -> tuple[Decision, str | None]:
        """The decision, and of a REJECT its guardrail: what of the verdict costs nothing to ask after every pair."""
        return self._decision, self._guardrail

    @property
    def coverage(self) -> Coverage:
        return self._coverage

    @property
    def windows(self) -> int:
        """Conversations that are open, whose turns are not in the evidence yet."""
        return len(self._conversations)

    @property
    def oldest_window(self) -> float | None:
        """When the conversation that is open longest began, `None` when none is open."""
        return self._conversations.oldest

    def state(self) -> JudgeState:
        """Return a checkpoint."""
        return JudgeState(
            self.identity,
            {name: evidence.state() for name, evidence in self._evidence.items()},
            self._conversations.state(),
            self._coverage,
            self._decision,
            self._guardrail,
        )

    def encoded(self) -> bytes:
        """Return a checkpoint as JSON."""
        return msgspec.json.encode(self.state())

    @classmethod
    def restored(cls, policy: VerdictPolicy, identity: str, checkpoint: bytes) -> tuple[Judge, bool]:
        """Go on from a checkpoint; the second value says whether it fitted.

        One that cannot be read, is of another identity or of other guardrails starts anew: evidence is never carried
        over to what it was not gathered for.
        """
        judge = cls(policy, identity)
        try:
            state = msgspec.json.decode(checkpoint, type=JudgeState)
            evidence = {name: Evidence.from_state(held) for name, held in state.evidence.items()}
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return judge, False
        margins: dict[str, Any] = {name: held.margin for name, held in evidence.items()}
        expected = {guardrail.name: guardrail.margin for guardrail in policy.guardrails}
        if state.identity != identity or state.version != 1 or margins != expected:
            return judge, False
        judge._evidence = {name: evidence[name] for name in expected}
        judge._conversations.restore(state.windows)
        judge._coverage = state.coverage
        judge._decision = state.decision
        judge._guardrail = state.guardrail
        return judge, True


def combined(policy: VerdictPolicy, parts: Iterable[tuple[Mapping[str, Tally], Coverage]]) -> Verdict:
    """Decide over several replicas or journals: evidence, counts and coverage are added up.

    Every replica may look at its own evidence as often as it likes; the verdict over all is that of the sums.
    """
    held = list(parts)
    tallies = {
        guardrail.name: summed(tallies[guardrail.name] for tallies, _ in held if guardrail.name in tallies)
        for guardrail in policy.guardrails
    }
    coverage = Coverage()
    for _, each in held:
        coverage += each
    return decide(policy, tallies, coverage)
