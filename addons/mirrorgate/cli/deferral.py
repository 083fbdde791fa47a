"""What mitmproxy imports for features that a gateway seldom uses is loaded when one of them is first used.

Memory is what this saves: `docs/performance.md` has the figures. Every feature works as ever.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

from .later_modules import execute, forward, stand_in

__all__ = ["LaterApp", "defer", "defer_addons"]

_ADDONS = "mitmproxy.addons"
_ONBOARDING = "mitmproxy.addons.onboardingapp"
"""The page of `mitm.it`, which brings flask, werkzeug, jinja2 and click."""
_LEXER = "mitmproxy.command_lexer"


class LaterApp:
    """Stands in for a module's WSGI application until a request asks for it."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._app: Any = None
        self.config: dict[str, Any] = {}
        """What has been configured; the application's own once that is loaded."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer as the application does."""
        return self.load()(environ, start_response)

    def load(self) -> Any:
        """Return the application itself, imported by the first call."""
        if self._app is None:
            sys.modules.pop(self._module, None)
            self._app = importlib.import_module(self._module).app
            self._app.config.update(self.config)
            self.config = self._app.config
        return self._app


def defer() -> None:
    """Defer the onboarding page, unless it is imported already. All addons of mitmproxy's are there, as ever."""
    if _ONBOARDING not in sys.modules:
        page = types.ModuleType(_ONBOARDING)
        page.app = LaterApp(_ONBOARDING)  # type: ignore[attr-defined]
        sys.modules[_ONBOARDING] = page


def defer_addons() -> None:
    """Let mitmproxy's addons be imported one by one, and the languages of filters, commands and its config.yaml later.

    Its package of addons imports all of them when one is imported: ldap3 comes with `proxyauth`, werkzeug with
    `maplocal`, the content views with `dumper`. Filters and commands are read with pyparsing.
    """
    stand_in("pyparsing")
    stand_in("ruamel.yaml")
    stand_in(_LEXER, unquote=forward(_LEXER, "unquote"), quote=forward(_LEXER, "quote"))
    # `FlowWriter` names the type of a filter in an annotation.
    stand_in("mitmproxy.flowfilter", TFilter=Any)
    if _ADDONS not in sys.modules and (spec := importlib.util.find_spec(_ADDONS)) is not None:
        package = _LaterAddons(_ADDONS)
        package.__spec__, package.__file__ = spec, spec.origin
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules[_ADDONS] = package


class _LaterAddons(types.ModuleType):
    """mitmproxy's package of addons, empty but for what has been imported from it."""

    def __getattr__(self, name: str) -> Any:
        if name != "default_addons":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        execute(self)
        return vars(self)[name]
