"""The table of mitmproxy's addons says what the installed mitmproxy says."""

from __future__ import annotations

from mitmproxy import addonmanager, options
from mitmproxy.tools.dump import DumpMaster

from mirrorgate.cli.stock_addons import STOCK_ADDONS, StockAddon


async def test_the_table_is_the_installed_mitmproxys() -> None:
    """Addons and their order as mitmdump loads them, and each one's options and commands."""
    dump = DumpMaster(options.Options(), with_termlog=False, with_dumper=False)
    try:
        chain = list(dump.addons.chain)
    finally:
        dump.addons.get("errorcheck").finish()
    assert [described(addon) for addon in chain] == [
        (stock.module, stock.kind, stock.name, sorted(stock.options), sorted(stock.commands)) for stock in STOCK_ADDONS
    ]


def described(addon: object) -> tuple[str, str, str, list[str], list[str]]:
    """Tell what an addon of mitmproxy's brings, from the addon itself."""
    opts = options.Options()
    before = opts.keys()
    master = _Master(opts)
    if load := getattr(addon, "load", None):
        load(addonmanager.Loader(master))
    commands = [
        value.command_name for name in dir(addon) if hasattr(value := getattr(type(addon), name, None), "command_name")
    ]
    kind = type(addon)
    module = kind.__module__.rpartition(".")[2]
    return module, kind.__name__, addonmanager._get_name(addon), sorted(opts.keys() - before), sorted(commands)


class _Master:
    def __init__(self, opts: options.Options) -> None:
        self.options = opts


def test_names_are_unique() -> None:
    """An option or a command belongs to one addon."""
    for names in (
        [stock.name for stock in STOCK_ADDONS],
        [name for stock in STOCK_ADDONS for name in stock.options],
        [name for stock in STOCK_ADDONS for name in stock.commands],
    ):
        assert len(names) == len(set(names))


def test_a_name_is_the_class_in_lower_case() -> None:
    """As mitmproxy makes it."""
    assert StockAddon("save", "SaveHar").name == "savehar"
