import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.inference.rewriting import with_model


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{ "model" : "a" , "x":1.50 }', b'{ "model" : "b" , "x":1.50 }'),
        (b'{"x":"\\"model\\": \\"a\\"","model":"a"}', b'{"x":"\\"model\\": \\"a\\"","model":"b"}'),
        (b'{"model":null}', b'{"model":"b"}'),
        (b"{}", b'{"model":"b"}'),
        (b'{"x":1e3}', b'{"model":"b","x":1e3}'),
        (b'{"x":{"model": "a"}}', b'{"model":"b","x":{"model": "a"}}'),
        (b'{"x":{"model":"a"}, "model":"a"}', b'{"x":{"model":"a"},"model":"b"}'),
        (b'{"mod\\u0065l":"a","x":{"model":"a"}}', b'{"model":"b","x":{"model":"a"}}'),
        (b'{"model":"a","model":"c"}', b'{"model":"b"}'),
        (b'{"model":"a","x":"\\ud800"}', b'{"model":"b","x":"\\ufffd"}'),
    ],
)
def test_only_the_top_level_model_changes(body: bytes, result: bytes) -> None:
    """Nested names stay, values keep their bytes, duplicates and escaped names leave no second model behind."""
    assert with_model(body, "b") == result


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"model"', b'{"x":' + b"[" * 100_000, b'{"model":"a"}}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """The caller learns that there is nothing to rewrite."""
    with pytest.raises(ValueError, match="not a JSON object"):
        with_model(body, "b")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "x", "y"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["model", "a", "b"]), _json), st.text(max_size=8), st.booleans())
def test_everything_else_means_the_same(body: dict[str, Any], model: str, indented: bool) -> None:
    """The result is the same object with another model."""
    raw = json.dumps(body, indent=2 if indented else None).encode()
    assert json.loads(with_model(raw, model)) == {**body, "model": model}
