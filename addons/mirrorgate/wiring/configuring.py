"""From files to a snapshot: read, load, compile; refused whole when anything is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigProblems, Problem, Severity
from ..resources.endpoints import Address
from ..resources.inventory import Inventory
from ..resources.loading import Document, load
from ..routing.compiling import CompileOptions
from ..routing.table import DestinationKind, Listener
from ..snapshot import Snapshot, distinct_destinations, rules_of
from ..sources.files import Reading

__all__ = [
    "Compilation",
    "bindings",
    "bound_at",
    "compile_reading",
    "counted",
    "empty",
    "listed",
    "paths_of",
    "scraped",
]


@dataclass(frozen=True, slots=True)
class Compilation:
    """A configuration that may take effect, with its warnings."""

    snapshot: Snapshot
    warnings: tuple[Problem, ...]


def empty() -> Snapshot:
    """Return the configuration that serves nothing."""
    return Snapshot.of(Inventory(), 0)


def compile_reading(reading: Reading, generation: int, options: CompileOptions | None = None) -> Compilation:
    """Compile what was read; raises ConfigProblems with every problem when one of them is an error."""
    loaded = load(Document(name, text) for name, text in reading.files)
    problems = reading.problems + loaded.problems
    snapshot = Snapshot.of(loaded.inventory, generation, options)
    problems += snapshot.problems
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise ConfigProblems(problems)
    return Compilation(snapshot, problems)


def bindings(snapshot: Snapshot, bind: str, offset: int) -> list[str]:
    """Return the proxy modes of a configuration's listeners, one for each address and port.

    Raises ConfigProblems when the offset moves a port out of range.
    """
    modes: dict[str, None] = {}
    problems: list[Problem] = []
    for listener in snapshot.table.listeners:
        port = listener.port + offset
        if not 0 < port < 65536:
            place = f"Gateway {listener.gateway[0]}/{listener.gateway[1]}: listener {listener.name}"
            message = f"port {listener.port} with gateway_port_offset {offset} is {port}, which is no port"
            problems.append(Problem(message, path=place))
            continue
        for address in listener.addresses or (bind,):
            modes[f"{bound_at(listener, address)}{port}"] = None
    if problems:
        raise ConfigProblems(tuple(problems))
    return list(modes)


def bound_at(listener: Listener, address: str) -> str:
    """Return the proxy mode of a listener at an address, up to the port that is bound.

    The protocol is part of it: a port whose protocol changes is another socket.
    """
    protocol = "/https" if listener.protocol == "HTTPS" else ""
    return f"gateway:{listener.port}{protocol}@{address}:"


def paths_of(configured: Sequence[str], default: Path) -> list[Path]:
    """Return the paths to read, the default when none is configured."""
    return [Path(path).expanduser() for path in configured] or [default]


def scraped(snapshot: Snapshot) -> dict[str, Address]:
    """Return the endpoints whose loads decide something: those of InferencePools."""
    return {
        str(address): address
        for destination in distinct_destinations(rules_of(snapshot))
        if destination.kind is DestinationKind.INFERENCE_POOL
        for address in destination.endpoints
    }


def listed(problems: Sequence[Problem]) -> str:
    """Word the problems of a configuration that is refused: how many errors and warnings, and each of them."""
    return f"the configuration has {counted(problems)}:\n" + "\n".join(map(str, problems))


def counted(problems: Sequence[Problem]) -> str:
    """Say how many errors and warnings there are."""
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    return " and ".join(filter(None, [_number(errors, "error"), _number(len(problems) - errors, "warning")]))


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""
