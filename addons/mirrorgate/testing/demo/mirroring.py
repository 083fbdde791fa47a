"""Tutorial 1: production's answer goes to the client, a copy of the request to a candidate, and both are compared."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from rich.live import Live

from .asking import Answered, Asking
from .errors import DemoError
from .gateway import Comparison, RunningGateway
from .model_servers import Fleet, Models, Role
from .telling import Teller, comparison_table

__all__ = ["mirroring"]

_MORE = 12


async def mirroring(teller: Teller, gateway: RunningGateway, servers: Fleet, verbatim: list[str]) -> None:
    """Walk through the tutorial. Raises `DemoError` when something is not as it promises."""
    asking = Asking(gateway)
    teller.heading("Tutorial 1: traffic mirroring for inference services")
    teller.output(f"the tutorial's manifests, unmodified: {' '.join(verbatim)}", style="dim")
    teller.command(asking.curl)
    answer = expect(await asking.tutorial())
    teller.output(answer.body, most=2 * teller.width - 24)
    teller.say(f"The tutorial's check: the logs of both services {servers.grep}")
    for role in Role:

        async def logged(role: Role = role) -> bool:
            return bool(servers.answered(role))

        await gateway.until(logged, f"the {role} service has not logged the request")
        teller.output(f"{role} service logs:")
        for line in servers.answered(role):
            teller.output(line)
    counts = [len(servers.answered(role)) for role in Role]
    if counts != [1, 1]:
        raise DemoError(f"one request was sent; the services answered {counts[0]} and {counts[1]}")
    teller.check("both services answered the request, the client got the primary's answer")
    teller.blank()
    teller.say("The tutorial discards the mirror's answers. Mirrorgate compares them (primary / candidate):")
    comparisons = await _compared(teller, gateway, asking)
    outcomes = Counter(one.outcome.replace("_", " ") for one in comparisons)
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    teller.check(f"{len(comparisons)} of {_MORE + 1} requests compared: {told}")
    remark = _remark(servers.models, comparisons)
    if remark:
        teller.say(remark)


def expect(answer: Answered, status: int = 200) -> Answered:
    """Return the answer when it has the status. Raises `DemoError` otherwise."""
    if answer.status != status:
        raise DemoError(f"a request was answered {answer.status} instead of {status}: {answer.body[:500]}")
    return answer


async def _compared(teller: Teller, gateway: RunningGateway, asking: Asking) -> list[Comparison]:
    """Send more requests, and show the comparisons as they come in."""
    comparisons: list[Comparison] = []

    async def all_compared() -> bool:
        comparisons[:] = await gateway.comparisons()
        if live is not None:
            live.update(comparison_table(comparisons), refresh=True)
        return len(comparisons) > _MORE

    live = Live(console=teller.console, auto_refresh=False) if teller.console.is_terminal else None
    with live or contextlib.nullcontext():
        sending = asyncio.get_running_loop().create_task(asking.prompts(_MORE), name="demo requests")
        try:
            await gateway.until(all_compared, "not every request has been compared")
            for answer in await sending:
                expect(answer)
        finally:
            sending.cancel()
    if live is None:
        teller.console.print(comparison_table(comparisons))
    return comparisons


def _remark(models: Models, comparisons: list[Comparison]) -> str:
    """Say what the demo has hidden in the candidate, and whether it was found."""
    if models is Models.SMOLLM2:
        return "The candidate is the same model behind the tutorial's Llama 2 chat template: the table shows the cost."
    cut = sum(
        one.primary["choices"][0]["finish_reason"] == "stop"
        and one.candidate["choices"][0]["finish_reason"] == "length"
        for one in comparisons
        if one.primary["choices"] and one.candidate["choices"]
    )
    if not cut:
        return ""
    found = f"Its log says 200 OK; {cut} comparison{'s say' if cut > 1 else ' says'} length."
    return f"One of the candidate's servers is set up to stop after 16 tokens. {found}"
