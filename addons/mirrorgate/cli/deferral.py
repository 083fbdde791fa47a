"""What mitmproxy imports for a feature that a gateway seldom uses is loaded when it is first used."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

__all__ = ["LaterApp", "defer"]

_ONBOARDING = "mitmproxy.addons.onboardingapp"
"""The page of `mitm.it`, which brings flask, werkzeug, jinja2 and click."""


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
        stand_in = types.ModuleType(_ONBOARDING)
        stand_in.app = LaterApp(_ONBOARDING)  # type: ignore[attr-defined]
        sys.modules[_ONBOARDING] = stand_in
