"""What the process tells of itself."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

from mirrorgate.wiring.instance_view import instance_view, journal_view


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    """Only whether there is one."""
    options = SimpleNamespace(gateway_admin="127.0.0.1:1", gateway_admin_token="secret", shadow_journal="")
    view = instance_view(options)
    assert view["token"] is True
    assert "secret" not in str(view)
    assert view["journal"] is None
    assert isinstance(view["now"], float)
    assert abs(view["now"] - time.time()) < 60


def test_a_journal_that_is_not_there_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    """It is made with the first record."""
    view = journal_view(str(tmp_path / "a" / "b"))
    assert view is not None
    assert view["writable"]
    assert isinstance(view["free"], int)
    assert isinstance(view["size"], int)
    assert 0 < view["free"] <= view["size"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Nothing can be written below it."""
    (tmp_path / "file").write_text("x")
    view = journal_view(str(tmp_path / "file" / "below"))
    assert view is not None
    assert not view["writable"]
