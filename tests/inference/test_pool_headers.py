"""What a request says to a pool's picker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.pool_headers import DEFAULT_FAIRNESS, PoolHeaders, pool_headers


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], PoolHeaders()),
        ([(b"x-other", b"1"), (b"host", b"h")], PoolHeaders()),
        ([(b"X-Gateway-Inference-Objective", b" batch ")], PoolHeaders("batch")),
        ([(b"x-llm-d-inference-fairness-id", b"tenant")], PoolHeaders(None, "tenant")),
        ([(b"x-gateway-model-name-rewrite", b"m")], PoolHeaders(None, DEFAULT_FAIRNESS, "m")),
        ([(b"x-gateway-inference-objective", b"")], PoolHeaders()),
        ([(b"x-gateway-inference-objective", b"a"), (b"x-gateway-inference-objective", b"b")], PoolHeaders("a")),
        ([(b"x-gateway-inference-objective", b"a"), (b"x-llm-d-inference-objective", b"b")], PoolHeaders("b")),
        ([(b"x-llm-d-inference-objective", b"b"), (b"x-gateway-inference-objective", b"a")], PoolHeaders("b")),
        ([(b"x-llm-d-inference-objective", b" "), (b"x-gateway-inference-objective", b"a")], PoolHeaders("a")),
    ],
)
def test_both_projects_names_are_read(fields: list[tuple[bytes, bytes]], expected: PoolHeaders) -> None:
    """The newer name wins wherever it stands, the first value of a name counts, blank is absent."""
    assert pool_headers(fields) == expected


@given(st.lists(st.tuples(st.binary(max_size=8) | st.just(b"x-llm-d-inference-fairness-id"), st.binary(max_size=8))))
def test_no_field_is_too_odd(fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes a client sends, there is a fairness id that is not empty."""
    assert pool_headers(fields).fairness
