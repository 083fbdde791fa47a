"""Rendering: the table is plain, and says what matters even when it is empty."""

import json

from mirrorgate.routing.rendering import render, render_rule
from mirrorgate.routing.table import Backend, Destination, DestinationKind, HeaderChanges, RouteTable, Rule, Timeouts

SERVER = Destination(DestinationKind.SERVICE, "default", "server", 80, ())


def test_an_empty_table() -> None:
    """No listener and no rule."""
    assert render(RouteTable()) == {"listeners": [], "rules": []}


def test_no_endpoints_are_shown() -> None:
    """A backend without endpoints shows so; a switched-off timeout is told from one that is not declared."""
    rule = Rule(("default", "r"), 0, None, "c", (Backend(0, SERVER.ref, SERVER),), timeouts=Timeouts(request=0.0))
    assert render_rule(rule) == {
        "cluster": "c",
        "route": "default/r",
        "rule": 0,
        "backends": [{"weight": 0, "ref": "Service default/server:80", "endpoints": []}],
        "timeouts": {"request": 0.0},
    }


def test_everything_is_json() -> None:
    """A rendered rule survives JSON."""
    changes = HeaderChanges(set=(("a", "1"),), remove=("b",))
    rule = Rule(("default", "r"), 0, "n", "c", request_headers=changes, broken="NoBackends")
    shown = render_rule(rule)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["requestHeaders"] == {"set": ["a: 1"], "remove": ["b"]}
