"""What `mirrorgate check` prints where nobody looks at a terminal."""

from __future__ import annotations

import pytest

from mirrorgate.cli.__main__ import main


def test_a_pipe_gets_whole_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and messages are not folded, so that grep finds them."""
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    header = next(line for line in printed.splitlines() if "listener" in line and "limits" in line)
    assert header.count("┃") == 8
    accepted = [line for line in printed.splitlines() if "Accepted" in line]
    assert accepted
    assert all(line.count("│") == 6 for line in accepted)
    assert max(len(line) for line in accepted) > 80
