"""The metadata of pairs: plain values, read back leniently."""

from __future__ import annotations

import pytest
from mitmproxy.test import tflow

from mirrorgate.proxy.viewing.flow_pairs import NUMBERS, LegNumbers, PairNumbers, numbers_in, numbers_of, plain
from mirrorgate.records import Compared


def test_numbers_survive_a_flows_metadata() -> None:
    """From the record to plain values and back; a record's other fields are left out."""
    record = (
        b'{"outcome": "same", "similarity": 1, "primary": {"ttft": 0.1, "choices": []}, "run": "r", "control": null}'
    )
    numbers = numbers_of(Compared("id", "m", "same", 1.0, "the same", record))
    assert numbers == PairNumbers("same", 1.0, "", LegNumbers(ttft=0.1))
    flow = tflow.tflow()
    flow.metadata[NUMBERS] = {"m": plain(numbers)}
    assert numbers_in(flow, "m") == numbers
    assert numbers_in(flow, "other") is None


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"similarity": "x"}', b"\xff"])
def test_an_unreadable_record_leaves_the_outcome(record: bytes) -> None:
    """The frame itself says what the pair came to."""
    numbers = numbers_of(Compared("id", "m", "different", 0.5, "they differ", record))
    assert (numbers.outcome, numbers.similarity, numbers.summary) == ("different", 0.5, "they differ")


@pytest.mark.parametrize("value", [None, 3, [], {"m": 3}, {"m": {"similarity": "x"}}])
def test_edited_metadata_is_no_numbers(value: object) -> None:
    """A file may hold anything under our names."""
    flow = tflow.tflow()
    flow.metadata[NUMBERS] = value
    assert numbers_in(flow, "m") is None
