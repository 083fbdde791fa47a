"""The ground that every declared shape stands on: frozen, exact about names and types, all faults at once.

Types are checked as the API server checks them: `port: "80"` is a string and refused, `null` is a field that was
not given. Rules that span fields (the CEL rules of the CRDs) are methods that yield every `Fault` they find.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from .places import Step

__all__ = ["CheckedShape", "Fault", "Items", "LooseShape", "Shape", "repeated"]

T = TypeVar("T")

Items = Annotated[tuple[T, ...], Strict(False)]
"""A list of YAML or JSON, kept as a tuple; its entries are checked as strictly as any other value."""


class Shape(BaseModel):
    """A mapping of a manifest whose fields are all known: an unknown one is a problem.

    Manifests use the API's camelCase names only; Python uses snake_case.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
    )


class LooseShape(Shape):
    """A mapping of which only some fields are of interest; others are ignored, as users' objects are full of them."""

    model_config = ConfigDict(extra="ignore")


class Fault(NamedTuple):
    """A broken rule: where below the shape that has the rule, and why."""

    loc: tuple[Step, ...]
    """Field names as they are written in a manifest."""
    message: str
    hint: str = ""


class CheckedShape(Shape):
    """A shape with rules that span its fields. They are looked at once each field by itself is right."""

    def faults(self) -> Iterable[Fault]:
        """Yield every broken rule."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        if faults := list(self.faults()):
            raise ValidationError.from_exception_data(type(self).__name__, [_detail(fault) for fault in faults])
        return self


def _detail(fault: Fault) -> InitErrorDetails:
    context: dict[str, Any] = {"message": fault.message, "hint": fault.hint}
    return InitErrorDetails(type=PydanticCustomError("rule", "{message}", context), loc=fault.loc, input=None)


def repeated(field: str, names: Sequence[str], message: str, key: str = "name") -> Iterable[Fault]:
    """Yield a fault at `field[i].key` for each name that an earlier entry has already."""
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        first = seen.setdefault(name, index)
        if first != index:
            loc: tuple[Step, ...] = (field, index, key) if key else (field, index)
            yield Fault(loc, f"{message}: {name!r} is that of {field}[{first}] already")
