"""Which listener and which match a request belongs to.

A request belongs to one listener, the most specific by hostname, and only that listener's routes are considered
(Gateway API, `GatewayHTTPListenerIsolation`); then the first match in order of precedence wins. The index looks
up hostname, exact path and path prefix in dictionaries, and rules that differ only in the exact value of a header
(such as the model's name) or query parameter by that value, so that the cost of a request does not grow with the
number of rules. Regular expressions of paths are tried one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ..errors import Refusal
from .hostnames import candidates, host_of
from .paths import bare_prefix, has_prefix, query_value, split
from .table import HeaderMatch, Listener, Match, PathKind, PathMatch, RouteTable

__all__ = ["Headers", "Question", "Router", "mismatch"]

Headers = Sequence[tuple[bytes, bytes]] | Callable[[str], str | None]
"""Header fields, or a function from a name in lower case to its value (repeated fields joined with `,`)."""

_Ranked = tuple[int, Match]
"""A match and its position in its listener's order of precedence."""

_FEW = 4
"""As many matches on one path are tried one by one; an index by header value would cost more."""


class Question:
    """What a match is asked about: one request's method, path, query and headers, decoded when first needed."""

    __slots__ = ("_fields", "_headers", "method", "path", "query")

    def __init__(self, method: str, target: str, headers: Headers) -> None:
        self.method = method
        self.path, self.query = split(target)
        self._headers = headers
        self._fields: dict[str, str] | None = None

    def header(self, name: str) -> str | None:
        """Return the value of a header by its name in lower case, repeated fields joined with `,`, `None` if absent."""
        if callable(self._headers):
            return self._headers(name)
        if self._fields is None:
            fields: dict[str, str] = {}
            for raw_name, raw_value in self._headers:
                field = raw_name.decode("latin-1").lower()
                value = raw_value.decode("utf-8", "surrogateescape")
                fields[field] = f"{fields[field]},{value}" if field in fields else value
            self._fields = fields
        return self._fields.get(name)


def mismatch(match: Match, question: Question) -> str:
    """Say why a match does not apply to a request on one of its hostnames; empty when it does."""
    if not _path_fits(match.path, question.path):
        return f"path {question.path} is not {match.path.kind.value} {match.path.value}"
    if match.method is not None and match.method != question.method:
        return f"method {question.method} is not {match.method}"
    for header in match.headers:
        if not _value_fits(header, question.header(header.name)):
            return f"header {header.name} is {_shown(question.header(header.name))}, not {header.value!r}"
    for parameter in match.query:
        if not _value_fits(parameter, query_value(question.query, parameter.name)):
            value = query_value(question.query, parameter.name)
            return f"query parameter {parameter.name} is {_shown(value)}, not {parameter.value!r}"
    return ""


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)


def _path_fits(declared: PathMatch, path: str) -> bool:
    if declared.kind is PathKind.EXACT:
        return path == declared.value
    if declared.kind is PathKind.PREFIX:
        return has_prefix(path, declared.value)
    return declared.regex is not None and declared.regex.fits(path)


def _value_fits(declared: HeaderMatch, value: str | None) -> bool:
    if value is None:
        return False
    return value == declared.value if declared.regex is None else declared.regex.fits(value)


def _fits(match: Match, question: Question) -> bool:
    """Tell whether method, headers and query fit; the path was looked up."""
    return (
        (match.method is None or match.method == question.method)
        and all(_value_fits(header, question.header(header.name)) for header in match.headers)
        and all(_value_fits(parameter, query_value(question.query, parameter.name)) for parameter in match.query)
    )


_Key = tuple[bool, str]
"""Whether a query parameter is meant, or a header; and its name."""


class _Candidates:
    """Matches that share a hostname and a path, in order; where there are many, each is found by the exact value of a
    header or query parameter that it has in common with the fewest others."""

    __slots__ = ("_keyed", "_open")

    def __init__(self, ranked: list[_Ranked]) -> None:
        self._open: list[_Ranked] = []
        self._keyed: dict[_Key, dict[str, list[_Ranked]]] = {}
        if len(ranked) <= _FEW:
            self._open = ranked
            return
        usual = Counter(key for _, match in ranked for key in _exact_values(match))
        for item in ranked:
            found = min(_exact_values(item[1]), key=usual.__getitem__, default=None)
            if found is None:
                self._open.append(item)
            else:
                key, value = found
                self._keyed.setdefault(key, {}).setdefault(value, []).append(item)

    def first(self, question: Question) -> Match | None:
        """Return the first match, in order of precedence, that the request fits."""
        ranked = self._open
        if self._keyed:
            keyed: list[_Ranked] = []
            for (in_query, name), values in self._keyed.items():
                value = query_value(question.query, name) if in_query else question.header(name)
                if value is not None:
                    keyed += values.get(value, ())
            ranked = sorted(keyed + ranked, key=_rank) if keyed else ranked
        for _, match in ranked:
            if _fits(match, question):
                return match
        return None


def _exact_values(match: Match) -> list[tuple[_Key, str]]:
    headers = [((False, header.name), header.value) for header in match.headers if header.regex is None]
    return headers + [((True, entry.name), entry.value) for entry in match.query if entry.regex is None]


def _rank(item: _Ranked) -> int:
    return item[0]


class _Paths:
    """The matches of one hostname, found by path: exact, then regular expressions, then the longest prefix."""

    __slots__ = ("_exact", "_longest", "_prefixes", "_regexes")

    def __init__(self, ranked: list[_Ranked]) -> None:
        exact: dict[str, list[_Ranked]] = {}
        prefixes: dict[str, list[_Ranked]] = {}
        self._regexes: list[Match] = []
        for item in ranked:
            path = item[1].path
            if path.kind is PathKind.EXACT:
                exact.setdefault(path.value, []).append(item)
            elif path.kind is PathKind.PREFIX:
                prefixes.setdefault(bare_prefix(path.value), []).append(item)
            else:
                self._regexes.append(item[1])
        self._exact = {path: _Candidates(items) for path, items in exact.items()}
        self._prefixes = {prefix: _Candidates(items) for prefix, items in prefixes.items()}
        self._longest = max(map(len, prefixes), default=0)

    def first(self, question: Question) -> Match | None:
        path = question.path
        exact = self._exact.get(path)
        if exact is not None and (match := exact.first(question)) is not None:
            return match
        for match in self._regexes:
            if _path_fits(match.path, path) and _fits(match, question):
                return match
        for prefix in self._ends(path):
            found = self._prefixes.get(prefix)
            if found is not None and (match := found.first(question)) is not None:
                return match
        return None

    def _ends(self, path: str) -> Iterator[str]:
        """Yield the path cut at each `/`, longest first, none longer than the longest declared prefix.

        The bound keeps a path of thousands of segments from costing more than a declared one.
        """
        if not self._prefixes or not path.startswith("/"):
            return
        end = len(path) if len(path) <= self._longest else path.rfind("/", 0, self._longest + 1)
        while end >= 0:
            yield path[:end]
            end = path.rfind("/", 0, end)


class Router:
    """The index of a route table. Built once for a table, never changed, shared by all requests."""

    def __init__(self, table: RouteTable) -> None:
        self.listeners = table.listeners
        self._listeners: dict[int, dict[str, list[Listener]]] = {}
        self._claimed: dict[int, set[str]] = {}
        """By port, the addresses that some Gateway has as its own."""
        self._hosts: dict[tuple[tuple[str, str], str], dict[str, _Paths]] = {}
        for listener in table.listeners:
            self._listeners.setdefault(listener.port, {}).setdefault(listener.hostname, []).append(listener)
            self._claimed.setdefault(listener.port, set()).update(listener.addresses)
            ranked: dict[str, list[_Ranked]] = {}
            for item in enumerate(listener.matches):
                ranked.setdefault(item[1].hostname, []).append(item)
            paths = {hostname: _Paths(items) for hostname, items in ranked.items()}
            self._hosts[listener.gateway, listener.name] = paths

    def select_listener(self, port: int, host: str, address: str | None = None) -> Listener | None:
        """Return the listener that a request belongs to, or `None` for a 404.

        `port` is the listeners' logical port, `host` a Host value in any case and with or without a port, and
        `address` the local address that the client reached: a Gateway with `spec.addresses` is served on
        those only, and has them for itself. `None` leaves addresses out of account.
        """
        hostnames = self._listeners.get(port)
        if hostnames is None:
            return None
        owned = address is not None and address in self._claimed[port]
        for hostname in candidates(host_of(host)):
            for listener in hostnames.get(hostname, ()):
                if address is None or (address in listener.addresses if owned else not listener.addresses):
                    return listener
        return None

    def listener_for(
        self, port: int, host: str, address: str | None = None, server_name: str | None = None
    ) -> Listener | Refusal:
        """Return the listener that a request belongs to, or why it belongs to none that the client has reached.

        `server_name` is what the TLS handshake asked for (empty when it named nobody), `None` without TLS. A request
        for another listener than the handshake chose came over a connection that a client shares between hosts: 421
        asks it for a connection of their own (Gateway API, `Listener`, misdirected requests; RFC 9110, 15.5.20).
        """
        listener = self.select_listener(port, host, address)
        if listener is None:
            return Refusal.NO_ROUTE
        if server_name is not None and self.select_listener(port, server_name, address) is not listener:
            return Refusal.MISDIRECTED
        return listener

    def match(self, listener: Listener, method: str, host: str, target: str, headers: Headers) -> Match | None:
        """Return the match that a request falls under, or `None` for a 404.

        `listener` is one of this table's; `target` is the request target in normal form (`paths.normalize`).
        Among hostnames the most specific one comes first; if none of its matches fits, less specific ones follow.
        """
        paths = self._hosts[listener.gateway, listener.name]
        question = Question(method, target, headers)
        for hostname in candidates(host_of(host)):
            found = paths.get(hostname)
            if found is not None and (match := found.first(question)) is not None:
                return match
        return None
