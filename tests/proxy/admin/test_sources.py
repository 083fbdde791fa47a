"""What the admin server shows before anybody has filled it in."""

from __future__ import annotations

import msgspec

from mirrorgate.proxy.admin.sources import AdminSources


def test_every_view_has_an_answer() -> None:
    """A gateway without shadows, clusters, evidence still answers each page with JSON, and offers no change."""
    sources = AdminSources(ready=lambda: (True, ""), metrics=lambda accept: ("text/plain", iter(())))
    for view in (sources.resources, sources.routes, sources.clusters, sources.exchanges, sources.overview):
        msgspec.json.encode(view())
    assert sources.verdict() == {"verdict": "HOLD", "reason": "collecting", "shadows": []}
    assert sources.drain is sources.pause_mirrors is sources.resume_mirrors is None
