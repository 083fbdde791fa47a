"""`mirrorgate report` from the outside: exit codes, output, wrong use."""

from __future__ import annotations

import importlib.util
import json
import stat
import sys
import time
from pathlib import Path

import pytest

from mirrorgate.cli.__main__ import main

_SPEC = importlib.util.spec_from_file_location(
    "reporting_journals", Path(__file__).resolve().parent.parent / "reporting" / "conftest.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
_JOURNALS = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _JOURNALS
_SPEC.loader.exec_module(_JOURNALS)
