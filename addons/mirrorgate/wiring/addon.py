"""The gateway as a mitmproxy addon: options in, listeners out, and the order in which the parts start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from mitmproxy import addonmanager, ctx, exceptions, version
from mitmproxy.addons.proxyserver import Proxyserver
from prometheus_client import CollectorRegistry

from .. import __version__
from ..director import Director, rules_of
from ..errors import ConfigProblems
from ..events import ConfigApplied, ConfigRefused, ShadowProcessChanged
from ..proxy.admin.server import AdminServer, parse_bind
from ..proxy.admin.sources import AdminSources
from ..proxy.carrying.mirroring import Mirroring
from ..proxy.dataplane import Dataplane
from ..proxy.mitm import GatewayInstance, Hooks, check_version
from ..records import (
    Compared,
    Configure,
    FromShadow,
    LegContent,
    LegFinished,
    ShadowCounts,
    ShadowDropped,
    VerdictChanged,
)
from ..shadow.channel import ChannelOptions, ShadowChannel
from ..snapshot import Snapshot
from ..sources.loads import LoadScraper, ScrapeSettings
from ..telemetry.access_log import AccessLog
from ..telemetry.metrics import Metrics
from ..telemetry.summary import summarise
from ..workers.seat import Seat
from .administration import start_admin
from .aside import share_interpreter
from .background import Background
from .capturing import Captures
from .comparison_lines import ComparisonLines
from .configuration import Configuration
from .configuring import listed, scraped
from .endpoint_pickers import EndpointPickers
from .health import HealthWatch
from .instance_view import instance_view
from .labels import Labels
from .lag import LagWatch
from .listening import Listening
from .options import OPTIONS, add_options, settings_of
from .verdicts import Verdicts
from .viewing import Viewing
from .views import Exchanges, Views

__all__ = ["GATEWAY", "Gateway"]

logger = logging.getLogger("mirrorgate")

_LIVE_OPTIONS = {"gateway_config", "gateway_bind", "gateway_port_offset", "gateway_endpoint_picker"}
_JOURNAL_FILE = 64 * 1024 * 1024
_SHADOW_START = 5.0
"""Seconds that the listeners wait for the shadow process at the start; it takes one."""


class Gateway:
    """One gateway in a mitmproxy process, a worker's when it has a seat."""

    def __init__(self, seat: Seat | None = None) -> None:
        self._seat = seat
        self._rng = random.Random()
        self._configuration = Configuration(self._rng)
        self._opened = False
        self._started = 0.0
        self._applied = 0.0
        self._stopping = False
        self._shadow_begun = asyncio.Event()
        self._background = Background()
        self._watcher: asyncio.Task[None] | None = None
        self.plane: Dataplane | None = None
        self.admin: AdminServer | None = None
        self._listening: Listening
        self._viewing: Viewing
        self._channel: ShadowChannel
        self._mirroring: Mirroring
        self._verdicts: Verdicts
        self._scraper: LoadScraper | None = None
        self._access_log: AccessLog
        self._captures: Captures
        self._pickers: EndpointPickers
        self._health: HealthWatch
        self._lag: LagWatch
        self.metrics: Metrics

    # mitmproxy's hooks

    def load(self, loader: addonmanager.Loader) -> None:
        add_options(loader)

    def configure(self, updated: set[str]) -> None:
        if self._stopping:
            return
        try:
            if self.plane is None:
                if _LIVE_OPTIONS & updated:
                    if (complaint := check_version()) is not None:
                        raise exceptions.OptionsError(complaint)
                    settings_of(ctx.options)
                    parse_bind(ctx.options.gateway_admin)
                    self._configuration.read()
                return
            if _LIVE_OPTIONS & updated:
                settings_of(ctx.options)
                if self._configuration.read():
                    self._restart_watch()
                self._listening.apply(self._configuration.snapshot)
            if updated & ({option.name for option in OPTIONS} | {"stream_large_bodies", "body_size_limit"}):
                self.plane.settings = settings_of(ctx.options)
                self._channel.configure(self._journal_options(), ctx.options.shadow_queue_bytes)
                self._captures.configure(ctx.options.gateway_capture)
                self._lag.configure(ctx.options.gateway_overload_lag)
            if "mode" in updated:
                self._listening.keep(lambda: self._configuration.snapshot)
        except ConfigProblems as error:
            raise exceptions.OptionsError(listed(error.problems)) from error
        except ValueError as error:
            raise exceptions.OptionsError(str(error)) from error

    def running(self) -> None:
        if self.plane is not None:
            return  # mitmproxy has only re-imported the script
        if not self._configuration.named:
            self.configure(set(_LIVE_OPTIONS))  # nothing was set, so nobody has called it
        elif self._configuration.cluster is not None:
            self._configuration.read()  # what concerns the cluster may have been set after gateway_config
        self._started = time.time()
        share_interpreter()
        # mitmproxy logs every connection at INFO or below, through several handlers, printed or not (measured).
        logging.getLogger().setLevel(logging.WARNING)
        logger.setLevel(logging.INFO)
        options = ctx.options
        interval = options.gateway_scrape_interval / 1000
        if interval > 0:
            self._scraper = LoadScraper(ScrapeSettings(interval=interval), rng=self._rng)
        scraper = self._scraper
        director = Director(
            self._configuration.snapshot,
            scraper.snapshot if scraper is not None else dict,
            time.monotonic,
            self._rng,
            lambda cluster: self.plane is not None and self.plane.calm(cluster),
        )
        plane = self.plane = Dataplane(director, Hooks(ctx.master.addons), settings_of(options))
        plane.sharing, shared = (None, "") if self._seat is None else (self._seat.open_rows(), self._seat.shadow)
        self._configuration.server = self
        self._listening = Listening(
            self._background.spawn, plane.close, lenient=self._configuration.cluster is not None, told=self._bound
        )
        self._viewing = Viewing(plane, self._pause)
        self._verdicts = Verdicts(lambda frame: self._channel.send(frame))
        self._channel = ShadowChannel(
            ChannelOptions(
                self._journal_options(), options.shadow_queue_bytes, greeting=self._verdicts.greeting, shared=shared
            ),
            self._from_shadow,
            self._shadow_changed,
            self._rng,
        )
        self._mirroring = plane.mirroring = Mirroring(self._channel, director, plane.emit)
        self._captures = Captures(plane)
        self._pickers = EndpointPickers(plane)
        self._health = HealthWatch(director.health, self._rng)
        self._start_telemetry(plane)
        GatewayInstance.listener = plane.listen
        self.adopt(self._configuration.snapshot)
        if scraper is not None:
            scraper.start()
        self._start_admin()
        self._background.spawn(self._open_listeners())
        self._restart_watch()
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._access_log.reopen)

    def done(self) -> Awaitable[None] | None:
        if self.plane is None or not ctx.master.should_exit.is_set():
            return None  # a reload of the script: everything stays
        return self._stop()

    # Configuration

    def adopt(self, snapshot: Snapshot) -> None:
        """Let a configuration take effect, but for its listeners."""
        assert self.plane is not None
        self.plane.adopt(snapshot)
        self._applied = time.time()
        self._health.adopt()
        rules = rules_of(snapshot)
        if any(rule.mirrors for rule in rules):
            self._channel.start()  # stays once it runs: a reload may bring its mirrors back, and its verdicts
        if self._scraper is not None:
            self._scraper.update(scraped(snapshot))
        self._labels.adopt(rules)
        self._pickers.adopt(rules, ctx.options)
        self._verdicts.adopt(rules)
        self.plane.emit(
            ConfigApplied(
                self._applied, snapshot.generation, len(snapshot.table.listeners), len(rules), len(snapshot.problems)
            )
        )

    def _restart_watch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        self._watcher = self._background.spawn(self._configuration.follow())

    def listen(self, snapshot: Snapshot) -> None:
        """Bind and close listeners as a changed configuration asks; the first one's are opened by `_open_listeners`."""
        if self._opened:
            self._listening.apply(snapshot)

    def refused(self, problems: int) -> None:
        """Take note that a changed configuration was refused."""
        if self.plane is not None:
            self.plane.emit(ConfigRefused(time.time(), problems))

    # Listeners

    async def _open_listeners(self) -> None:
        """Bind for the first time: where the configuration mirrors, once the shadow process reads or has failed to.

        Copies could wait for it, and would come to the candidate all at once, as production's requests did not.
        """
        if self._configuration.cluster is not None:
            await self._configuration.cluster.first.wait()
        if any(rule.mirrors for rule in rules_of(self._configuration.snapshot)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHADOW_START):
                    await self._shadow_begun.wait()
        self._opened = True
        self._listening.apply(self._configuration.snapshot, starting=True)
        if self._seat is not None:
            self._seat.beat()
        if (address := getattr(ctx.master, "web_url", None)) is not None:
            logger.info("mitmweb at %s", address)

    def _bound(self, errors: dict[str, str]) -> None:
        if self._configuration.cluster is not None:
            self._configuration.cluster.report(self._configuration.snapshot, errors)

    # The other parts

    def _start_telemetry(self, plane: Dataplane) -> None:
        self.metrics = Metrics(CollectorRegistry(), mitmproxy=version.VERSION)
        self._labels = Labels(self.metrics)
        try:
            self._access_log = AccessLog(ctx.options.gateway_access_log)
        except OSError as error:
            logger.error("gateway_access_log: %s", error)
            sys.exit(1)
        try:
            self._captures.configure(ctx.options.gateway_capture)
        except ValueError as error:
            logger.error("%s", error)
            sys.exit(1)
        self._exchanges = Exchanges()
        self._lag = LagWatch(plane, self.metrics.observe_loop_lag)
        self._lag.configure(ctx.options.gateway_overload_lag)
        self._lag.start()
        scraper = self._scraper
        self._views = Views(plane, self._channel, scraper.snapshot if scraper is not None else dict)
        self.metrics.register_gauges(self._verdicts.samples)
        for owner in (self._views, self._access_log, self._lag, self._captures, self._pickers):
            self.metrics.register_gauges(owner.samples)
        if self._configuration.cluster is not None:
            self.metrics.register_gauges(self._configuration.cluster.samples)
        self.metrics.register_gauges(self._health.samples)
        plane.subscribe(self.metrics.handle)
        for each in (self._access_log, self._verdicts, ComparisonLines(), self._exchanges, self._health):
            plane.subscribe(each.handle, *each.kinds)

    def _start_admin(self) -> None:
        views = self._views
        sources = AdminSources(
            ready=self.ready,
            metrics=self.metrics.render_pieces,
            resources=views.resources,
            routes=views.routes,
            clusters=views.clusters,
            exchanges=self._exchanges.view,
            verdict=self._verdicts.view,
            verdict_of=self._verdicts.document,
            decision_of=self._verdicts.decision,
            overview=self._overview,
            pause_mirrors=lambda: self._pause(True),
            resume_mirrors=lambda: self._pause(False),
        )
        self.admin = start_admin(sources, ctx.options, self._seat)

    def ready(self) -> tuple[bool, str]:
        """Tell whether the gateway takes requests, and why not."""
        if self._stopping:
            return False, "draining"
        if self._configuration.cluster is not None and not self._configuration.cluster.first.is_set():
            return False, "the cluster's first complete list is not compiled yet"
        if not self._listening.bound:
            return False, "; ".join(self._listening.errors.values()) or "the listeners are not bound yet"
        return True, "ready"

    def _overview(self) -> object:
        return {
            "version": __version__,
            "started": self._started,
            "generation": self._configuration.snapshot.generation,
            "applied": self._applied,
            "problems": self._configuration.problems,
            "warnings": [str(problem) for problem in self._configuration.snapshot.problems],
            "bindErrors": self._listening.errors,
            "paused": self._mirroring.paused,
            "summary": summarise(self.metrics),
        } | instance_view(ctx.options)

    def _pause(self, paused: bool) -> object:
        self._mirroring.paused = paused
        return {"paused": paused}

    def _journal_options(self) -> Configure:
        options = ctx.options
        folder = str(Path(options.shadow_journal).expanduser()) if options.shadow_journal else ""
        return Configure(folder, _JOURNAL_FILE, 0, options.shadow_max_queued, contents=self._viewing.content_limit)

    def _from_shadow(self, message: FromShadow) -> None:
        self._mirroring.received(message)
        if isinstance(message, ShadowCounts):
            self._views.shadow_counts = message
        elif isinstance(message, VerdictChanged):
            self._verdicts.take(message)
        plane, web = self.plane, self._viewing.web
        if isinstance(message, LegContent) and web is not None:
            web.content(message)
        if plane is None or not isinstance(message, LegFinished | Compared | ShadowDropped):
            return
        plane.emit(message)
        if isinstance(message, Compared) and web is not None:
            web.compared(message)

    def _shadow_changed(self, up: bool, pid: int | None, restarts: int) -> None:
        self._shadow_begun.set()
        if not up:
            self._mirroring.forget()
            self._verdicts.process_gone()
        if self.plane is not None:
            self.plane.emit(ShadowProcessChanged(up, pid or 0, restarts))

    # The end

    async def _stop(self) -> None:
        """Stop accepting, let running exchanges end, then end every part."""
        if self._stopping:
            return
        self._stopping = True
        plane = self.plane
        assert plane is not None
        if self._watcher is not None:
            self._watcher.cancel()
        if self._configuration.cluster is not None:
            await self._configuration.cluster.stop()
        if ctx.options.gateway_drain_delay > 0 and self._listening.bound:
            # Load balancers see /ready change before the listeners go.
            plane.leaving = True
            await asyncio.sleep(ctx.options.gateway_drain_delay)
        proxyserver = ctx.master.addons.get("proxyserver")
        assert isinstance(proxyserver, Proxyserver)
        await proxyserver.servers.update([])
        if not await plane.drain():
            logger.warning("requests were still running after %g s and are cut", plane.settings.drain_timeout)
        plane.close()
        self._pickers.close()
        await self._health.stop()
        self._viewing.close()
        await self._channel.stop(5.0)
        self._verdicts.close()
        if self._scraper is not None:
            await self._scraper.stop()
        self._lag.stop()
        if self.admin is not None:
            await self.admin.stop()
        self._access_log.close()
        await asyncio.to_thread(self._captures.close)


GATEWAY = Gateway()
