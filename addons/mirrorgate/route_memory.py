"""Remembers where requests belong, so that the next of its kind is not matched again.

The answer depends on a request's port and address, its server name, host, method, target and scheme, and on those
header fields that the table looks at: the same again has the same answer, for as long as the table is the
same. Clients of a model API ask the same few things all the time.
"""

from __future__ import annotations

import msgspec

from .plans import Directed, RequestFacts
from .routing.table import RouteTable

__all__ = ["Key", "RouteMemory"]

type Key = tuple[object, ...]

_MOST = 2048
"""Answers that are remembered; beyond them it begins anew, so that nobody can fill the memory with paths."""

_LONGEST = 512
"""Bytes of a host or target, and header fields' values together, that are remembered."""


_CORS = frozenset((b"origin", b"access-control-request-method", b"access-control-request-headers"))


class RouteMemory:
    """What one route table has answered."""

    __slots__ = ("_answers", "_names", "table")

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self._answers: dict[Key, Directed] = {}
        self._names = _looked_at(table)

    def key(self, facts: RequestFacts) -> Key:
        """Return everything that the answer may depend on."""
        names = self._names
        fields = tuple([field for field in facts.fields if field[0].lower() in names]) if names else ()
        return facts.port, facts.local, facts.server_name, facts.host, facts.method, facts.path, facts.scheme, fields

    def recall(self, key: Key) -> Directed | None:
        """Return the answer to a request of this key, `None` when it is not known."""
        return self._answers.get(key)

    def visible(self, facts: RequestFacts) -> RequestFacts:
        """Leave what is not in the key out of a request, so that no answer can depend on it."""
        return msgspec.structs.replace(
            facts,
            client="",
            fields=tuple(field for field in facts.fields if field[0].lower() in self._names),
            content_type=None,
            to_pool=True,
        )

    def keep(self, key: Key, facts: RequestFacts, answer: Directed) -> Directed:
        """Remember the answer to a `visible` request, and return it."""
        size = len(facts.host) + len(facts.path) + sum(len(name) + len(value) for name, value in facts.fields)
        if size <= _LONGEST:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[key] = answer
        return answer


def _looked_at(table: RouteTable) -> frozenset[bytes]:
    """Return the header fields that some match, or the answer to a preflight, looks at, in lower case."""
    matches = [match for listener in table.listeners for match in listener.matches]
    names = frozenset(header.name.encode() for match in matches for header in match.headers)
    return names | _CORS if any(match.rule.cors is not None for match in matches) else names
