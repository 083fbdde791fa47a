"""The access log: what is written, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrorgate.events import ConfigRefused, ExchangeDone, RequestsShed
from mirrorgate.telemetry.access_log import AccessLog
from mirrorgate.telemetry.samples import gather

Done = Callable[..., ExchangeDone]


def test_only_exchanges_are_logged(tmp_path: Path, done: Done) -> None:
    """Each has its line; other events have none; the counts are samples."""
    log = AccessLog(str(tmp_path / "log"))
    for number in range(3):
        log.handle(done(id=str(number)))
    log.handle(ConfigRefused(at=1.0, problems=2))
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(one)["id"] for one in lines] == ["0", "1", "2"]
    families = gather([log.samples], lambda where: pytest.fail(where))
    assert families["mirrorgate_access_log_lines_total"].cells == {(): 3}
    assert families["mirrorgate_access_log_dropped_total"].cells[("buffer_full",)] == 0


def test_what_is_shed_has_one_line(tmp_path: Path, done: Done) -> None:
    """It says for how many requests it stands."""
    log = AccessLog(str(tmp_path / "log"))
    log.handle(RequestsShed(done(status=503, refusal="overload"), 17, 425))
    log.close()
    [read] = [json.loads(one) for one in (tmp_path / "log").read_text().splitlines()]
    assert (read["requests"], read["local_reply"], read["downstream_remote_address"]) == (
        17, "overload", "10.0.0.1:5000",
    )  # fmt: skip


def test_no_destination_is_no_log(done: Done) -> None:
    """An empty option switches it off, and everything may still be called."""
    log = AccessLog("")
    log.handle(done())
    log.reopen()
    assert list(log.samples()) == []
    log.close()
