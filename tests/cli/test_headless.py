"""The headless mitmproxy loads an addon when it is needed, whichever way, and it works then as it does in mitmdump."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from mitmproxy import addonmanager, exceptions, options
from mitmproxy.test import tflow
from mitmproxy.tools.dump import DumpMaster

from mirrorgate.cli.headless import HeadlessMaster
from mirrorgate.cli.stock_addons import STOCK_ADDONS
from mirrorgate.proxy.mitm import GatewayMode

AT_START = ["core", "block", "disableh2c", "proxyserver", "scriptloader", "nextlayer", "updatealtsvc", "errorcheck"]
LATER = [stock for stock in STOCK_ADDONS if not stock.at_start]


@pytest_asyncio.fixture
async def headless(tmp_path: Path) -> AsyncIterator[HeadlessMaster]:
    """A master that runs, with listeners of nobody."""
    master = HeadlessMaster(options.Options())
    master.options.update(server=False, mode=[], confdir=str(tmp_path))
    try:
        yield master
    finally:
        errors = master.addons.get("errorcheck")
        await master.done()
        errors.finish()


def loaded(master: HeadlessMaster) -> list[str]:
    """Return the names of the addons that are there, in the order of their hooks."""
    names = [addonmanager._get_name(addon) for addon in addonmanager.traverse(master.addons.chain)]
    return [name for name in names if not name.startswith("later.") and name != "termlog"]


async def test_only_what_a_gateway_needs_is_there(headless: HeadlessMaster) -> None:
    """Setting options that are mitmproxy's own brings nothing, nor does the mode of our listeners."""
    headless.options.update(showhost=True, mode=[GatewayMode.parse("gateway:80@127.0.0.1:1080").full_spec])
    assert loaded(headless) == AT_START


@pytest.mark.parametrize("name", [name for stock in LATER for name in stock.options])
async def test_an_option_that_is_read_brings_its_addon(headless: HeadlessMaster, name: str) -> None:
    """With the default that mitmdump has."""
    owner = next(stock for stock in LATER if name in stock.options)
    assert name not in set(headless.options.keys())
    dump = DumpMaster(options.Options(), with_termlog=False, with_dumper=False)
    dump.addons.get("errorcheck").finish()
    assert getattr(headless.options, name) == getattr(dump.options, name)
    assert loaded(headless) == [s.name for s in STOCK_ADDONS if s.at_start or s is owner]


@pytest.mark.parametrize("name", [name for stock in LATER for name in stock.commands])
async def test_a_command_that_is_asked_for_brings_its_addon(headless: HeadlessMaster, name: str) -> None:
    """As it is when it is called."""
    owner = next(stock for stock in LATER if name in stock.commands)
    assert name in headless.commands.commands
    assert loaded(headless) == [s.name for s in STOCK_ADDONS if s.at_start or s is owner]
    assert headless.commands.commands[name].name == name


@pytest.mark.parametrize("name", [stock.name for stock in LATER])
async def test_an_addon_can_be_asked_for(headless: HeadlessMaster, name: str) -> None:
    """By a script that works with it."""
    assert type(headless.addons.get(name)).__name__.lower() == name
    assert name in loaded(headless)


async def test_what_nobody_brings_is_not_there(headless: HeadlessMaster) -> None:
    """It is refused as mitmproxy refuses it."""
    assert headless.addons.get("view") is None
    assert "nothing" not in headless.options
    with pytest.raises(AttributeError):
        _ = headless.options.nothing
    with pytest.raises(KeyError):
        headless.options.update(nothing=1)
    with pytest.raises(exceptions.CommandError):
        headless.commands.call("nothing.at.all")
    with pytest.raises(KeyError):
        headless.options.default("nothing")
    assert loaded(headless) == AT_START


async def test_a_mode_of_mitmproxys_own_brings_all(headless: HeadlessMaster) -> None:
    """In the order that mitmdump has."""
    headless.options.update(mode=["regular@0"])
    assert loaded(headless) == [stock.name for stock in STOCK_ADDONS]


@pytest.mark.parametrize(
    "way", [lambda o: o.set("modify_headers=/~q/x-a/b"), lambda o: o.update_defer(modify_headers=["/~q/x-a/b"])]
)
async def test_an_option_that_is_set_takes_effect(
    headless: HeadlessMaster, way: Callable[[options.Options], None]
) -> None:
    """From a command line or from config.yaml, whose options may come before the addons."""
    way(headless.options)
    flow = tflow.tflow()
    headless.addons.get("modifyheaders").requestheaders(flow)
    assert flow.request.headers["x-a"] == "b"
    headless.options.update(modify_headers=[])
    assert headless.addons.get("modifyheaders").replacements == []


async def test_a_refused_value_changes_nothing(headless: HeadlessMaster) -> None:
    """Options go back to what they were, and what is still to come can come."""
    with pytest.raises(exceptions.OptionsError):
        headless.options.update(modify_headers=[":"])
    assert headless.options.modify_headers == []
    assert headless.options.stickycookie is None
    assert headless.addons.get("stickycookie") is not None


async def test_an_addon_that_comes_late_is_told_that_all_runs(headless: HeadlessMaster) -> None:
    """Client playback starts its task then."""
    await headless.running()
    assert headless.addons.get("clientplayback").playback_task is not None


async def test_an_addon_that_comes_early_is_told_once(headless: HeadlessMaster) -> None:
    """When all are."""
    playback = headless.addons.get("clientplayback")
    assert playback.playback_task is None
    await headless.running()
    first = playback.playback_task
    assert first is not None
    assert headless.addons.get("clientplayback").playback_task is first


async def test_a_replay_at_the_start_ends_the_process(headless: HeadlessMaster, tmp_path: Path) -> None:
    """As in mitmdump: `keepserving` is the option that says otherwise."""
    (tmp_path / "flows").write_bytes(b"")
    headless.options.update(server_replay=[str(tmp_path / "flows")])
    await headless.running()
    assert "keepserving" in loaded(headless)


async def test_without_a_replay_nothing_ends_it(headless: HeadlessMaster) -> None:
    """Neither does one that is asked for later."""
    await headless.running()
    headless.addons.get("serverplayback")
    assert "keepserving" not in loaded(headless)
