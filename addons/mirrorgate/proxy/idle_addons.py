"""Which of mitmproxy's own addons would do nothing with a flow, so that it need not be made for them.

Nineteen of the addons that every mitmproxy loads have a handler for a flow's hooks, and with options at their defaults
all of them return at once. A handler that is not in this table looks at every flow. A wish is asked about a sketch and
answers whether the handler would do anything with the flow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mitmproxy import options

from .messages.sketch import Sketch

__all__ = ["NEVER", "Wish", "always", "wish_of"]

type Wish = Callable[[Sketch], bool]


def always(sketch: Sketch) -> bool:
    """Wish to see every flow."""
    return True


NEVER: None = None
"""Of a handler that does nothing until the addons or the options change."""


def wish_of(addon: object, options: options.Options) -> Wish | None:
    """Tell which flows an addon's handlers have something to do with; asked again when addons or options change.

    Subclasses of mitmproxy's addons are not its addons.
    """
    kind = type(addon)
    rule = _RULES.get(f"{kind.__module__}.{kind.__qualname__}")
    return always if rule is None else rule(addon, options)


def _when(busy: Callable[[Any, Any], object]) -> Callable[[Any, Any], Wish | None]:
    """Make a rule of what options, or the addon's own reading of them, say."""
    return lambda addon, options: always if busy(addon, options) else NEVER


def _replays(addon: Any, _: Any) -> Wish:
    """Server replay is loaded by a command, too."""
    return lambda sketch: bool(addon.flowmap)


def _onboards(addon: Any, options: Any) -> Wish | None:
    host = addon.host
    return (lambda sketch: sketch.request.host == host) if options.onboarding else NEVER


def _asks_for_upgrade(_: Any, options: Any) -> Wish:
    return lambda sketch: sketch.upgrade


def _asks_for_crl(_: Any, options: Any) -> Wish:
    return lambda sketch: sketch.request.path.endswith(b".crl")


def _offers_another_service(_: Any, options: Any) -> Wish | None:
    if options.keep_alt_svc_header:
        return NEVER
    return lambda sketch: sketch.has_alt_svc


_RULES: dict[str, Callable[[Any, Any], Wish | None]] = {
    "mitmproxy.addons.anticache.AntiCache": _when(lambda addon, options: options.anticache),
    "mitmproxy.addons.anticomp.AntiComp": _when(lambda addon, options: options.anticomp),
    "mitmproxy.addons.blocklist.BlockList": _when(lambda addon, options: addon.items),
    "mitmproxy.addons.disable_h2c.DisableH2C": _asks_for_upgrade,
    "mitmproxy.addons.dumper.Dumper": _when(lambda addon, options: options.flow_detail),
    "mitmproxy.addons.intercept.Intercept": _when(lambda addon, options: options.intercept_active and addon.filt),
    "mitmproxy.addons.maplocal.MapLocal": _when(lambda addon, options: addon.replacements),
    "mitmproxy.addons.mapremote.MapRemote": _when(lambda addon, options: addon.replacements),
    "mitmproxy.addons.modifybody.ModifyBody": _when(lambda addon, options: addon.replacements),
    "mitmproxy.addons.modifyheaders.ModifyHeaders": _when(lambda addon, options: addon.replacements),
    "mitmproxy.addons.onboarding.Onboarding": _onboards,
    "mitmproxy.addons.proxyauth.ProxyAuth": _when(lambda addon, options: addon.validator),
    "mitmproxy.addons.save.Save": _when(lambda addon, options: addon.stream),
    "mitmproxy.addons.savehar.SaveHar": _when(lambda addon, options: options.hardump),
    "mitmproxy.addons.serverplayback.ServerPlayback": _replays,
    "mitmproxy.addons.stickyauth.StickyAuth": _when(lambda addon, options: addon.flt),
    "mitmproxy.addons.stickycookie.StickyCookie": _when(lambda addon, options: addon.flt),
    "mitmproxy.addons.tlsconfig.TlsConfig": _asks_for_crl,
    "mitmproxy.addons.update_alt_svc.UpdateAltSvc": _offers_another_service,
    "mitmproxy.addons.upstream_auth.UpstreamAuth": _when(lambda addon, options: addon.auth),
}
"""By the names of the classes, so that none is imported for it."""
