"""Alternative names: which certificate is for whom."""

from __future__ import annotations

import pytest

from mirrorgate.resources.server_tls import ServerTls


@pytest.mark.parametrize(
    ("wanted", "name", "fits"),
    [
        ("a.test", "a.test", True),
        ("a.test", "A.TEST", True),
        ("a.test", "b.test", False),
        ("a.test", "*.test", True),
        ("a.b.test", "*.test", False),
        ("*.test", "a.test", True),
        ("*.test", "*.test", True),
        ("*.test", "a.b.test", False),
        ("test", "*.test", False),
    ],
)
def test_names(wanted: str, name: str, fits: bool) -> None:
    """Whole, or with a wildcard for exactly one label on either side."""
    assert ServerTls(names=(wanted,)).fits((name,), ()) == fits


def test_uris() -> None:
    """A URI is the same or it is not; one of the wanted is enough."""
    tls = ServerTls(names=("a.test",), uris=("spiffe://one/a",))
    assert tls.fits((), ("spiffe://one/a",))
    assert not tls.fits(("b.test",), ("spiffe://one/b",))


def test_authorities_are_not_printed() -> None:
    """They would fill the log."""
    assert "PEM" not in repr(ServerTls(authorities="PEM"))
