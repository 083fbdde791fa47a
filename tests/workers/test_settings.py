"""What the supervisor reads itself."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from mirrorgate.cli.running import add_parser
from mirrorgate.proxy.admin.server import Bind
from mirrorgate.workers.settings import settings_of


def parsed(folder: Path, *words: str) -> Any:
    """Parse `mirrorgate run` with a configuration folder of its own."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["run", "--workers", "3", "--set", f"confdir={folder}", *words])


def test_workers_get_the_words_that_were_given(tmp_path: Path) -> None:
    """Everything but what is the supervisor's own."""
    words = ("manifests", "--bind", "0.0.0.0", "--admin", "127.0.0.1:0", "--journal", "j", "--set", "a=b=c")
    settings = settings_of(parsed(tmp_path, *words))
    assert settings.workers == 3
    assert settings.words == ("manifests", "--bind=0.0.0.0", "--journal=j", f"--set=confdir={tmp_path}", "--set=a=b=c")
    assert settings.admin == Bind("127.0.0.1", 0)


def test_options_come_from_where_the_workers_read_them(tmp_path: Path) -> None:
    """mitmproxy's file, then `--set`, then the command's own words."""
    assert settings_of(parsed(tmp_path)).admin == Bind("127.0.0.1", 9901)
    (tmp_path / "config.yaml").write_text(
        "gateway_admin: 127.0.0.1:1\ngateway_admin_token: t\ngateway_drain_timeout: 5\n"
    )
    settings = settings_of(parsed(tmp_path))
    assert (settings.admin, settings.token, settings.patience) == (Bind("127.0.0.1", 1), "t", 20.0)
    assert settings_of(parsed(tmp_path, "--set", "gateway_admin=127.0.0.1:2")).admin == Bind("127.0.0.1", 2)
    assert settings_of(parsed(tmp_path, "--set", "gateway_admin=127.0.0.1:2", "--admin", "")).admin is None


def test_a_file_that_cannot_be_read_is_the_workers_to_complain_of(tmp_path: Path) -> None:
    """The first worker says what is wrong with it and ends, and so does the gateway."""
    (tmp_path / "config.yaml").write_text("a: [")
    assert settings_of(parsed(tmp_path)).admin == Bind("127.0.0.1", 9901)


@pytest.mark.parametrize(("words", "seconds"), [((), 30.0), (("--worker-hang-timeout", "0"), 0.0)])
def test_when_a_worker_hangs_is_said(tmp_path: Path, words: tuple[str, ...], seconds: float) -> None:
    """Or that none is ended."""
    assert settings_of(parsed(tmp_path, *words)).hang_timeout == seconds


@pytest.mark.parametrize("seconds", ["1.9", "-1", "inf", "nan"])
def test_a_time_that_cannot_be_kept_is_refused(tmp_path: Path, seconds: str) -> None:
    """One look without a beat says nothing."""
    with pytest.raises(ValueError, match="at least 2"):
        settings_of(parsed(tmp_path, f"--worker-hang-timeout={seconds}"))


@pytest.mark.parametrize("words", [["--web"], ["--capture", "f"], ["--set", "save_stream_file=f"], ["--admin", "x"]])
def test_what_is_of_one_process_is_refused(tmp_path: Path, words: list[str]) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match=r"one (worker|process)|host:port"):
        settings_of(parsed(tmp_path, *words))
