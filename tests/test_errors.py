"""Problems as a person reads them, and the one table of the gateway's own answers."""

import re

import pytest

from mirrorgate.errors import REPLIES, ConfigProblems, Problem, Refusal, Severity

BEFORE = "upstream connect error or disconnect/reset before headers. reset reason: "

ENVOY = [
    (Refusal.NO_ROUTE, 404, "", "NR", "route_not_found"),
    (Refusal.NO_ENDPOINTS, 503, "no healthy upstream", "UH", "no_healthy_upstream"),
    (Refusal.PENDING_OVERFLOW, 503, f"{BEFORE}overflow", "UO", "upstream_reset_before_response_started{overflow}"),
    (Refusal.ACTIVE_OVERFLOW, 503, f"{BEFORE}overflow", "UO", "upstream_reset_before_response_started{overflow}"),
    (
        Refusal.CONNECT_FAILURE,
        503,
        f"{BEFORE}remote connection failure",
        "UF",
        "upstream_reset_before_response_started{remote_connection_failure}",
    ),
    (
        Refusal.CONNECT_TIMEOUT,
        503,
        f"{BEFORE}connection timeout",
        "UF",
        "upstream_reset_before_response_started{connection_timeout}",
    ),
    (
        Refusal.UPSTREAM_CLOSED,
        503,
        f"{BEFORE}connection termination",
        "UC",
        "upstream_reset_before_response_started{connection_termination}",
    ),
    (
        Refusal.UPSTREAM_PROTOCOL,
        502,
        f"{BEFORE}protocol error",
        "UPE",
        "upstream_reset_before_response_started{protocol_error}",
    ),
    (Refusal.RATE_LIMITED, 429, "local_rate_limited", "RL", "local_rate_limited"),
    (Refusal.REQUEST_TIMEOUT, 504, "upstream request timeout", "UT", "response_timeout"),
    (Refusal.STREAM_IDLE, 504, "stream timeout", "SI", "stream_idle_timeout"),
]
"""Status, body, flag and details of a real Envoy (measured, `docs/compatibility.md`)."""


@pytest.mark.golden
@pytest.mark.parametrize(("refusal", "status", "body", "flag", "details"), ENVOY)
def test_the_answers_are_envoys_where_envoy_has_them(
    refusal: Refusal, status: int, body: str, flag: str, details: str
) -> None:
    """To the byte, because clients and alerts look for them."""
    reply = REPLIES[refusal]
    assert (reply.status, reply.body, reply.flag, reply.details) == (status, body, flag, details)
    assert not reply.close
    assert reply.openai_type == ""


def test_the_overflow_has_81_bytes() -> None:
    """The text of the tutorial, without a line end; a refused connection has 98."""
    assert len(REPLIES[Refusal.PENDING_OVERFLOW].body.encode()) == 81
    assert REPLIES[Refusal.PENDING_OVERFLOW] == REPLIES[Refusal.ACTIVE_OVERFLOW]
    assert len(REPLIES[Refusal.CONNECT_FAILURE].body.encode()) == 98


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_an_answer(refusal: Refusal) -> None:
    """It fits a status line, a body of one line, and a log; without a status the connection ends."""
    reply = REPLIES[refusal]
    assert reply.status in (0, 200) or 302 <= reply.status <= 504
    assert reply.status or (reply.close and not reply.body)
    assert reply.body.isprintable()
    assert re.fullmatch(r"-|[A-Z]{2,5}", reply.flag)
    assert re.fullmatch(r"[a-z_{}]+", reply.details)
    assert re.fullmatch(r"[a-z_]+", refusal.value)


def test_the_table_has_nothing_else() -> None:
    """It is the closed set of refusals."""
    assert set(REPLIES) == set(Refusal)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("is wrong"), "error: is wrong"),
        (Problem("is wrong", "a.yaml"), "a.yaml: error: is wrong"),
        (Problem("is wrong", "a.yaml", 7), "a.yaml:7: error: is wrong"),
        (Problem("is wrong", line=7), "error: is wrong"),
        (
            Problem("is odd", "a.yaml", 7, "Gateway default/g: spec", "leave it out", Severity.WARNING),
            "a.yaml:7: warning: Gateway default/g: spec: is odd (leave it out)",
        ),
    ],
)
def test_a_problem_reads_as_compilers_write_them(problem: Problem, text: str) -> None:
    """File, line, severity, field and message, so that editors find the place; what is unknown is left out."""
    assert str(problem) == text


def test_a_refused_configuration_tells_every_problem() -> None:
    """One on each line, and as values."""
    problems = (Problem("one", "a.yaml", 1), Problem("two", "b.yaml", 2))
    refused = ConfigProblems(problems)
    assert refused.problems == problems
    assert str(refused) == "a.yaml:1: error: one\nb.yaml:2: error: two"
