"""Tests of Secret."""

from __future__ import annotations

from collections.abc import Callable

from mirrorgate.resources.loading import Loaded
from mirrorgate.resources.objects import LooseMeta
from mirrorgate.resources.secret import Secret

Declare = Callable[..., Loaded]


def test_content_is_decoded(declare: Declare) -> None:
    """Base64 may be broken into lines; `stringData` wins over `data`."""
    body = """\
        type: kubernetes.io/tls
        data:
          tls.crt: |
            YWJj
            ZGVm
          tls.key: eHl6
        stringData: {tls.key: plain}
    """
    loaded = declare("Secret", body)
    assert loaded.problems == ()
    secret = loaded.inventory.secrets["default", "x"]
    assert secret.value("tls.crt") == b"abcdef"
    assert secret.value("tls.key") == b"plain"
    assert secret.value("ca.crt") is None


def test_content_is_never_shown(declare: Declare) -> None:
    """Neither a repr nor a problem repeats it."""
    good = declare("Secret", "data: {a: aHVzaA==}\nstringData: {b: hush}").inventory.secrets["default", "x"]
    assert "hush" not in repr(good)
    loaded = declare("Secret", "data: {a: hush!}\nstringData: {b: 12345}\ntype: [hush]")
    assert len(loaded.problems) == 3
    assert not any("hush" in str(problem) or "12345" in str(problem) for problem in loaded.problems)


def test_content_must_be_base64(declare: Declare) -> None:
    """Text that is not names its key."""
    (problem,) = declare("Secret", "data: {a: ü}").problems
    assert (problem.path, problem.message) == ("Secret default/x: data.a", "must be text in base64")
    (problem,) = declare("Secret", "data: {a: 3}").problems
    assert problem.path == "Secret default/x: data.a"


def test_code_gives_bytes() -> None:
    """They are taken as they are."""
    metadata = LooseMeta(name="x")
    assert Secret(api_version="v1", kind="Secret", metadata=metadata, data={"a": b"\xff"}).value("a") == b"\xff"
