"""A completion in the making: pieces are added as they come, the result is frozen at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from .completions import ApiError, Choice, Token, ToolCall, Usage

__all__ = ["CallDraft", "ChoiceDraft", "Draft"]

_MOST_CHOICES = 256
_MOST_CALLS = 1024


@dataclass(slots=True)
class CallDraft:
    """One tool call, whose arguments come in fragments."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def add(self, id: str, name: str, arguments: str) -> None:
        """Add a fragment. A name that is repeated in every fragment, as some servers do, counts once."""
        if id and not self.id:
            self.id = id
        if name and name != self.name:
            self.name += name
        if arguments:
            self.arguments.append(arguments)


@dataclass(slots=True)
class ChoiceDraft:
    """One choice."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int | str, CallDraft] = field(default_factory=dict)
    finish_reason: str | None = None
    tokens: list[Token] = field(default_factory=list)

    def call(self, key: int | str) -> CallDraft:
        """Return the tool call of that key, a new one the first time; beyond the bound always the last one."""
        found = self.calls.get(key)
        if found is None:
            if len(self.calls) >= _MOST_CALLS:
                return next(reversed(self.calls.values()))
            found = self.calls[key] = CallDraft()
        return found

    def finished(self, index: int) -> Choice:
        calls = tuple(ToolCall(call.id, call.name, "".join(call.arguments)) for call in self.calls.values())
        return Choice(
            index=index,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            refusal="".join(self.refusal),
            tool_calls=calls,
            finish_reason=self.finish_reason,
            tokens=tuple(self.tokens),
        )


@dataclass(slots=True)
class Draft:
    """An answer of any API. The readers of each shape fill it in."""

    model: str | None = None
    choices: dict[int, ChoiceDraft] = field(default_factory=dict)
    usage: Usage | None = None
    errors: list[ApiError] = field(default_factory=list)
    done: bool = False
    malformed: int = 0
    """Events that are not the JSON objects they should be."""

    def choice(self, index: int) -> ChoiceDraft:
        """Return the choice of that index, a new one the first time; beyond the bound always the first one."""
        found = self.choices.get(index)
        if found is None:
            if len(self.choices) >= _MOST_CHOICES:
                return next(iter(self.choices.values()))
            found = self.choices[index] = ChoiceDraft()
        return found

    def finished(self) -> tuple[Choice, ...]:
        return tuple(self.choices[index].finished(index) for index in sorted(self.choices))
