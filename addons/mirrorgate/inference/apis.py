"""The inference APIs that Mirrorgate understands, told apart by the end of the path."""

from __future__ import annotations

import enum

__all__ = ["Api", "api_of"]


class Api(enum.StrEnum):
    """An API shape; the value is the path below its version."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"


_BY_TAIL = {f"/v1/{api.value}": api for api in Api}


def api_of(path: str) -> Api | None:
    """Name the API of a request target, `None` when it is no inference API.

    Any prefix before `/v1/` is accepted, since gateways mount model servers under paths of their own. The query is
    ignored. The match is exact otherwise, as in vLLM: a trailing slash is another resource.
    """
    end = path.find("?")
    if end >= 0:
        path = path[:end]
    start = path.rfind("/v1/")
    return _BY_TAIL.get(path[start:]) if start >= 0 else None
