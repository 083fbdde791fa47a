"""What a policy applies to by its labels (Envoy Gateway `api/v1alpha1/policy_helpers.go`, `TargetSelector`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .objects import LabelSelector, LabelSelectorRequirement
from .reference import GATEWAY_GROUP
from .scalars import Group, KindName
from .shapes import CheckedShape, Fault, Items

__all__ = ["SelectorNamespaces", "TargetSelector"]


class SelectorNamespaces(CheckedShape):
    from_: Literal["Same", "All", "Selector"] = Field(default="Same", alias="from")
    selector: LabelSelector | None = None

    def faults(self) -> Iterable[Fault]:
        if self.from_ == "Selector" and self.selector is None:
            yield Fault(("selector",), "selector must be specified when from is Selector")


class TargetSelector(CheckedShape):
    """Every object of a kind whose labels fit. Those of other namespaces need a ReferenceGrant there."""

    group: Group = GATEWAY_GROUP
    kind: KindName
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: Items[LabelSelectorRequirement] = ()
    namespaces: SelectorNamespaces | None = None
    """`None`: the policy's own namespace."""

    @property
    def labels(self) -> LabelSelector:
        return LabelSelector(match_labels=self.match_labels, match_expressions=self.match_expressions)

    def faults(self) -> Iterable[Fault]:
        if self.group != GATEWAY_GROUP:
            yield Fault(("group",), f"group must be {GATEWAY_GROUP}")
