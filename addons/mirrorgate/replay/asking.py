"""From a command's words to a run: sources, destinations, policy, pace. A mistake is a ValueError with its reason."""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ..errors import Severity
from ..legs import policy_bytes
from ..resources.loading import Document, load
from ..resources.shadow_policy import Control, ShadowPolicySpec
from ..routing.table import HeaderChanges
from .aiming import Destination, Rewrites
from .pacing import AtRate, Original, Pace, Unpaced, in_order, parse_rate
from .playing import Play
from .resuming import Asked, prepare
from .route_target import RouteTarget, compiled
from .selecting import HeaderGlob, Selection
from .sources import Reading
from .url_target import UrlTarget

__all__ = ["Prepared", "prepared"]

_OPEN_LOOP: Final = 1024
"""Exchanges at once where a pace decides when they are sent."""
_REPEATS: Final = 16
"""The turns that one observation can have."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready."""

    play: Play
    reading: Reading


def prepared(words: argparse.Namespace, journal: Path, rng: random.Random) -> Prepared:
    """Make a run of parsed arguments. Raises ValueError or OSError with what is wrong, before anything is sent."""
    policy = _policy(words)
    encoded = policy_bytes(policy)
    to_rewrites = Rewrites(
        _models(words.set_model), _headers(words.set_header, words.remove_header), words.keep_credentials
    )
    against_rewrites = Rewrites(
        _models(words.against_model), _headers(words.against_header, ()), words.keep_credentials
    )
    to = _destination(words.to, to_rewrites, policy, encoded, rng)
    against = None
    if words.against is not None:
        if words.against.startswith("mirror:"):
            raise ValueError("--against asks a primary: a URL or route:PATH")
        against = _destination(words.against, against_rewrites, policy, encoded, rng)
    if not 1 <= words.repeat <= _REPEATS:
        raise ValueError(f"--repeat takes 1 to {_REPEATS}")
    if words.concurrency is not None and words.concurrency < 1:
        raise ValueError("--concurrency must be at least 1")
    selection, pace = _selection(words), _pace(words)
    reading = Reading([Path(source).expanduser() for source in words.source])
    asked = Asked(
        sources=[f"{path.resolve()}" for path, _ in reading.sources],
        to=words.to,
        against=words.against or "",
        selection=repr(selection),
        policy=encoded.decode(),
        # Values of headers may be secrets: a change of them is no other question.
        rewrites=repr((to_rewrites.models, against_rewrites.models, words.keep_credentials)),
        repeat=words.repeat,
    )
    done = prepare(journal, asked, resume=words.resume)
    play = Play(
        items=in_order(reading) if isinstance(pace, Original) else reading,
        to=to,
        against=against,
        selection=selection,
        pace=pace,
        journal=journal,
        concurrency=words.concurrency or _OPEN_LOOP,
        repeat=words.repeat,
        limit=words.limit,
        done=done,
    )
    return Prepared(play, reading)


def _destination(
    text: str, rewrites: Rewrites, policy: ShadowPolicySpec, encoded: bytes, rng: random.Random
) -> Destination:
    kind, colon, rest = text.partition(":")
    if colon and kind in ("route", "mirror") and not rest.startswith("//"):
        if not rest:
            raise ValueError(f"{text} names no manifests, as {kind}:config/ does")
        paths = [Path(each).expanduser() for each in rest.split(",")]
    elif "://" not in text and Path(text).expanduser().exists():
        kind, paths = "route", [Path(text).expanduser()]
    else:
        return UrlTarget(text, rewrites, policy, encoded)
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist")
    return RouteTarget(compiled(paths), text, rewrites, policy, encoded, rng, mirrors=kind == "mirror")


def _policy(words: argparse.Namespace) -> ShadowPolicySpec:
    """Return the policy of the file, with what the command says in its place."""
    spec = ShadowPolicySpec()
    if words.policy is not None:
        path = Path(words.policy)
        loaded = load([Document(str(path), path.read_text("utf-8"))])
        errors = [str(problem) for problem in loaded.problems if problem.severity is Severity.ERROR]
        if errors:
            raise ValueError("\n".join(errors))
        found = list(loaded.inventory.shadow_policies.values())
        if len(found) != 1:
            raise ValueError(f"{path} has {len(found)} ShadowPolicies, and one is needed")
        spec = found[0].spec
    changes: dict[str, object] = {}
    if words.mode is not None:
        changes["mode"] = words.mode
    if words.content is not None:
        changes["journal"] = spec.journal.model_copy(update={"content": words.content})
    if words.min_pairs is not None:
        if words.min_pairs < 1:
            raise ValueError("--min-pairs must be at least 1")
        changes["min_pairs"] = words.min_pairs
    # The noise floor exists where the primary is asked more than once.
    control = words.against is not None and words.repeat > 1
    changes["control"] = Control(percent=100 if control else 0)
    return spec.model_copy(update=changes)


def _selection(words: argparse.Namespace) -> Selection:
    for status in words.status:
        if not (len(status) == 3 and status[0].isdigit() and (status[1:] == "xx" or status.isdigit())):
            raise ValueError(f"--status takes 200 or 5xx, not {status!r}")
    return Selection(
        paths=tuple(words.path),
        models=tuple(words.model),
        headers=tuple(HeaderGlob.parse(text) for text in words.header),
        since=_moment(words.since),
        until=_moment(words.until),
        statuses=tuple(words.status),
        sample=_share(words.sample),
        sample_by=words.sample_by,
        shard=_shard(words.shard),
        all_methods=words.all_methods,
        server_tools=words.server_tools,
    )


def _pace(words: argparse.Namespace) -> Pace:
    if words.rate is not None:
        return AtRate(parse_rate(words.rate))
    if words.speed is not None:
        return Original(words.speed)
    return Unpaced() if words.concurrency is not None else Original()


def _moment(text: str | None) -> float | None:
    """Read a time as ISO 8601, local without a zone, or as Unix seconds."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text).astimezone().timestamp()
        except ValueError as error:
            raise ValueError(f"{text!r} is no time such as 2026-11-22T06:00 or Unix seconds") from error
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no time")
    return value


def _share(text: str) -> float:
    """Read `10%` or `10` as a tenth."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0.0 < percent <= 100.0:
        raise ValueError(f"--sample takes a percentage such as 10%, not {text!r}")
    return percent / 100.0


def _shard(text: str) -> tuple[int, int]:
    part, slash, whole = text.partition("/")
    if not slash or not part.isdigit() or not whole.isdigit() or not 1 <= int(part) <= int(whole):
        raise ValueError(f"--shard takes I/N such as 1/4, not {text!r}")
    return int(part), int(whole)


def _models(texts: list[str]) -> tuple[tuple[str | None, str], ...]:
    found: list[tuple[str | None, str]] = []
    for text in texts:
        old, equals, new = text.partition("=")
        if not (new if equals else old):
            raise ValueError(f"{text!r} names no model")
        found.append((old, new) if equals else (None, old))
    return tuple(found)


def _headers(sets: list[str], removed: list[str] | tuple[()]) -> HeaderChanges:
    pairs: list[tuple[str, str]] = []
    for text in sets:
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not name or not name.isascii() or any(c.isspace() for c in name) or "\n" in value:
            raise ValueError(f"{text!r} is not 'Name: value'")
        pairs.append((name, value))
    return HeaderChanges(set=tuple(pairs), remove=tuple(name.lower() for name in removed))
