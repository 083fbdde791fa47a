import pytest

from mirrorgate.inference.surrogates import repaired


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\n\u00e9"', rb'"\n\u00e9"'),
        (b"\\", b"\\"),
    ],
)
def test_only_lone_surrogates_change(body: bytes, result: bytes) -> None:
    """Pairs, other escapes and escaped backslashes stay as they are."""
    assert repaired(body) == result
