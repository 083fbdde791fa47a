#!/usr/bin/env python3
"""Run a fake vLLM on a port of 127.0.0.1, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "addons"))

try:
    from mirrorgate.testing.model_server.behaviour import Behaviour, Defect, MetricsDialect
    from mirrorgate.testing.model_server.faults import Fault, FaultError, FaultKind
    from mirrorgate.testing.model_server.server import FakeModelServer
except ImportError as error:
    sys.exit(f"fake_model_server: {error}\nRun scripts/setup, then .venv/bin/python scripts/fake_model_server.py")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = Behaviour()
    parser = argparse.ArgumentParser(
        prog="fake_model_server",
        description=__doc__,
        epilog="While it runs: GET /control tells its state, POST /control changes it with the same names "
        '({"ttft": 0.5, "faults": ["hang_before_headers"]}), and the request header '
        "'x-fake-fault: reset_mid_stream; after=3' asks for one fault.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--name", default=defaults.name, help="prefix of log lines, and salt of ids")
    parser.add_argument("--models", nargs="+", default=list(defaults.models), metavar="NAME", help="served model names")
    parser.add_argument("--adapters", nargs="*", default=[], metavar="NAME", help="served LoRA adapters")
    parser.add_argument("--personality", default=defaults.personality, help="the same one answers alike")
    parser.add_argument("--divergence", type=float, default=0.0, help="share of prompts answered otherwise, 0 to 1")
    parser.add_argument("--answer", help="say this and nothing else")
    parser.add_argument("--answer-tokens", type=int, help="length of every answer")
    parser.add_argument("--ttft", type=float, default=0.05, help="seconds to the first token")
    parser.add_argument("--itl", type=float, default=0.01, help="seconds between tokens")
    parser.add_argument("--max-num-seqs", type=int, default=defaults.max_num_seqs, help="requests that run at once")
    parser.add_argument("--max-num-queued-reqs", type=int, help="requests that wait at most")
    parser.add_argument("--kv-cache-tokens", type=int, default=defaults.kv_cache_tokens)
    parser.add_argument("--metrics-dialect", choices=list(MetricsDialect), default=MetricsDialect.VLLM)
    parser.add_argument("--api-key", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--defect", action="append", default=[], choices=[each.value for each in Defect], help="may be repeated"
    )
    kinds = ", ".join(FaultKind)
    parser.add_argument(
        "--fault", action="append", default=[], help=f"KIND[; name=value ...], with KIND one of {kinds}"
    )
    parser.add_argument("--log", metavar="FILE", help="write the log there instead of to the terminal")
    parsed = parser.parse_args(arguments)
    try:
        parsed.faults = tuple(Fault.parse(text) for text in parsed.fault)
    except FaultError as error:
        parser.error(str(error))
    return parsed


def behaviour_of(arguments: argparse.Namespace) -> Behaviour:
    """Return the behaviour that the command line describes."""
    return Behaviour(
        name=arguments.name,
        models=tuple(arguments.models),
        adapters=tuple(arguments.adapters),
        api_key=arguments.api_key,
        personality=arguments.personality,
        divergence=arguments.divergence,
        answer=arguments.answer,
        answer_tokens=arguments.answer_tokens,
        seed=arguments.seed,
        ttft=arguments.ttft,
        itl=arguments.itl,
        max_num_seqs=arguments.max_num_seqs,
        max_num_queued_reqs=arguments.max_num_queued_reqs,
        kv_cache_tokens=arguments.kv_cache_tokens,
        metrics_dialect=MetricsDialect(arguments.metrics_dialect),
        faults=arguments.faults,
        defects=frozenset(Defect(each) for each in arguments.defect),
    )


async def serve(arguments: argparse.Namespace, log: TextIO) -> None:
    """Serve until SIGINT or SIGTERM, with a line of the log for each answer."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def write(line: str) -> None:
        print(line, file=log, flush=True)

    async with FakeModelServer(behaviour_of(arguments), port=arguments.port, log=write) as server:
        print(f"listening on {server.address}", flush=True)
        await stop.wait()


def main() -> int:
    """Run the command line."""
    arguments = parse_arguments()
    try:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(arguments.log, "a", encoding="utf-8")) if arguments.log else sys.stdout
            asyncio.run(serve(arguments, log))
    except OSError as error:
        print(f"fake_model_server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
