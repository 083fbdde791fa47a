"""Measure Mirrorgate beside other proxies, and write what comes out into the documentation."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
from pathlib import Path

import msgspec

from ..processes import PROJECT
from .document import written
from .measures import Measure
from .pictures import draw
from .proxies import PROXIES
from .results import Results
from .rounds import Plan, run
from .scenarios import SCENARIOS

__all__ = ["main"]

_PLAIN = ("mirrorgate", "mitmdump", "envoy", "nginx", "litellm", "mirrorgate-mirror", "envoy-mirror", "nginx-mirror")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--proxy", action="append", choices=PROXIES, help="only this; may be repeated")
    parser.add_argument("--trouble", action="store_true", help="also with a shadow that hangs, floods and crashes")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--window", type=float, default=3.0, help="seconds of each run (%(default)s)")
    parser.add_argument(
        "--program", action="append", default=[], metavar="NAME=PATH", help="where a proxy's program is"
    )
    parser.add_argument("--output", type=Path, default=PROJECT / "docs", metavar="FOLDER", help="(docs)")
    parser.add_argument("--smoke", action="store_true", help="one short round of Mirrorgate alone; says nothing")
    parser.add_argument("--only-write", action="store_true", help="write the document anew from the kept results")
    parsed = parser.parse_args(arguments)
    (parsed.output / "images").mkdir(parents=True, exist_ok=True)
    kept = parsed.output / "benchmark.json"
    if not parsed.only_write:
        measures = _measures(parsed)
        results = Results(measures, f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}")
        kept.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    results = msgspec.json.decode(kept.read_bytes(), type=Results)
    draw(results, parsed.output / "images")
    (parsed.output / "benchmark.md").write_text(written(results), encoding="utf-8")
    return 0


def _measures(parsed: argparse.Namespace) -> list[Measure]:
    names = list(parsed.proxy or (("mirrorgate", "mirrorgate-mirror") if parsed.smoke else _PLAIN))
    if parsed.trouble:
        names += [name for name, proxy in PROXIES.items() if proxy.trouble is not None]
    scenarios = parsed.scenario or (("small", "torrent") if parsed.smoke else tuple(SCENARIOS))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plan = Plan(
            proxies=[PROXIES[name] for name in names],
            scenarios=[SCENARIOS[name] for name in scenarios],
            rounds=1 if parsed.smoke else parsed.rounds,
            window=0.3 if parsed.smoke else parsed.window,
            warmup=0.1 if parsed.smoke else 0.7,
            programs=dict(pair.split("=", 1) for pair in parsed.program),
            folder=Path(folder),
        )
        return asyncio.run(run(plan, _tell))


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
