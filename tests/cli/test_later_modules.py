"""A stand-in becomes the module that it stands in for, once, and is the same object all the time."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrorgate.cli.later_modules import LaterModule, forward, stand_in

_MODULE = """
import later_sample.log as log
log.loads.append(__name__)
value = 1
def double(number):
    return 2 * number
"""


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package with a module that tells of each of its loads."""
    package = tmp_path / "later_sample"
    package.mkdir()
    (package / "__init__.py").write_text("inside = True\n", encoding="utf-8")
    (package / "log.py").write_text("loads = []\n", encoding="utf-8")
    (package / "part.py").write_text(_MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("later_sample.log").loads
    for name in [name for name in sys.modules if name.partition(".")[0] == "later_sample"]:
        del sys.modules[name]


def test_importing_it_loads_nothing(sample: list[str]) -> None:
    """Neither does importing it again, or from its package."""
    stand_in("later_sample.part")
    module = importlib.import_module("later_sample.part")
    namespace: dict[str, object] = {}
    exec("import later_sample.part as a\nfrom later_sample import part as b", namespace)
    assert isinstance(module, LaterModule)
    assert namespace["a"] is namespace["b"] is module
    assert sample == []


def test_what_is_asked_for_loads_it_once(sample: list[str]) -> None:
    """It stays the object that others hold."""
    stand_in("later_sample.part")
    module = importlib.import_module("later_sample.part")
    assert (module.value, module.double(3), sample) == (1, 6, ["later_sample.part"])
    assert type(module) is types.ModuleType
    assert importlib.import_module("later_sample.part") is module
    with pytest.raises(AttributeError, match="missing"):
        _ = module.missing
    assert sample == ["later_sample.part"]


def test_a_name_that_was_bound_early_works(sample: list[str]) -> None:
    """A function that somebody imported from the stand-in is the module's; a value stands in until then."""
    stand_in("later_sample.part", double=forward("later_sample.part", "double"), value=None)
    namespace: dict[str, object] = {}
    exec("from later_sample.part import double, value", namespace)
    assert (namespace["value"], sample) == (None, [])
    double = namespace["double"]
    assert callable(double)
    assert (double(4), double(5), sample) == (8, 10, ["later_sample.part"])
    assert importlib.import_module("later_sample.part").value == 1


def test_an_unknown_name_is_asked_for_once(sample: list[str]) -> None:
    """By then the module is there, so that the stand-in does not ask for ever."""
    stand_in("later_sample.part")
    with pytest.raises(AttributeError, match=r"module 'later_sample\.part' has no attribute 'missing'"):
        _ = importlib.import_module("later_sample.part").missing
    assert sample == ["later_sample.part"]


def test_a_package_finds_its_modules(sample: list[str]) -> None:
    """Before and after it is loaded itself."""
    del sys.modules["later_sample"], sys.modules["later_sample.log"]
    stand_in("later_sample")
    package = sys.modules["later_sample"]
    assert importlib.import_module("later_sample.part").value == 1
    assert isinstance(package, LaterModule)
    assert package.inside
    assert package.part.value == 1


def test_what_is_there_already_is_left_alone(sample: list[str]) -> None:
    """So is what does not exist: importing it fails as ever."""
    before = sys.modules["later_sample.log"]
    stand_in("later_sample.log")
    assert sys.modules["later_sample.log"] is before
    stand_in("later_sample.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("later_sample.nothing")
    assert sample == []
