"""One configuration as requests see it: immutable, and swapped whole when another one takes effect."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Problem
from .resources.inventory import Inventory
from .routing.compiling import Compiled, CompileOptions, compile
from .routing.conditions import Statuses
from .routing.matching import Router
from .routing.table import RouteTable

__all__ = ["Snapshot"]


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
        return cls(generation, inventory, compiled.table, Router(compiled.table), compiled.statuses, compiled.problems)
