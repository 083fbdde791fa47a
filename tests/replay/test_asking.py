"""From a command's words to a run."""

import argparse
import random
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.cli import replaying
from mirrorgate.records import Leg
from mirrorgate.replay.asking import Prepared, prepared
from mirrorgate.replay.pacing import AtRate, Original, Unpaced
from mirrorgate.replay.route_target import RouteTarget
from mirrorgate.replay.url_target import UrlTarget

POLICY = """
apiVersion: mirrorgate.dev/v1alpha1
kind: ShadowPolicy
metadata: {name: p}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]
  mode: equivalence
  slo: {ttft: 2s}
"""


@pytest.fixture
def ask(tmp_path: Path, captures: Any) -> Any:
    """Return a function from a command line's options to a run over a small capture."""
    capture = captures.write(tmp_path / "a.mitm", [captures.flow()])
    parser = argparse.ArgumentParser()
    replaying.add_parser(parser.add_subparsers())

    def asked(*words: object) -> Prepared:
        parsed = parser.parse_args(["replay", str(capture), *map(str, words)])
        return prepared(parsed, tmp_path / "j", random.Random(1))

    return asked


@pytest.mark.parametrize(
    ("words", "pace", "concurrency"),
    [
        ((), Original, 1024),
        (("--speed", "2"), Original, 1024),
        (("--rate", "5/s", "--concurrency", "7"), AtRate, 7),
        (("--concurrency", "7"), Unpaced, 7),
    ],
)
def test_paces(ask: Any, words: tuple[str, ...], pace: type, concurrency: int) -> None:
    """Without a word the capture's own; a bound alone is as fast as it allows."""
    play = ask("--to", "http://h", *words).play
    assert (type(play.pace), play.concurrency) == (pace, concurrency)


def test_destinations(ask: Any, tmp_path: Path, manifests: Any) -> None:
    """A URL, words in front of a path, or a path that exists."""
    config = tmp_path / "config.yaml"
    rule = f"[{{backendRefs: [{manifests.to_server('a')}]}}]"
    gateway = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gateway}\n"
        "spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}"
    )
    config.write_text("\n---\n".join((gateway, manifests.server("a", 8001), manifests.route(rule))))
    play = ask("--to", config, "--against", f"route:{config}").play
    assert isinstance(play.to, RouteTarget)
    assert isinstance(play.against, RouteTarget)


def test_a_policy_and_what_replaces_its_fields(ask: Any, tmp_path: Path, captures: Any) -> None:
    """The file's guardrails hold, with the mode and the noise floor that the command asks for."""
    (tmp_path / "p.yaml").write_text(POLICY)
    play = ask(
        "--to", "http://h", "--policy", tmp_path / "p.yaml", "--against", "http://p", "--repeat", "2",
        "--content", "full", "--min-pairs", "7",
    ).play  # fmt: skip
    assert isinstance(play.to, UrlTarget)
    [aim] = play.to.aims(captures.entry(), None, Leg.CANDIDATE)
    policy = aim.target.policy.decode()
    for part in ('"mode":"equivalence"', '"percent":100', '"content":"full"', '"minPairs":7'):
        assert part in policy


def test_times_are_read_in_both_forms(ask: Any) -> None:
    """ISO 8601 and Unix seconds."""
    selection = ask("--to", "http://h", "--since", "2026-11-22T06:00:00+00:00", "--until", "1800000000").play.selection
    assert (selection.since, selection.until) == (1795327200.0, 1800000000.0)


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"), ("--until", "nan"), ("--status", "2x"), ("--header", ":x"), ("--repeat", "17"),
        ("--concurrency", "0"), ("--set-header", "no colon"), ("--set-model", "old="), ("--policy", "/missing"),
        ("--min-pairs", "0"), ("--speed", "0"), ("--sample", "200%"), ("--shard", "0/1"), ("--to", "mirror:"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_before_anything_is_written(ask: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    """And no journal is begun."""
    with pytest.raises((ValueError, OSError)):
        ask("--to", "http://h", *words)
    assert not (tmp_path / "j").exists()
