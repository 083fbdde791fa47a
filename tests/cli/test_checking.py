"""What `mirrorgate check` prints where nobody looks at a terminal."""

from __future__ import annotations

from pathlib import Path

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


def test_warnings_are_in_the_last_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They stand above two long tables, where a reader of the end does not see them."""
    (tmp_path / "gateway.yaml").write_text(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: one}, "
        "spec: {gatewayClassName: none, listeners: [{name: http, port: 80, protocol: HTTP}]}}"
    )
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("the configuration is accepted, with 1 warning above\n")


def test_nothing_read_is_no_empty_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Only what is wrong is to be seen."""
    assert main(["check", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "the folder holds no manifests" in printed
    assert "Status conditions" not in printed
