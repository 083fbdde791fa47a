"""How an exchange ends that does not end well: an answer of the gateway's own, a cut, a client that left, a bug.

What it holds goes back at once, before any hook runs; addons hear of an error, and of nothing behind it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from mitmproxy import flow as mitm_flow

from ...calls import end_call
from ...errors import OVERFLOWS, REPLIES, Refusal
from ...plans import Refused
from ..mitm import killed
from . import replying

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["bug", "client_gone", "cut", "fail"]

logger = logging.getLogger(__name__)


async def fail(carrier: Carrier, refusal: Refusal, message: str = "") -> None:
    """Answer what failed before its answer began: addons hear of an error."""
    if carrier.over:
        return
    end_call(carrier, refusal)
    if refusal in OVERFLOWS:
        await replying.refuse(carrier, Refused(refusal) if carrier.plan is None else carrier.plan.refused(refusal))
        return
    carrier.end()
    reply = carrier.facts.refuse(refusal)
    carrier.facts.details = reply.details
    replying.note_refusal(carrier, refusal, reply.status)
    carrier.flow.error = mitm_flow.Error(message or reply.body)
    await carrier.hooks.fire_and_wait("error")
    replying.send_local(carrier, reply, message)


def cut(carrier: Carrier, refusal: Refusal, *, hook: bool = True) -> None:
    """End without a proper answer: hang up on both sides."""
    if carrier.over:
        return
    end_call(carrier, refusal)
    carrier.close = True
    carrier.end()
    reply = carrier.facts.refuse(refusal)
    if refusal is Refusal.KILLED:
        carrier.connection.abort()
    elif refusal is not Refusal.CLIENT_LEFT:
        carrier.connection.cut()
    if hook and not killed(carrier.flow):
        message = "Client disconnected." if refusal is Refusal.CLIENT_LEFT else reply.body or reply.details
        carrier.flow.error = mitm_flow.Error(message)
    carrier.hooks.after(carrier.hooks.fire("error") if hook else None, carrier.finish)


async def client_gone(carrier: Carrier) -> None:
    """End the request phase of a client that left."""
    if carrier.over:
        return  # somebody is at it already
    carrier.end()
    carrier.facts.refuse(Refusal.CLIENT_LEFT)
    carrier.flow.error = mitm_flow.Error("Client disconnected.")
    await carrier.hooks.fire_and_wait("error")
    carrier.finish()


def bug(carrier: Carrier) -> None:
    """Fail closed: a bug ends this exchange with 500, and no other."""
    logger.exception("the gateway failed on %s %s", carrier.facts.method, carrier.facts.path)
    carrier.plane.count_bug()
    if carrier.finished:
        return
    again, carrier.failing = carrier.failing, True
    carrier.close = True
    carrier.end()
    carrier.facts.refuse(Refusal.INTERNAL)
    if again:
        carrier.connection.abort()
        carrier.finish()
        return
    carrier.flow.error = mitm_flow.Error("internal error")
    carrier.hooks.after(carrier.hooks.fire("error"), partial(_answer_bug, carrier))


def _answer_bug(carrier: Carrier) -> None:
    if carrier.answer.head_sent or carrier.gone:
        carrier.connection.abort()
        carrier.finish()
    else:
        replying.send_local(carrier, REPLIES[Refusal.INTERNAL])
