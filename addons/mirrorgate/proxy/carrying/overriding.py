"""Replaces answers by those that a traffic policy declares, the gateway's own and the servers'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...routing.filters import redirect_location
from ...routing.overrides import Answered, Override, OverrideRedirect
from ...routing.table import PathRewrite, Redirect
from ..messages.rendering import Fields, local_fields

if TYPE_CHECKING:
    from ..messages.heads import ResponseHead
    from .carrier import Carrier

__all__ = ["Overridden", "overridden", "override_of", "waits_for_the_end"]

Overridden = tuple[int, Fields, bytes]
"""Status, header fields and body of the answer that takes the place of another."""

_WORTH_READING = 65536
"""Bytes of a server's answer that are read, and dropped, so that its connection can be used again."""


def override_of(carrier: Carrier, status: int, fields: Fields, *, local: bool) -> Override | None:
    """Find the override of an answer, `None` when it goes out as it is."""
    shaped = carrier.shaped
    if shaped is None or shaped.rule.traffic.shaping is None:
        return None
    for override in shaped.rule.traffic.shaping.overrides:
        if override.fits(status, fields, local=local):
            return override
    return None


def overridden(carrier: Carrier, override: Override, status: int, fields: Fields, body: str = "") -> Overridden:
    """Make the answer that takes another's place; of that one's fields only `retry-after` stays."""
    kept = [field for field in fields if field[0].lower() == b"retry-after"]
    action, facts = override.action, carrier.facts
    if isinstance(action, OverrideRedirect):
        to = Redirect(
            action.status,
            action.scheme,
            action.hostname,
            action.port,
            None if action.path is None else PathRewrite(action.path),
        )
        port = carrier.connection.port.logical
        _, location = redirect_location(to, carrier.connection.scheme.decode(), facts.authority, port, facts.path)
        return (
            action.status,
            local_fields(b"", b"", ((b"location", location.encode("latin-1", "replace")),)) + kept,
            b"",
        )
    flag = "-" if facts.reply is None else facts.reply.flag
    answered = Answered(status, flag, facts.details, body, facts.method, facts.protocol)
    content = action.text(answered).encode("utf-8", "replace")
    result = local_fields(content, (action.content_type or "text/plain").encode("latin-1", "replace"), ())
    named = {name for name, _ in action.fields}
    result = [field for field in result if field[0] not in named] + list(action.fields)
    return action.status or status, result + [field for field in kept if field[0].lower() not in named], content


def waits_for_the_end(head: ResponseHead) -> bool:
    """Tell whether the rest of an answer that nobody gets is short enough to keep its connection for."""
    return head.bodiless or (head.content_length is not None and head.content_length <= _WORTH_READING)
