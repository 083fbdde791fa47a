"""mitmproxy's addons as `mitmdump` loads them: in which order, and which options and commands each brings.

A test compares the table with the installed mitmproxy.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STOCK_ADDONS", "StockAddon"]


@dataclass(frozen=True, slots=True)
class StockAddon:
    """One of mitmproxy's addons."""

    module: str
    """Below `mitmproxy.addons`."""
    kind: str
    """The class in it."""
    options: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    at_start: bool = False
    """Whether a gateway needs it, or it acts on a plain request at default options."""

    @property
    def name(self) -> str:
        """By which mitmproxy knows it."""
        return self.kind.lower()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CORE = _words("""
    flow.decode flow.encode flow.encode.options flow.encode.toggle flow.kill flow.mark flow.mark.toggle flow.resume
    flow.revert flow.set flow.set.options options.load options.reset options.reset.one options.save set""")
_HISTORY = _words("""
    commands.history.add commands.history.clear commands.history.filter commands.history.get commands.history.next
    commands.history.prev""")
_PROXYSERVER = _words("""
    body_size_limit connect_addr connection_strategy keep_host_header normalize_outbound_headers proxy_debug
    store_streamed_bodies stream_large_bodies validate_inbound_headers""")
_SERVER_REPLAY = _words("""
    server_replay server_replay_extra server_replay_ignore_content server_replay_ignore_host
    server_replay_ignore_params server_replay_ignore_payload_params server_replay_ignore_port server_replay_kill_extra
    server_replay_nopop server_replay_refresh server_replay_reuse server_replay_use_headers""")
_TLS = _words("""
    ciphers_client ciphers_server request_client_cert tls_ecdh_curve_client tls_ecdh_curve_server
    tls_version_client_max tls_version_client_min tls_version_server_max tls_version_server_min""")

STOCK_ADDONS = (
    StockAddon("core", "Core", commands=_CORE, at_start=True),
    StockAddon("browser", "Browser", commands=("browser.start",)),
    StockAddon("block", "Block", ("block_global", "block_private"), at_start=True),
    StockAddon("strip_dns_https_records", "StripDnsHttpsRecords", ("strip_ech",)),
    StockAddon("blocklist", "BlockList", ("block_list",)),
    StockAddon("anticache", "AntiCache", ("anticache",)),
    StockAddon("anticomp", "AntiComp", ("anticomp",)),
    StockAddon(
        "clientplayback",
        "ClientPlayback",
        ("client_replay", "client_replay_concurrency"),
        _words("replay.client replay.client.count replay.client.file replay.client.stop"),
    ),
    StockAddon("command_history", "CommandHistory", ("command_history",), _HISTORY),
    StockAddon("comment", "Comment", commands=("flow.comment",)),
    StockAddon("cut", "Cut", commands=_words("cut cut.clip cut.save")),
    StockAddon("disable_h2c", "DisableH2C", at_start=True),
    StockAddon(
        "export",
        "Export",
        ("export_preserve_original_ip",),
        _words("export export.clip export.file export.formats"),
    ),
    StockAddon("onboarding", "Onboarding", ("onboarding", "onboarding_host")),
    StockAddon("proxyauth", "ProxyAuth", ("proxyauth",)),
    StockAddon(
        "proxyserver",
        "Proxyserver",
        _PROXYSERVER,
        _words("inject.tcp inject.udp inject.websocket proxyserver.active_connections"),
        at_start=True,
    ),
    StockAddon("script", "ScriptLoader", ("scripts",), ("script.run",), at_start=True),
    StockAddon("dns_resolver", "DnsResolver", ("dns_name_servers", "dns_use_hosts_file")),
    StockAddon("next_layer", "NextLayer", at_start=True),
    StockAddon(
        "serverplayback",
        "ServerPlayback",
        _SERVER_REPLAY,
        _words("replay.server replay.server.add replay.server.count replay.server.file replay.server.stop"),
    ),
    StockAddon("mapremote", "MapRemote", ("map_remote",)),
    StockAddon("maplocal", "MapLocal", ("map_local",)),
    StockAddon("modifybody", "ModifyBody", ("modify_body",)),
    StockAddon("modifyheaders", "ModifyHeaders", ("modify_headers",)),
    StockAddon("stickyauth", "StickyAuth", ("stickyauth",)),
    StockAddon("stickycookie", "StickyCookie", ("stickycookie",)),
    StockAddon("save", "Save", ("save_stream_file", "save_stream_filter"), ("save.file",)),
    StockAddon("savehar", "SaveHar", ("hardump",), ("save.har",)),
    StockAddon("tlsconfig", "TlsConfig", _TLS),
    StockAddon("upstream_auth", "UpstreamAuth", ("upstream_auth",)),
    StockAddon("update_alt_svc", "UpdateAltSvc", ("keep_alt_svc_header",), at_start=True),
    StockAddon("keepserving", "KeepServing", ("keepserving",)),
    StockAddon("readfile", "ReadFileStdin", ("readfile_filter", "rfile"), ("readfile.reading",)),
    StockAddon("errorcheck", "ErrorCheck", at_start=True),
)
"""In mitmproxy's order, which is the order of their hooks."""
