"""Measure Mirrorgate beside other proxies, and write what comes out into the documentation.

Everything by default; naming parts measures those alone and keeps what was measured of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from ..processes import PROJECT
from . import bytecodes
from .document import written
from .footprint import footprints
from .parts import Part, pairs_of
from .pictures import draw
from .proxies import PROXIES
from .results import Results
from .rounds import Plan, run
from .scenarios import SCENARIOS

__all__ = ["main"]

_FOOTPRINTS = ("mirrorgate", "envoy", "nginx", "mitmdump")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parsed = _parser().parse_args(arguments)
    if parsed.micro:
        return bytecodes.main(["--keep"] if parsed.keep else [])
    (parsed.output / "images").mkdir(parents=True, exist_ok=True)
    kept = parsed.output / "benchmark.json"
    if not parsed.only_write:
        measured = _measured(parsed)
        if kept.exists() and parsed.part:
            measured = measured.over(msgspec.json.decode(kept.read_bytes(), type=Results))
        kept.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    results = msgspec.json.decode(kept.read_bytes(), type=Results)
    draw(results, parsed.output / "images")
    (parsed.output / "benchmark.md").write_text(written(results), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    for part in Part:
        parser.add_argument(
            f"--{part}", action="append_const", dest="part", const=part, help="measure this part; several may be named"
        )
    parser.add_argument("--proxy", action="append", choices=PROXIES, help="only this; may be repeated")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="at most (%(default)s)")
    parser.add_argument("--minutes", type=float, default=12.0, help="begin no round that would end later (%(default)s)")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of each run (%(default)s)")
    parser.add_argument(
        "--program", action="append", default=[], metavar="NAME=PATH", help="where a proxy's program is"
    )
    parser.add_argument("--output", type=Path, default=PROJECT / "docs", metavar="FOLDER", help="(docs)")
    parser.add_argument("--micro", action="store_true", help="only print the bytecodes of single operations")
    parser.add_argument("--keep", action="store_true", help="with --micro: keep them as what the tests compare with")
    parser.add_argument("--smoke", action="store_true", help="one short round of Mirrorgate alone; says nothing")
    parser.add_argument("--only-write", action="store_true", help="write the document anew from the kept results")
    return parser


def _measured(parsed: argparse.Namespace) -> Results:
    parts = parsed.part or [*Part]
    until = time.monotonic() + 60 * parsed.minutes
    work = _work(parsed, parts)
    programs = dict(pair.split("=", 1) for pair in parsed.program)
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if Part.MEMORY in parts and not parsed.scenario:
            measured = [name for name in _FOOTPRINTS if name in (parsed.proxy or _FOOTPRINTS)]
            counts = {"clients": 50, "streams": 20} if parsed.smoke else {}
            proxies = [PROXIES[name] for name in (measured[:1] if parsed.smoke else measured)]
            _tell(f"memory: {', '.join(proxy.name for proxy in proxies)}")
            found = asyncio.run(footprints(proxies, _tell, folder=Path(folder), programs=programs, **counts))
        for scenario, names in work.items():
            _tell(f"{scenario}: {SCENARIOS[scenario].title}: {', '.join(names)}")
        plan = Plan(
            work=[(SCENARIOS[scenario], [PROXIES[name] for name in names]) for scenario, names in work.items()],
            rounds=1 if parsed.smoke else parsed.rounds,
            window=0.3 if parsed.smoke else parsed.window,
            warmup=0.1 if parsed.smoke else 0.7,
            programs=programs,
            folder=Path(folder),
            until=until,
        )
        measures = asyncio.run(run(plan, _tell))
    return Results(measures, f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}", found)


def _work(parsed: argparse.Namespace, parts: list[Part]) -> dict[str, tuple[str, ...]]:
    """Return the proxies by scenario."""
    if parsed.smoke:
        return {"small": ("mirrorgate", "mirrorgate-mirror"), "torrent": ("mirrorgate", "mirrorgate-kill")}
    work = pairs_of(parts)
    if parsed.scenario:
        usual = pairs_of([Part.COMPARE])["small"]
        work = {name: work.get(name, usual) for name in parsed.scenario}
    if parsed.proxy:
        work = {name: tuple(parsed.proxy) for name in work}
    return work


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
