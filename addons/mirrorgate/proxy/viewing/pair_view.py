"""The content view "Mirrorgate" of mitmweb and the console: on either flow of a pair, the pair."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from mitmproxy import contentviews, flow, http

from ...resources.shadow_policy import ShadowPolicySpec
from .flow_pairs import LEG, NUMBERS, SHADOWS
from .pair_reading import Lookup, pairs_of, read
from .pair_text import text_of

__all__ = ["PairContentview", "pair_text"]

logger = logging.getLogger(__name__)

Policies = Callable[[str], ShadowPolicySpec | None]
"""From a mirror's cluster to its policy, `None` when there is none of that name."""


def pair_text(held: flow.Flow, lookup: Lookup, policies: Policies) -> str | None:
    """Return the text of the pairs that a flow belongs to; `None` when there is none."""
    pairs = pairs_of(held, lookup)
    if not pairs:
        return None
    return text_of([read(pair, policies(pair.mirror)) for pair in pairs])


class PairContentview(contentviews.Contentview):
    """Shows pairs; never raises."""

    def __init__(self, lookup: Lookup, policies: Policies, looked_at: Callable[[flow.Flow], None]) -> None:
        """`looked_at` is told of each flow that a person opens."""
        self._lookup = lookup
        self._policies = policies
        self._looked_at = looked_at

    @property
    def name(self) -> str:
        return "Mirrorgate"

    @property
    def syntax_highlight(self) -> Literal["yaml"]:
        return "yaml"

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        held = metadata.flow
        if held is None:
            return "# This is no exchange."
        try:
            text = pair_text(held, self._lookup, self._policies)
        except Exception as error:
            # A flow may hold anything: it was loaded from a file, or edited.
            logger.debug("the pair of %s cannot be shown", held.id, exc_info=True)
            return f"# This pair cannot be shown: {type(error).__name__}"
        if text is not None:
            return text
        refused = held.metadata.get("mirrorgate.refused")
        if refused:
            return f"# The gateway answered this request by itself.\nrefused: {refused}\n{held.comment}"
        if held.metadata.get(NUMBERS):
            return f"# The shadow's flows are not in the view any more.\nsummary: {held.comment}"
        return "# This exchange was not mirrored, or its comparison is still to come."

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        held = metadata.flow
        if held is None or not isinstance(held, http.HTTPFlow):
            return -1
        self._looked_at(held)
        if metadata.http_message is held.request:
            return -1
        return 2 if held.metadata.get(LEG) or held.metadata.get(SHADOWS) else -1
