"""One configuration as requests see it: immutable, and swapped whole when another one takes effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .balancing import prepare
from .errors import Problem
from .resources.inventory import Inventory
from .routing.compiling import Compiled, CompileOptions, compile
from .routing.conditions import Statuses
from .routing.matching import Router
from .routing.table import Destination, RouteTable, Rule

__all__ = ["Snapshot", "destinations_of", "distinct_destinations", "rules_of"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A compiled configuration. An exchange keeps the one that it began with."""

    generation: int
    """Counted up with every configuration that takes effect; 0 is the empty one."""
    inventory: Inventory
    table: RouteTable
    router: Router
    statuses: Statuses
    problems: tuple[Problem, ...]
    """The warnings of the compilation."""

    @classmethod
    def of(cls, inventory: Inventory, generation: int, options: CompileOptions | None = None) -> Snapshot:
        """Compile an inventory."""
        compiled: Compiled = compile(inventory, options)
        prepare(compiled.table)
        return cls(generation, inventory, compiled.table, Router(compiled.table), compiled.statuses, compiled.problems)


def rules_of(snapshot: Snapshot) -> list[Rule]:
    """List every rule that is served, each once."""
    rules = {match.rule.cluster: match.rule for listener in snapshot.table.listeners for match in listener.matches}
    return list(rules.values())


def destinations_of(rule: Rule) -> list[Destination]:
    """List where a rule leads, mirrors included."""
    primary = [backend.destination for backend in rule.backends if backend.destination is not None]
    return primary + [mirror.destination for mirror in rule.mirrors]


def distinct_destinations(rules: Iterable[Rule]) -> Iterable[Destination]:
    """Yield where rules lead, each once: thousands of rules share a few destinations, each with many endpoints."""
    found = {id(destination): destination for rule in rules for destination in destinations_of(rule)}
    return found.values()
