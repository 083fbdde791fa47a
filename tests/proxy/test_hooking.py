"""Stream functions of addons; the hooks' order and waits are tested through the proxy (`test_carrying`)."""

from __future__ import annotations

import pytest

from mirrorgate.proxy.hooking import through


def test_a_piece_may_become_several_or_none() -> None:
    """As mitmproxy documents: bytes, or an iterable of them."""
    assert through(lambda piece: piece.upper(), b"ab") == [b"AB"]
    assert through(lambda piece: [piece, b"!"], b"ab") == [b"ab", b"!"]
    assert through(lambda piece: (part for part in (b"a", b"b")), b"ab") == [b"a", b"b"]
    assert through(lambda piece: [], b"ab") == []


@pytest.mark.parametrize("stream", [True, False, None])
def test_what_is_no_function_passes_pieces_on(stream: object) -> None:
    """And adds nothing at the end."""
    assert through(stream, b"ab") == [b"ab"]
    assert through(stream, b"", last=True) == []


def test_a_function_that_raises_is_passed_by() -> None:
    """Also one that returns what is no piece."""
    assert through(lambda piece: 1 / 0, b"ab") == [b"ab"]
    assert through(lambda piece: None, b"ab") == [b"ab"]
