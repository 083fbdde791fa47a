"""How proxies are started."""

import json
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.testing.bench.proxies import PROXIES, Ports, Unavailable

PORTS = Ports(own=1, origin=2, shadow=3)


def manager_of(folder: Path) -> dict[str, Any]:
    """Return what an Envoy that was to be started would do with a connection."""
    config = json.loads((folder / "envoy.json").read_text())
    (listener,) = config["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("envoy", ["envoy.filters.http.router"]),
        ("envoy-model", ["envoy.filters.http.json_to_metadata", "envoy.filters.http.router"]),
    ],
)
def test_an_envoy_reads_the_model_if_it_is_to(name: str, filters: list[str], tmp_path: Path) -> None:
    """Before it forwards; the other forwards alone."""
    command = PROXIES[name].command(tmp_path, PORTS, {"envoy": "/some/envoy"})
    assert command[:3] == ["/some/envoy", "-c", str(tmp_path / "envoy.json")]
    assert [each["name"] for each in manager_of(tmp_path)["http_filters"]] == filters


def test_an_envoy_copies_to_the_shadow_if_it_is_to(tmp_path: Path) -> None:
    """The policy names the second server."""
    PROXIES["envoy-mirror"].command(tmp_path, PORTS, {"envoy": "/some/envoy"})
    (host,) = manager_of(tmp_path)["route_config"]["virtual_hosts"]
    assert host["routes"][0]["route"]["request_mirror_policies"] == [{"cluster": "shadow"}]


def test_a_program_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to say where it is."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match=r"--program litellm=PATH"):
        PROXIES["litellm"].command(tmp_path, PORTS, {})
