"""What a gateway seldom needs is loaded when it is first used, and works then."""

from __future__ import annotations

import subprocess
import sys

_PRELUDE = """
import sys
from mirrorgate.cli.deferral import defer
defer()
import mirrorgate.cli.serving
from mitmproxy.addons import default_addons, onboarding
from mitmproxy.test import taddons
def loaded():
    return sorted({"flask", "rapidfuzz"} & set(sys.modules))
"""


def run(script: str) -> str:
    """Run Python in a process of its own, where nothing is imported yet; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PRELUDE + script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_headless_gateway_loads_none_of_it() -> None:
    """With all of mitmproxy's addons there, under their own names."""
    assert run("print(len(default_addons()) > 20, loaded())") == "True []"


def test_the_onboarding_page_is_loaded_when_it_is_asked_for() -> None:
    """And is configured as mitmproxy has configured the stand-in, before and after."""
    script = """
addon = onboarding.Onboarding()
with taddons.context(addon) as context:
    context.configure(addon, confdir="/nowhere/one")
    status = []
    def page(path):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "mitm.it", "SERVER_PORT": "80",
                   "wsgi.url_scheme": "http", "wsgi.input": None, "SCRIPT_NAME": "", "QUERY_STRING": ""}
        return b"".join(onboarding.app(environ, lambda line, fields, *more: status.append(line)))
    print(loaded(), b"Install" in page("/"), status, loaded())
    from mitmproxy.addons import onboardingapp
    print(onboardingapp.app.config["CONFDIR"])
    context.configure(addon, confdir="/nowhere/two")
    print(onboardingapp.app.config["CONFDIR"], onboarding.app.load() is onboardingapp.app)
"""
    assert run(script).splitlines() == [
        "[] True ['200 OK'] ['flask']",
        "/nowhere/one",
        "/nowhere/two True",
    ]
