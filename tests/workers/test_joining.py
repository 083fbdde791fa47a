"""Views of several workers as one."""

from typing import Any

from mirrorgate.workers.joining import joined_clusters, joined_exchanges, joined_overview


def cluster(used: int, at: float, *, healthy: bool = True) -> dict[str, Any]:
    """Return a worker's `/clusters`."""
    return {
        "clusters": [
            {
                "name": "c",
                "limits": {"parallel": {"used": used, "limit": 5, "open": used >= 5}},
                "connecting": 1,
                "endpoints": [{"address": "a:1", "in_flight": used, "healthy": healthy, "error": ""}],
                "picks": [{"at": at}],
            }
        ]
    }


def test_what_is_under_way_adds_up() -> None:
    """Counts are sums, limits are not; an endpoint that one worker finds ill is not healthy."""
    (whole,) = joined_clusters([cluster(2, 1.0), cluster(5, 2.0, healthy=False)])["clusters"]
    assert whole["limits"]["parallel"] == {"used": 7, "limit": 5, "open": True}
    assert whole["connecting"] == 2
    assert whole["endpoints"] == [{"address": "a:1", "in_flight": 7, "healthy": False, "error": ""}]
    assert [pick["at"] for pick in whole["picks"]] == [2.0, 1.0]


def test_a_cluster_that_one_worker_has_is_there() -> None:
    """During a reload workers differ for a moment."""
    assert len(joined_clusters([{"clusters": []}, cluster(1, 1.0)])["clusters"]) == 1


def test_the_latest_exchange_is_first() -> None:
    """By time, whichever worker's it was."""
    views = [{"exchanges": [{"at": 3.0}, {"at": 1.0}]}, {"exchanges": [{"at": 2.0}]}]
    assert [each["at"] for each in joined_exchanges(views)["exchanges"]] == [3.0, 2.0, 1.0]


def overview(generation: int, requests: int, p50: float | None) -> dict[str, Any]:
    """Return a worker's `/overview`."""
    quantiles = {"p50": p50, "p95": None, "p99": None}
    leg = {"requests": requests, "errors": 1, "input_tokens": 2, "output_tokens": 3}
    summary = {
        "codes": {"200": requests},
        "flags": {},
        "local_replies": {},
        "rejected": {},
        "mirrors_sent": 1,
        "pairs": {"m": {"same": 1}},
        "drops": [{"cluster": "m", "leg": "candidate", "at": "proxy", "reason": "queue_full", "count": 2}],
        "legs": {"primary": leg | dict.fromkeys(("ttft", "time_per_output_token", "duration"), quantiles)},
    }
    return {
        "version": "x",
        "started": float(generation),
        "generation": generation,
        "applied": float(generation),
        "problems": 0,
        "bindErrors": {},
        "paused": False,
        "summary": summary,
    }


def test_a_generation_is_reached_when_all_have_it() -> None:
    """Counts are sums, quantiles weighted means."""
    whole = joined_overview([overview(3, 30, 1.0), overview(2, 10, 2.0)])
    assert (whole["generation"], whole["applied"], whole["started"]) == (2, 3.0, 2.0)
    summary = whole["summary"]
    assert summary["codes"] == {"200": 40}
    assert summary["pairs"] == {"m": {"same": 2}}
    assert summary["drops"][0]["count"] == 4
    assert summary["legs"]["primary"]["requests"] == 40
    assert summary["legs"]["primary"]["ttft"] == {"p50": 1.25, "p95": None, "p99": None}


def test_without_workers_there_is_nothing_to_tell() -> None:
    """The supervisor's own lines come on top."""
    assert joined_overview([]) == {}
