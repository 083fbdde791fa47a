"""The text formats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mirrorgate.telemetry.exposition import OPEN_METRICS, PLAIN, content_type, number, pieces
from mirrorgate.telemetry.families import Tally
from mirrorgate.telemetry.names import Kind, Spec

_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))


@given(st.dictionaries(st.tuples(_words, _words), st.floats(allow_nan=False)))
def test_what_is_written_is_what_is_read(cells: dict[tuple[str, str], float]) -> None:
    """Any label value and any number survive both formats."""
    tally = Tally(Spec("things", Kind.GAUGE, ("a", "b"), 'Some "help" \\ with\nall of it.'))
    tally.cells.update(cells)
    for open_metrics, parse in ((False, parse_text), (True, parse_open_metrics)):
        text = b"".join(pieces(tally, open_metrics=open_metrics)).decode() + ("# EOF\n" if open_metrics else "")
        read = {(s.labels["a"], s.labels["b"]): s.value for family in parse(text) for s in family.samples}
        assert read == cells


def test_the_heads_follow_each_format() -> None:
    """OpenMetrics names a counter without `_total`; an Envoy counter is untyped here and unknown there."""
    counter = Tally(Spec("x_total", Kind.COUNTER, (), "Text."))
    envoy = Tally(Spec("envoy_x", Kind.UNTYPED, (), "Text."))
    counter.add(())
    envoy.add(())
    assert b"".join(pieces(counter, open_metrics=False)) == b"# HELP x_total Text.\n# TYPE x_total counter\nx_total 1\n"
    assert b"".join(pieces(counter, open_metrics=True)) == b"# HELP x Text.\n# TYPE x counter\nx_total 1\n"
    assert b"# TYPE envoy_x untyped\nenvoy_x 1\n" in b"".join(pieces(envoy, open_metrics=False))
    assert b"# TYPE envoy_x unknown\nenvoy_x 1\n" in b"".join(pieces(envoy, open_metrics=True))


def test_a_family_without_series_is_not_written() -> None:
    """Neither its help nor its type."""
    assert list(pieces(Tally(Spec("x", Kind.GAUGE, (), "Text.")), open_metrics=False)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-3.0, "-3"),
        (0.25, "0.25"),
        (1e21, "1e+21"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    """Whole numbers are short, the rest is exact."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain", PLAIN),
        ("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", OPEN_METRICS),
        ("text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.9", OPEN_METRICS),
        ("application/openmetrics-text;q=0", PLAIN),
        (",;,;;q=", PLAIN),
    ],
)
def test_the_format_is_negotiated(accept: str, kind: str) -> None:
    """OpenMetrics only for those who name it."""
    assert content_type(accept) == kind
