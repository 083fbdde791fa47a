"""What a gateway seldom needs is loaded when it is first used, and works then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PRELUDE = """
import sys
from mirrorgate.cli.deferral import defer, defer_addons
defer()
if "all" not in sys.argv:
    defer_addons()
import mirrorgate.cli.serving
def loaded():
    names = ("flask", "ldap3", "mitmproxy.flowfilter", "pyparsing", "rapidfuzz", "ruamel.yaml", "werkzeug")
    return [name for name in names if type(sys.modules.get(name)).__name__ == "module"]
"""


def run(script: str, *words: str) -> str:
    """Run Python in a process of its own, where nothing is imported yet; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PRELUDE + script, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_headless_gateway_loads_none_of_it() -> None:
    """Neither addons nor the languages that they are configured in."""
    assert run("print(loaded())") == "[]"


def test_all_addons_are_there_when_they_are_asked_for() -> None:
    """By whoever works with mitmproxy's package as it is documented."""
    script = """
from mitmproxy.addons import default_addons, dumper
print(len(default_addons()) > 30, "ldap3" in loaded(), dumper.Dumper.__name__)
"""
    assert run(script) == "True True Dumper"


def test_filters_commands_and_configuration_are_read_as_ever(tmp_path: Path) -> None:
    """What reads them is loaded by the first use."""
    (tmp_path / "config.yaml").write_text("showhost: true\n", encoding="utf-8")
    script = f"""
from mitmproxy import command_lexer, flowfilter, options, optmanager
from mitmproxy.test import tflow
from mitmproxy.command import unquote
print(loaded(), unquote("'a b'"), loaded())
print(bool(flowfilter.match("~m GET", tflow.tflow())), flowfilter.TFilter.__name__, command_lexer.quote("a b"))
opts = options.Options()
optmanager.load_paths(opts, {str(tmp_path / "config.yaml")!r})
print(opts.showhost, loaded())
"""
    assert run(script).splitlines() == [
        "[] a b ['pyparsing']",
        'True TFilter "a b"',
        "True ['mitmproxy.flowfilter', 'pyparsing', 'ruamel.yaml']",
    ]


def test_the_onboarding_page_is_loaded_when_it_is_asked_for() -> None:
    """And is configured as mitmproxy has configured the stand-in, before and after."""
    script = """
from mitmproxy.addons import onboarding
from mitmproxy.test import taddons
addon = onboarding.Onboarding()
with taddons.context(addon) as context:
    context.configure(addon, confdir="/nowhere/one")
    status = []
    def page(path):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "mitm.it", "SERVER_PORT": "80",
                   "wsgi.url_scheme": "http", "wsgi.input": None, "SCRIPT_NAME": "", "QUERY_STRING": ""}
        return b"".join(onboarding.app(environ, lambda line, fields, *more: status.append(line)))
    print("flask" in loaded(), b"Install" in page("/"), status, "flask" in loaded())
    from mitmproxy.addons import onboardingapp
    print(onboardingapp.app.config["CONFDIR"])
    context.configure(addon, confdir="/nowhere/two")
    print(onboardingapp.app.config["CONFDIR"], onboarding.app.load() is onboardingapp.app)
"""
    assert run(script).splitlines() == [
        "False True ['200 OK'] True",
        "/nowhere/one",
        "/nowhere/two True",
    ]
