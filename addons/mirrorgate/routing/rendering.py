"""The route table as plain values, for the admin server's `/routes`, `mirrorgate check` and golden files."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass

from pydantic import BaseModel

from .regexes import Regex
from .retrying import RetryPolicy
from .table import (
    Backend,
    Cors,
    Destination,
    HeaderChanges,
    HeaderMatch,
    Listener,
    Match,
    Mirror,
    PathRewrite,
    PoolModel,
    Redirect,
    RouteTable,
    Rule,
    TrafficPolicy,
    UrlRewrite,
)

__all__ = ["render", "render_match", "render_rule"]

Document = dict[str, object]


def render(table: RouteTable) -> Document:
    """Return a table ready for JSON: its listeners, each with its matches in order, and every rule once by cluster.

    What is not set is left out.
    """
    rules = {match.rule.cluster: match.rule for listener in table.listeners for match in listener.matches}
    return {
        "listeners": [_listener(listener) for listener in table.listeners],
        "rules": [render_rule(rules[cluster]) for cluster in sorted(rules)],
    }


def _listener(listener: Listener) -> Document:
    return _set(
        gateway="/".join(listener.gateway),
        name=listener.name,
        port=listener.port,
        protocol=listener.protocol,
        hostname=listener.hostname,
        addresses=list(listener.addresses),
        tls=[certificate.source for certificate in listener.certificates],
    ) | {"matches": [render_match(match) for match in listener.matches]}


def render_match(match: Match) -> Document:
    """Return one match with the cluster of its rule."""
    return _set(
        hostname=match.hostname,
        path=f"{match.path.kind.value} {match.path.value}",
        method=match.method,
        headers=[_value(header) for header in match.headers],
        query=[_value(parameter) for parameter in match.query],
        rule=match.rule.cluster,
    )


def _value(match: HeaderMatch) -> str:
    return f"{match.name} {'=' if match.regex is None else '~'} {match.value}"


def render_rule(rule: Rule) -> Document:
    """Return one rule with all that is resolved for it."""
    return _set(
        cluster=rule.cluster,
        route="/".join(rule.route),
        rule=rule.index,
        name=rule.name,
        broken=rule.broken,
        backends=[_backend(backend) for backend in rule.backends],
        mirrors=[_mirror(mirror) for mirror in rule.mirrors],
        requestHeaders=_changes(rule.request_headers),
        responseHeaders=_changes(rule.response_headers),
        rewrite=_url_rewrite(rule.rewrite),
        redirect=_redirect(rule.redirect),
        cors=None if rule.cors is None else _cors(rule.cors),
        timeouts=_set(**{field.name: getattr(rule.timeouts, field.name) for field in fields(rule.timeouts)}),
        retry=_retry(rule.retry),
        traffic=_traffic(rule.traffic),
        shadow=None if rule.shadow is None else rule.shadow.mode,
        failureBreaker=None if rule.failure_breaker is None else rule.failure_breaker.mode,
    )


def _backend(backend: Backend) -> Document:
    return _set(
        weight=backend.weight,
        invalid=backend.invalid,
        requestHeaders=_changes(backend.request_headers),
        responseHeaders=_changes(backend.response_headers),
        rewrite=_url_rewrite(backend.rewrite),
        redirect=_redirect(backend.redirect),
        **({"ref": backend.ref} if backend.destination is None else _destination(backend.destination)),
    )


def _mirror(mirror: Mirror) -> Document:
    return _set(
        cluster=mirror.cluster,
        fraction=mirror.fraction,
        backend=mirror.backend,
        policy=mirror.policy_source,
        **_destination(mirror.destination),
    )


def _destination(destination: Destination) -> Document:
    """Return a destination; its endpoints are shown even when there are none, since that means 503."""
    return {
        "ref": destination.ref,
        "endpoints": [str(address) for address in destination.endpoints],
        "models": [_model(model) for model in destination.models],
        "onlyTheseModels": destination.closed_models,
        "objectives": dict(destination.objectives),
        "protocol": "" if destination.app_protocol == "http" else destination.app_protocol,
        "tls": "" if destination.tls is None else destination.tls.source,
    }


def _model(model: PoolModel) -> Document:
    return _set(
        name=model.name or "any",
        targets={target.name: target.weight for target in model.targets},
        criticality=model.criticality,
        source=model.source,
    )


def _traffic(traffic: TrafficPolicy) -> Document:
    """Return what a policy sets beyond the defaults; empty without a policy."""
    default = TrafficPolicy()
    return {
        field.name: _plain(getattr(traffic, field.name))
        for field in fields(traffic)
        if getattr(traffic, field.name) != getattr(default, field.name)
    }


def _plain(value: object) -> object:
    """Return what is declared as its user wrote it, and what is compiled as JSON can have it, without what is empty."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    if isinstance(value, Regex):
        return value.pattern
    if is_dataclass(value) and not isinstance(value, type):
        return _set(**{field.name: _plain(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, enum.Enum):
        return str(value.value)
    return value if isinstance(value, str | int | float) or value is None else str(value)


def _retry(retry: RetryPolicy | None) -> Document | None:
    if retry is None:
        return None
    return _set(**{**asdict(retry), "triggers": [str(one) for one in retry.triggers], "codes": list(retry.codes)})


def _changes(changes: HeaderChanges) -> Document:
    return _set(set=_pairs(changes.set), add=_pairs(changes.add), remove=list(changes.remove))


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name}: {value}" for name, value in pairs]


def _rewrite(rewrite: PathRewrite | None) -> str:
    if rewrite is None:
        return ""
    return rewrite.value if rewrite.prefix is None else f"{rewrite.prefix} -> {rewrite.value}"


def _url_rewrite(rewrite: UrlRewrite | None) -> Document | None:
    return None if rewrite is None else _set(hostname=rewrite.hostname, path=_rewrite(rewrite.path))


def _redirect(redirect: Redirect | None) -> Document | None:
    if redirect is None:
        return None
    return _set(
        status=redirect.status,
        scheme=redirect.scheme,
        hostname=redirect.hostname,
        port=redirect.port,
        path=_rewrite(redirect.path),
    )


def _cors(cors: Cors) -> Document:
    exact = sorted(f"{scheme}://{host}:{port}" for scheme, host, port in cors.origins)
    wild = [f"{scheme}://*{suffix}:{port}" for scheme, suffix, port in cors.suffixes]
    return _set(
        origins=["*"] if cors.any_origin else exact + wild,
        credentials=cors.credentials,
        methods=cors.methods,
        headers=cors.headers,
        expose=cors.expose,
        maxAge=cors.max_age,
    )


def _set(**values: object) -> Document:
    """Return what is set: no `None`, no False, no empty text, list or mapping. Numbers stay, 0 among them."""
    return {
        name: value
        for name, value in values.items()
        if not (value is None or value is False or (isinstance(value, str | list | Mapping) and not value))
        or name == "endpoints"
    }
