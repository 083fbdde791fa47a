"""Endpoint pickers in the gateway: loaded when they are asked for, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import sys
import mirrorgate.wiring.addon
print([name for name in ("envoy", "google.protobuf", "grpc") if name in sys.modules])
{more}
print([name for name in ("envoy", "google.protobuf", "grpc") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("more", "loaded"), [("", "[]"), ("import mirrorgate.proxy.carrying.consulting", "['envoy', 'google.protobuf']")]
)
def test_nobody_pays_for_pickers_that_are_not_asked(more: str, loaded: str) -> None:
    """Envoy's protobufs are 28 MiB; gRPC's library is loaded by tests alone."""
    command = [sys.executable, "-c", PROBE.format(more=more)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.stdout.splitlines() == ["[]", loaded], ran.stderr
