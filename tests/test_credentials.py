"""What speaks for a client is left out, wherever it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.credentials import without_credentials, without_query_credentials


def test_fields() -> None:
    """Fields that carry credentials go, whatever their case; the others keep order and bytes."""
    fields = [(b"Host", b"a"), (b"AUTHORIZATION", b"Bearer s"), (b"Set-Cookie", b"s"), (b"accept", b"*/*")]
    assert without_credentials(fields) == [fields[0], fields[3]]


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        (b"x_api_key", True),
        (b"API_KEY", True),
        (b"X-Vendor-Api-Key", True),
        (b"my-secret", True),
        (b"x-session-token", True),
        (b"x-original-authorization", True),
        (b"x-hub-signature", True),
        (b"idempotency-key", False),
        (b"tokenizer", False),
        (b"x-max-tokens", False),
        (b"content-type", False),
    ],
)
def test_vendors_own_fields(name: bytes, goes: bool) -> None:
    """Told by their ends, however they are spelled."""
    assert without_credentials([(name, b"s")]) == ([] if goes else [(name, b"s")])


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models?a=1", "/v1/models?a=1"),
        ("/v1/models?api_key=s", "/v1/models"),
        ("/v1/models?a=1&%61pi_key=s&b=2", "/v1/models?a=1&b=2"),
        ("/v1/models?a=1&sig=s&b=2", "/v1/models?a=1&b=2"),
        ("/v1/models?sig=s;a=1", "/v1/models?a=1"),
        ("/v1/models?a=1;%74oken=s;b=2", "/v1/models?a=1;b=2"),
        ("/v1/models?Client_Secret=s&a", "/v1/models?a"),
        ("/v1/models?monkey=1&tokens=2&&a", "/v1/models?monkey=1&tokens=2&&a"),
    ],
)
def test_queries(target: str, kept: str) -> None:
    """Parameters named like keys go, percent-encoded names too, whatever the separator; the rest stays as it was."""
    assert without_query_credentials(target) == kept


@given(st.text("abc&;=%?"), st.sampled_from(["api_key", "%74oken", "SIG"]), st.sampled_from("&;"))
def test_no_credential_is_left_in_a_query(before: str, name: str, separator: str) -> None:
    """Whatever stands before it."""
    assert "marker" not in without_query_credentials(f"/x?{before}{separator}{name}=marker")
