import json
from dataclasses import replace

import pytest

from mirrorgate.inference.apis import Api
from mirrorgate.inference.completions import Broken, Completion
from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.shadow.comparing import candidate_completion
from mirrorgate.testing.model_server.behaviour import Behaviour, Defect
from mirrorgate.testing.model_server.faults import Fault, FaultKind
from mirrorgate.testing.model_server.server import FakeModelServer
from mirrorgate.testing.verdict_bench.virtual_time import run
from mirrorgate.testing.verdict_bench.wire import ask, ask_over_tcp, request_bytes

PATH = "/v1/chat/completions"
REQUEST = request_bytes(
    PATH,
    json.dumps(
        {"messages": [{"role": "user", "content": "Tell me of rivers"}], "temperature": 0, "stream": True}
    ).encode(),
)


def said(answer: Answer) -> Completion:
    """Leave out when an answer came."""
    found = candidate_completion(Api.CHAT, answer)
    return replace(found, timing=replace(found.timing, ttft=None, itl=(), itl_mean=None, itl_p95=None, e2e=None))


@pytest.mark.parametrize("defects", [frozenset[Defect](), *(frozenset({defect}) for defect in Defect)], ids=str)
async def test_without_a_socket_the_answer_is_the_same(defects: frozenset[Defect]) -> None:
    """What the benchmark measures in memory is what goes over a real connection, for every defect."""
    behaviour = Behaviour(defects=defects)
    async with FakeModelServer(behaviour) as server:
        over_tcp = await ask_over_tcp(server.host, server.port, REQUEST)
        assert said(await ask(FakeModelServer(behaviour), REQUEST)) == said(over_tcp)


def test_times_are_the_servers() -> None:
    """First token and gaps are what the behaviour says, to the digit."""

    async def main() -> Answer:
        return await ask(FakeModelServer(Behaviour(ttft=2.0, itl=0.5)), REQUEST)

    timing = candidate_completion(Api.CHAT, run(main())).timing
    assert (timing.ttft, timing.itl_mean) == (pytest.approx(2.0), pytest.approx(0.5))


def test_a_connection_that_breaks_is_a_reset() -> None:
    """An answer that ends too early says so."""

    async def main() -> Answer:
        fault = Fault(FaultKind.RESET_MID_STREAM, after=3)
        return await ask(FakeModelServer(Behaviour(faults=(fault,))), REQUEST)

    answer = run(main())
    assert answer.outcome is LegOutcome.RESET
    assert candidate_completion(Api.CHAT, answer).broken is Broken.CUT
