"""Fuzz one target with coverage guidance: `scripts/fuzz TARGET [--seconds N]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile

from ..processes import PROJECT

__all__ = ["main"]

_CORPUS = PROJECT / "tests" / "fuzz" / "corpus"


def main() -> None:
    """Run atheris, which ends the process. What breaks the target is written into the current folder as `crash-*`."""
    atheris = importlib.import_module("atheris")  # not among the checks' packages
    with atheris.instrument_imports(include=["mirrorgate", "yaml"]):
        targets = importlib.import_module(f"{__package__}.targets").TARGETS
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(targets))
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60); 0: until a defect is found")
    arguments = parser.parse_args()
    found = tempfile.mkdtemp(prefix=f"fuzz-{arguments.target}-")
    options = [f"-max_total_time={arguments.seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]
    seeds = os.fspath(_CORPUS / arguments.target)
    atheris.Setup([sys.argv[0], found, seeds, *options], targets[arguments.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
