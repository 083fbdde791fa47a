"""ConfigMaps: what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorgate.testing.manifests import as_yaml


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"ca.crt": "PEM", "other": "text"}, {"ca.crt": "PEM"}),
        ({"ca.crt": 1}, {}),
        ({"number": 1}, {}),
        ([], {}),
    ],
)
def test_only_certificates_are_kept(load_text: Any, data: Any, kept: dict[str, str]) -> None:
    """Whatever else is in one was never a problem, and is none now."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
    loaded = load_text(as_yaml([document]))
    assert not loaded.problems
    assert loaded.inventory.config_maps["default", "c"].data == kept
