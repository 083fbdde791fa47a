"""What speaks for a client is left out, wherever it stands."""

import pytest

from mirrorgate.credentials import without_credentials, without_query_credentials


def test_fields() -> None:
    """Fields that carry credentials go, whatever their case; the others keep order and bytes."""
    fields = [(b"Host", b"a"), (b"AUTHORIZATION", b"Bearer s"), (b"Set-Cookie", b"s"), (b"accept", b"*/*")]
    assert without_credentials(fields) == [fields[0], fields[3]]


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models?a=1", "/v1/models?a=1"),
        ("/v1/models?api_key=s", "/v1/models"),
        ("/v1/models?a=1&%61pi_key=s&b=2", "/v1/models?a=1&b=2"),
    ],
)
def test_queries(target: str, kept: str) -> None:
    """Parameters named like keys go, percent-encoded names too."""
    assert without_query_credentials(target) == kept
