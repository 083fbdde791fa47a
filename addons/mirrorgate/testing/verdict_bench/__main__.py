"""Measure the verdict and write what comes out into the documentation."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

from ..processes import PROJECT
from .catalogue import FULL, SMOKE, Scale, error_rates, fake_races, pairs_needed, real_races, speeds
from .document import written
from .pictures import draw_error_rates, draw_races
from .results import Results, load, save

__all__ = ["main"]

_SEED = 20261122
_PARTS = ("rates", "pairs", "races", "speed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="bench_verdict", description=__doc__)
    parser.add_argument("--part", action="append", choices=_PARTS, help="only this; may be repeated")
    parser.add_argument("--model", choices=("fake", "smollm2"), default="fake", help="the servers of the races")
    parser.add_argument("--requests", type=int, help="that are made of each server (more is slower and finer)")
    parser.add_argument("--seed", type=int, default=_SEED, help="of all randomness (%(default)s)")
    parser.add_argument("--smoke", action="store_true", help="a little of everything, in seconds; says nothing")
    parser.add_argument("--output", type=Path, default=PROJECT / "docs", metavar="FOLDER", help="(docs)")
    parser.add_argument("--only-write", action="store_true", help="write the document anew from the kept results")
    parsed = parser.parse_args(arguments)
    scale = SMOKE if parsed.smoke else FULL
    if parsed.requests is not None:
        scale = scale.asking(parsed.requests)
    kept = parsed.output / "verdict-benchmark.json"
    results = Results() if parsed.smoke else load(kept)
    results.seed = parsed.seed
    if not parsed.only_write:
        _run(results, scale, parsed)
        save(results, kept)
    _write(results, parsed.output)
    return 0


def _run(results: Results, scale: Scale, parsed: argparse.Namespace) -> None:
    began = time.monotonic()

    def told(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:7.1f} s  {text}\n")

    if parsed.model == "smollm2":
        results.real = real_races(scale, parsed.seed, told)
        return
    parts = parsed.part or _PARTS
    if "rates" in parts:
        results.rates = error_rates(scale, parsed.seed, told)
    if "pairs" in parts:
        results.pairs = pairs_needed(scale, parsed.seed, told)
    if "races" in parts:
        results.races, results.false_alarms = fake_races(scale, parsed.seed, told)
    if "speed" in parts:
        results.speed = speeds(scale, told)
        results.machine = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}"


def _write(results: Results, folder: Path) -> None:
    images = folder / "images"
    if results.rates:
        title = "A candidate exactly at a margin, looked at after every pair"
        draw_error_rates(results.rates, 0.01, title, images / "verdict-error-rates.svg")
    if results.races is not None:
        draw_races(results.races, "Fake model servers: pairs until a decision", images / "verdict-races.svg")
    if results.real is not None:
        draw_races(results.real, "SmolLM2: pairs until a decision", images / "verdict-races-smollm2.svg")
    (folder / "verdict-benchmark.md").write_text(written(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
