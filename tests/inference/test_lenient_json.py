import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.lenient_json import JsonError, decoded, integer, items, mapping, number, string, written


def test_what_python_servers_write_is_read() -> None:
    """NaN, infinity and lone surrogates, which strict decoders refuse."""
    assert math.isnan(decoded("NaN"))
    assert decoded(b'{"a": -Infinity}') == {"a": -math.inf}
    assert decoded(b'"a\\ud83d"') == "a?"
    assert decoded('"\ud83d"') == "?"
    assert decoded("1" + "0" * 400) == 10**400


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff", b"1" * 10_000, "[1,]", b"'a'"])
def test_what_is_no_json_has_one_error(data: bytes | str) -> None:
    """Callers catch one type."""
    with pytest.raises(JsonError):
        decoded(data)


@given(st.binary(max_size=50) | st.text(max_size=50))
def test_no_input_raises_anything_else(data: bytes | str) -> None:
    """Malformed, deep or odd: a value or the one error; and the value can be written again."""
    try:
        value = decoded(data)
    except JsonError:
        return
    assert isinstance(written(value).encode(), bytes)


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a", [1], {"a": 1}, math.nan, 10**400])
def test_looking_at_a_value_never_fails(value: Any) -> None:
    """Each look gives its own type, empty or `None` when the value is another."""
    assert mapping(value) == (value if isinstance(value, dict) else {})
    assert items(value) == (value if isinstance(value, list) else [])
    assert string(value) == (value if isinstance(value, str) else "")
    assert integer(value) == (value if type(value) is int else None)
    assert number(value) == (value if value in (1, 1.5) and value is not True else None)
