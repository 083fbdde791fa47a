"""The child is started from anywhere, with nothing of the proxy's."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mirrorgate.shadow.child import PACKAGE_ROOT, ChildCommand, start_child


def test_the_package_root_holds_the_package() -> None:
    """The folder for PYTHONPATH is the one above the package."""
    assert (PACKAGE_ROOT / "mirrorgate" / "shadow" / "__main__.py").is_file()


def test_the_environment_is_inherited_and_the_root_comes_first() -> None:
    """What PYTHONPATH held stays behind ours."""
    command = ChildCommand(root=Path("/root-of-it"))
    assert command.environment({"A": "b", "PYTHONPATH": "/x"}) == {
        "A": "b",
        "PYTHONPATH": os.pathsep.join(["/root-of-it", "/x"]),
    }
    assert command.environment({}) == {"PYTHONPATH": "/root-of-it"}
    installed = ChildCommand(root=Path("/venv/lib/python3.13/site-packages"))
    assert installed.environment({"PYTHONPATH": "/x"}) == {"PYTHONPATH": "/x"}


def test_only_the_socket_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has its socket, standard streams, a group of its own, and no module of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    extra = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(extra, True)
    script = (
        "import json, os, sys\n"
        f"def is_open(fd): return os.path.exists(f'/proc/self/fd/{{fd}}')\n"
        "fd = int(sys.argv[1])\n"
        f"facts = [is_open(fd), is_open({extra}), os.getpgid(0) == os.getpid(), sys.stdin.read(), sys.argv[2]]\n"
        "os.write(fd, json.dumps(facts).encode())\n"
    )
    ours, theirs = socket.socketpair()
    try:
        with ours:
            process = start_child(ChildCommand((sys.executable, "-P", "-c", script), niceness=7), theirs)
            assert theirs.fileno() == -1
            ours.settimeout(30)
            said = ours.recv(10_000)
            assert process.wait(30) == 0
    finally:
        os.close(extra)
    assert json.loads(said) == [True, False, True, "", "7"]


def test_a_program_that_does_not_exist_leaves_no_socket_open() -> None:
    """The child's end is closed when the start fails."""
    ours, theirs = socket.socketpair()
    with ours:
        with pytest.raises(FileNotFoundError):
            start_child(ChildCommand(("/nonexistent/python",)), theirs)
        assert theirs.fileno() == -1


def test_the_shadow_process_does_not_import_the_proxys_libraries() -> None:
    """Start-up time and memory: no mitmproxy, pydantic, tornado or httpx in the child."""
    script = (
        "import sys, mirrorgate.shadow.__main__\n"
        "print([n for n in ('mitmproxy', 'pydantic', 'tornado', 'httpx', 'prometheus_client') if n in sys.modules])"
    )
    environment = ChildCommand().environment(os.environ)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
