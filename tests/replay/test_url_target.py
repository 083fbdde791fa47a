"""A server as the destination, and what a replayed request looks like."""

from typing import Any

import pytest

from mirrorgate.legs import policy_bytes
from mirrorgate.records import Leg, Target
from mirrorgate.replay.aiming import Rewrites
from mirrorgate.replay.captured import Captured
from mirrorgate.replay.selecting import request_of
from mirrorgate.replay.url_target import UrlTarget
from mirrorgate.resources.server_tls import ServerTls
from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.routing.table import HeaderChanges

POLICY = ShadowPolicySpec()
PLAIN = Rewrites()


def target(url: str, entry: Captured, rewrites: Rewrites = PLAIN, leg: Leg = Leg.CANDIDATE) -> Target:
    """Return the one leg of a request."""
    aims = UrlTarget(url, rewrites, POLICY, policy_bytes(POLICY)).aims(entry, request_of(entry), leg)
    assert isinstance(aims, list)
    return aims[0].target


def test_a_leg_is_marked_and_has_no_credentials(captures: Any) -> None:
    """A gateway behind must not mirror it again, and a candidate is not given what speaks for a client."""
    headers = [
        (b"Host", b"example.com"), (b"Authorization", b"Bearer x"), (b"Content-Length", b"9"), (b"Connection", b"x"),
        (b"X-Mirrorgate-Leg", b"nobody"), (b"accept", b"*/*"),
    ]  # fmt: skip
    found = target("http://127.0.0.1:9000", captures.entry(headers=headers, path="/v1/models?api_key=s&x=1"))
    assert found.head == [(b"host", b"127.0.0.1:9000"), (b"accept", b"*/*"), (b"x-mirrorgate-leg", b"candidate")]
    assert (found.path, found.host, found.port, found.tls) == ("/v1/models?x=1", "127.0.0.1", 9000, None)


def test_credentials_are_sent_only_when_asked_for(captures: Any) -> None:
    """Captured ones with a word, the destination's own by a header; the mark cannot be taken off."""
    entry = captures.entry()
    kept = target("http://h", entry, Rewrites(keep_credentials=True))
    assert (b"authorization", b"Bearer secret") in kept.head
    changes = HeaderChanges(set=(("authorization", "Bearer own"),), remove=("x-mirrorgate-leg",))
    own = target("http://h", entry, Rewrites(headers=changes), Leg.PRIMARY)
    assert own.head[-2:] == [(b"authorization", b"Bearer own"), (b"x-mirrorgate-leg", b"primary")]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h", "/v1/chat/completions"),
        ("http://h/", "/v1/chat/completions"),
        ("http://h/v1", "/v1/chat/completions"),
        ("http://h/llm/v1/", "/llm/v1/chat/completions"),
        ("http://h/llm", "/llm/v1/chat/completions"),
    ],
)
def test_the_path_goes_behind_the_url_s(captures: Any, url: str, path: str) -> None:
    """Base URLs end in /v1 by custom, and captured paths begin with it."""
    assert target(url, captures.entry()).path == path


def test_models_are_rewritten(captures: Any) -> None:
    """The first rule that fits; others keep their model."""
    entry = captures.entry()
    assert target("http://h", entry, Rewrites(models=(("fake-model", "a"), (None, "b")))).model == "a"
    assert target("http://h", entry, Rewrites(models=(("other", "a"), (None, "b")))).model == "b"
    assert target("http://h", entry, Rewrites(models=(("other", "a"),))).model is None


def test_tls(captures: Any) -> None:
    """An https URL is spoken to in TLS, at its port."""
    found = target("https://h/v1", captures.entry())
    assert (found.tls, found.port) == (ServerTls(), 443)


@pytest.mark.parametrize("url", ["h:8000", "ftp://h", "http://", "http://u:p@h", "http://h:99999", "http://h?x=1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"\S"):
        UrlTarget(url, Rewrites(), POLICY, b"")
