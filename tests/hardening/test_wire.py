"""Smuggling, splitting and malformed HTTP/1.1, in both directions, against a real process and against a real Envoy.

The cases lie beside this file: each with the one right outcome, Envoy's, and the reason wherever we differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirrorgate.testing.wire_cases import WireCase, answers_of, exchanged, load_cases

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="package")]

REQUESTS = load_cases(Path(__file__).with_name("requests.yaml"))
ANSWERS = load_cases(Path(__file__).with_name("answers.yaml"))

each_request = pytest.mark.parametrize("case", REQUESTS, ids=[case.name for case in REQUESTS])
each_answer = pytest.mark.parametrize("case", ANSWERS, ids=[case.name for case in ANSWERS])


@each_request
async def test_a_request_is_refused_or_reframed(buffering: Any, case: WireCase) -> None:
    """What is refused reaches nobody, and what passes arrives as one canonical request."""
    assert await exchanged(buffering.port, case, buffering.upstream) == case.ours


@each_request
async def test_a_request_that_streams_is_no_worse(streaming: Any, case: WireCase) -> None:
    """Where nothing is buffered, what breaks inside a body never becomes a whole request."""
    assert await exchanged(streaming.port, case, streaming.upstream) == case.streaming


@each_answer
async def test_an_answer_neither_splits_nor_poisons(buffering: Any, case: WireCase) -> None:
    """A client gets one canonical answer for its request, and the next request gets its own."""
    assert await answers_of(buffering.port, case, buffering.upstream) == case.ours


@each_answer
async def test_an_answer_that_streams_neither_splits_nor_poisons(streaming: Any, case: WireCase) -> None:
    """What breaks inside a body is cut, so that nobody takes it for whole."""
    assert await answers_of(streaming.port, case, streaming.upstream) == case.streaming


@pytest.mark.peers
@each_request
async def test_envoy_does_with_a_request_what_is_recorded(envoy: Any, case: WireCase) -> None:
    """The column beside ours is measured."""
    assert await exchanged(envoy.port, case, envoy.upstream) == case.envoy


@pytest.mark.peers
@each_answer
async def test_envoy_does_with_an_answer_what_is_recorded(envoy: Any, case: WireCase) -> None:
    """The column beside ours is measured."""
    assert await answers_of(envoy.port, case, envoy.upstream) == case.envoy
