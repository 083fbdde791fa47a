"""Which of mitmproxy's own addons would do nothing with a flow, so that it need not be made for them.

Nineteen of the addons that every mitmproxy loads have a handler for a flow's hooks, and with options at their defaults
all of them return at once. A handler that is not in this table looks at every flow. A wish is asked about a sketch and
answers whether the handler would do anything with the flow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mitmproxy import options
from mitmproxy.addons import (
    anticache,
    anticomp,
    blocklist,
    disable_h2c,
    dumper,
    intercept,
    maplocal,
    mapremote,
    modifybody,
    modifyheaders,
    onboarding,
    proxyauth,
    save,
    savehar,
    serverplayback,
    stickyauth,
    stickycookie,
    tlsconfig,
    update_alt_svc,
    upstream_auth,
)

from .sketch import Sketch

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
    rule = _RULES.get(type(addon))
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
    return lambda sketch: (
        sketch.response is not None and any(name.lower() == b"alt-svc" for name, _ in sketch.response.headers.fields)
    )


_RULES: dict[type, Callable[[Any, Any], Wish | None]] = {
    anticache.AntiCache: _when(lambda addon, options: options.anticache),
    anticomp.AntiComp: _when(lambda addon, options: options.anticomp),
    blocklist.BlockList: _when(lambda addon, options: addon.items),
    disable_h2c.DisableH2C: _asks_for_upgrade,
    dumper.Dumper: _when(lambda addon, options: options.flow_detail),
    intercept.Intercept: _when(lambda addon, options: options.intercept_active and addon.filt),
    maplocal.MapLocal: _when(lambda addon, options: addon.replacements),
    mapremote.MapRemote: _when(lambda addon, options: addon.replacements),
    modifybody.ModifyBody: _when(lambda addon, options: addon.replacements),
    modifyheaders.ModifyHeaders: _when(lambda addon, options: addon.replacements),
    onboarding.Onboarding: _onboards,
    proxyauth.ProxyAuth: _when(lambda addon, options: addon.validator),
    save.Save: _when(lambda addon, options: addon.stream),
    savehar.SaveHar: _when(lambda addon, options: options.hardump),
    serverplayback.ServerPlayback: _replays,
    stickyauth.StickyAuth: _when(lambda addon, options: addon.flt),
    stickycookie.StickyCookie: _when(lambda addon, options: addon.flt),
    tlsconfig.TlsConfig: _asks_for_crl,
    update_alt_svc.UpdateAltSvc: _offers_another_service,
    upstream_auth.UpstreamAuth: _when(lambda addon, options: addon.auth),
}
