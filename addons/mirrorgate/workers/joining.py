"""Views of several workers as one: counts add up, what all know alike is told once, latest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["joined_clusters", "joined_exchanges", "joined_overview"]

_MOST_EXCHANGES = 200
_MOST_PICKS = 32


def joined_clusters(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join `proxy.admin.sources.ClustersView`s: what each worker has under way adds up to what all have."""
    whole: dict[str, dict[str, Any]] = {}
    for view in views:
        for cluster in view["clusters"]:
            known = whole.get(cluster["name"])
            if known is None:
                whole[cluster["name"]] = dict(cluster)
            else:
                _add_cluster(known, cluster)
    return {"clusters": list(whole.values())}


def _add_cluster(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, limit in more.get("limits", {}).items():
        mine = known["limits"].setdefault(name, limit)
        if mine is not limit:
            mine["used"] += limit["used"]
            mine["open"] = mine["open"] or limit["open"]
    if "connecting" in more:
        known["connecting"] = known.get("connecting", 0) + more["connecting"]
    endpoints = {endpoint["address"]: endpoint for endpoint in known.get("endpoints", [])}
    for endpoint in more.get("endpoints", []):
        mine = endpoints.get(endpoint["address"])
        if mine is not None:
            for count in ("in_flight", "connections"):
                if count in endpoint:
                    mine[count] = mine.get(count, 0) + endpoint[count]
            mine["healthy"] = mine.get("healthy", True) and endpoint.get("healthy", True)
            mine["error"] = mine.get("error") or endpoint.get("error", "")
    if "picks" in more:
        known["picks"] = _latest([known.get("picks", []), more["picks"]], _MOST_PICKS)


def joined_exchanges(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join `proxy.admin.sources.ExchangesView`s, latest first."""
    return {"exchanges": _latest([view["exchanges"] for view in views], _MOST_EXCHANGES)}


def joined_overview(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join overviews: the generation is the one that all have reached, a problem of one is a problem of all."""
    if not views:
        return {}
    whole = dict(views[0])
    whole["started"] = min(view["started"] for view in views)
    whole["generation"] = min(view["generation"] for view in views)
    whole["applied"] = max(view["applied"] for view in views)
    whole["problems"] = max(view["problems"] for view in views)
    whole["paused"] = all(view["paused"] for view in views)
    whole["bindErrors"] = {mode: error for view in views for mode, error in view["bindErrors"].items()}
    whole["summary"] = _joined_summary([view["summary"] for view in views])
    return whole


def _joined_summary(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join `telemetry.summary.Summary`s. A quantile over all cannot be had from the workers' own: it is their mean,
    weighted by requests, which is close because the kernel deals connections out evenly."""
    whole: dict[str, Any] = {}
    for key in ("codes", "flags", "local_replies", "rejected"):
        whole[key] = _added(view[key] for view in views)
    whole["mirrors_sent"] = sum(view["mirrors_sent"] for view in views)
    pairs: dict[str, dict[str, int]] = {}
    for view in views:
        for cluster, outcomes in view["pairs"].items():
            pairs[cluster] = _added([pairs.get(cluster, {}), outcomes])
    whole["pairs"] = pairs
    drops: dict[tuple[str, ...], int] = {}
    for drop in (drop for view in views for drop in view["drops"]):
        where = (drop["cluster"], drop["leg"], drop["at"], drop["reason"])
        drops[where] = drops.get(where, 0) + drop["count"]
    whole["drops"] = [
        {"cluster": cluster, "leg": leg, "at": at, "reason": reason, "count": count}
        for (cluster, leg, at, reason), count in sorted(drops.items(), key=lambda item: -item[1])
    ]
    legs = dict.fromkeys(leg for view in views for leg in view["legs"])
    whole["legs"] = {leg: _joined_leg([view["legs"][leg] for view in views if leg in view["legs"]]) for leg in legs}
    return whole


def _joined_leg(legs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {
        key: sum(leg[key] for leg in legs) for key in ("requests", "errors", "input_tokens", "output_tokens")
    }
    for key in ("ttft", "time_per_output_token", "duration"):
        whole[key] = {}
        for name in ("p50", "p95", "p99"):
            known = [(leg[key][name], leg["requests"]) for leg in legs if leg[key][name] is not None]
            weight = sum(requests for _, requests in known)
            whole[key][name] = sum(value * requests for value, requests in known) / weight if weight else None
    return whole


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    whole: dict[str, int] = {}
    for each in counts:
        for key, count in each.items():
            whole[key] = whole.get(key, 0) + count
    return whole


def _latest(lists: Iterable[Sequence[dict[str, Any]]], most: int) -> list[dict[str, Any]]:
    return sorted((item for each in lists for item in each), key=lambda item: -item["at"])[:most]
