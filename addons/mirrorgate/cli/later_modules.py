"""Modules that stand in for others until somebody needs them, when they become those."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

__all__ = ["LaterModule", "execute", "forward", "stand_in"]


class LaterModule(types.ModuleType):
    """Executes a module's code in its own namespace as soon as something is asked for that it does not have.

    The standard library's `LazyLoader` does so at any access, one of which is every further `import` of the module.
    """

    _lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # the import system asks for these
        _load(self)
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


def stand_in(name: str, **bound: object) -> None:
    """Defer a module unless it is imported already, or there is none.

    `bound` are those of its names that others bind, or evaluate in an annotation, when they are imported themselves.
    """
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    made = LaterModule(name)
    made.__spec__, made.__loader__, made.__package__, made.__file__ = spec, spec.loader, spec.parent, spec.origin
    if spec.submodule_search_locations is not None:
        made.__path__ = spec.submodule_search_locations
    vars(made).update(bound)
    sys.modules[name] = made
    package, _, own = name.rpartition(".")
    if package:
        setattr(sys.modules[package], own, made)


def forward(module: str, function: str) -> Callable[..., Any]:
    """Return a function that calls a deferred module's of that name."""

    def call(*arguments: Any) -> Any:
        deferred = sys.modules[module]
        _load(deferred)
        return getattr(deferred, function)(*arguments)

    return call


def _load(module: types.ModuleType) -> None:
    """Execute a deferred module's code, once; what it imports may ask it for more meanwhile."""
    with LaterModule._lock:
        if type(module) is not LaterModule:
            return
        module.__class__ = types.ModuleType  # type: ignore[assignment]
        execute(module)


def execute(module: types.ModuleType) -> None:
    """Run the code that a module's specification leads to in its namespace."""
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module)
