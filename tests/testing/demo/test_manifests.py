"""The tutorials' manifests as the demo serves them."""

from __future__ import annotations

import filecmp
from pathlib import Path

from mirrorgate.testing.demo.manifests import TUTORIALS, Manifests, chat_template, with_ports

PORTS = {str(port): 40000 + port for port in (18001, 18002, 18003, 18004)}


def test_only_the_pods_ports_differ(tmp_path: Path) -> None:
    """Every file of the tutorial is byte for byte its own, and the Pods differ in their ports alone."""
    manifests = Manifests(tmp_path, {declared: port - 40000 for declared, port in PORTS.items()})
    for tutorial in ("mirroring", "circuit-breaker"):
        manifests.show(tutorial)
        names = sorted(path.name for path in (TUTORIALS / tutorial).iterdir())
        same, different, missing = filecmp.cmpfiles(TUTORIALS / tutorial, manifests.served, names, shallow=False)
        assert (sorted(same), different, missing) == (names, [], [])
        assert manifests.verbatim() == [name for name in names if name != "pods.yaml"]


def test_ports_are_replaced_in_the_annotation_only() -> None:
    """A port that stands anywhere else stays."""
    text = '# 18001\n    mirrorgate.dev/target-port: "18001"\n  port: 18001\n'
    assert with_ports(text, {"18001": 5}) == '# 18001\n    mirrorgate.dev/target-port: "5"\n  port: 18001\n'


def test_the_folder_is_swapped_in_one_step(tmp_path: Path) -> None:
    """It always is one tutorial or the other."""
    manifests = Manifests(tmp_path, PORTS)
    manifests.show("mirroring")
    before = manifests.served.resolve()
    manifests.show("circuit-breaker")
    assert manifests.served.is_symlink()
    assert manifests.served.resolve() != before
    assert "BackendTrafficPolicy" in (manifests.served / "gateway.yaml").read_text()


def test_the_chat_template_is_the_tutorials() -> None:
    """It is made for Llama 2."""
    assert "[INST]" in chat_template("mirroring")
