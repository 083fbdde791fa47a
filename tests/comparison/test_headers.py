from mirrorgate.comparison.headers import HeaderDifference, compare_headers
from mirrorgate.comparison.policy import IGNORED_HEADERS


def test_fields_are_compared_by_name_and_joined() -> None:
    """Case and order of names do not count, repeated fields are one list."""
    primary = [(b"X-A", b"1"), (b"x-b", b" 2 "), (b"x-a", b"3"), (b"date", b"now")]
    candidate = [(b"x-a", b"1, 3"), (b"x-c", b"\xff"), (b"Date", b"then")]
    assert compare_headers(primary, candidate, IGNORED_HEADERS) == (
        HeaderDifference("x-b", "2", None),
        HeaderDifference("x-c", None, "\xff"),
    )
