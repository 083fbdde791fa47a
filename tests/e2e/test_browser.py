"""What a person sees in a real browser: mitmweb with pairs, and the dashboard.

Needs a Chromium on the machine (Debian: `apt install chromium`) and the package playwright, which drives it; otherwise
the tests are skipped. A screenshot of a page that failed stays in `build/screenshots/`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirrorgate.testing.gateways import RunningGateway, running_gateway, write_manifests
from mirrorgate.testing.manifests import backend, gateway, http_route, mirror_to, reference, traffic_policy
from mirrorgate.testing.model_server.behaviour import Behaviour
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.processes import PROJECT, free_port
from mirrorgate.testing.web_client import WebClient, web_options

playwright = pytest.importorskip("playwright.async_api", reason="the package playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = PROJECT / "build" / "screenshots"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on this machine (apt install chromium)"),
]


@contextlib.asynccontextmanager
async def opened(url: str, name: str) -> AsyncIterator[playwright.Page]:
    """Open a page. Its errors fail the test, and a failure leaves a screenshot."""
    errors: list[str] = []
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            await page.goto(url)
            yield page
            assert not errors
        except BaseException:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=SCREENSHOTS / f"{name}.png")
            raise
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def staged(folder: Path, web_port: int) -> AsyncIterator[RunningGateway]:
    """Run mitmweb with a route that is mirrored and one that refuses everything."""
    async with (
        FakeModelServer(Behaviour(answer="The quick brown fox jumps over the lazy dog")) as now,
        FakeModelServer(Behaviour(answer="The quick red fox jumps over the sleeping dog")) as following,
    ):
        port, config = free_port(), folder / "gateway.yaml"
        objects = [
            *gateway(port),
            backend("now", now.port),
            backend("next", following.port),
            http_route("chat", reference("now"), mirrors=[mirror_to("next")]),
            http_route("tight", reference("now")),
            traffic_policy("tight", circuitBreaker={"maxPendingRequests": 0}),
        ]
        write_manifests(config, objects)
        async with running_gateway(config, port, program="mitmweb", options=web_options(web_port)) as running:
            yield running


async def test_mitmweb_shows_pairs_and_refusals(tmp_path: Path) -> None:
    """The candidate's row says how it compares; opened, it shows the words that differ; the bar runs our commands."""
    web_port = free_port()
    async with (
        staged(tmp_path, web_port) as running,
        WebClient(web_port) as web,
        opened(web.page, "mitmweb") as page,
    ):
        await page.get_by_text("mitmproxy is running").or_(page.locator("footer")).first.wait_for()
        assert (await running.chat("chat.test", stream=True)).status == 200
        assert (await running.chat("tight.test")).status == 503
        candidate = page.get_by_role("row").filter(has_text="candidate: similar")
        await candidate.wait_for()
        assert re.search(r"similarity 0\.82, TTFT \d+ ms \(primary \d+ ms\)", await candidate.inner_text())
        refused = page.get_by_role("row").filter(has_text="503 UO pending_overflow")
        assert "pending 0/0" in await refused.inner_text()
        await candidate.click()
        await page.get_by_text("Response", exact=True).click()
        await page.get_by_text("[-brown-]").wait_for()
        await page.get_by_text("{+sleeping+}").wait_for()
        await page.get_by_text("Mirrorgate", exact=True).first.wait_for()
        await page.locator("body").click()
        await page.get_by_text("Options", exact=True).click()
        await page.get_by_text("Display Command Bar").click()
        bar = page.get_by_placeholder("Enter command")
        await bar.fill("mirrorgate.compare @focus")
        await bar.press("Enter")
        await page.locator(".command-result, .command").get_by_text("[-lazy-]").first.wait_for()


async def test_the_dashboard_shows_the_candidate(tmp_path: Path) -> None:
    """The verdict so far, the cluster of the mirror, and no error in the page's script."""
    async with staged(tmp_path, free_port()) as running:
        for _ in range(3):
            assert (await running.chat("chat.test")).status == 200

        async def compared() -> bool:
            return len(await running.admin.comparisons()) == 3

        await running.admin.until(compared, "the comparisons did not come")
        async with opened(f"http://127.0.0.1:{running.admin.port}/", "dashboard") as page:
            await page.get_by_text("HOLD").first.wait_for()
            await page.get_by_text("httproute/default/chat/rule/0-mirror-0").first.wait_for()
