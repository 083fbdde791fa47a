"""A probe by an HTTP request, over a connection that is kept."""

from __future__ import annotations

from ..admission.checks import Outcome
from ..resources.endpoints import Address
from ..resources.traffic_health import HttpActiveHealthCheck
from .scrapes import ScrapeConnection, ScrapeError, request_bytes

__all__ = ["HttpProbe"]

_MAX_BODY = 256 * 1024
"""Bytes of an answer that a probe reads."""


class HttpProbe:
    """Asks as the check says. Host is the endpoint's address where the check names none."""

    def __init__(self, address: Address, check: HttpActiveHealthCheck) -> None:
        self._check = check
        self._expected = frozenset(check.expected_statuses or (200,))
        self._retriable = frozenset(check.retriable_statuses)
        self._wanted = None if check.expected_response is None else check.expected_response.content
        method = check.method or "GET"
        body = b"" if check.request_body is None else check.request_body.content
        request = request_bytes(address, check.path, method=method, host=check.hostname or "", body=body)
        self._connection = ScrapeConnection(address, check.path, _MAX_BODY, request=request, bodiless=method == "HEAD")

    async def ask(self) -> tuple[Outcome, str]:
        try:
            answer = await self._connection.get()
        except ScrapeError as error:
            return Outcome.SILENT, str(error)
        if answer.status in self._expected:
            if self._wanted is None or self._wanted in answer.body:
                return Outcome.PASSED, ""
            return Outcome.FAILED, f"{self._check.path} answers without the expected text"
        outcome = Outcome.RETRIABLE if answer.status in self._retriable else Outcome.FAILED
        return outcome, f"{self._check.path} answers {answer.status}"

    async def close(self) -> None:
        self._connection.close()
