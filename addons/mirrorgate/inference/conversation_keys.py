"""What ties the turns of a conversation together, found in a request by itself."""

from __future__ import annotations

import hashlib

import msgspec

from .apis import Api
from .request_body import UNREADABLE, RequestBody, decoded, member, string

__all__ = ["conversation_of"]


class _Turn(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")


_turns = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)


def conversation_of(api: Api, read: RequestBody) -> str | None:
    """Hash what stays the same over the turns of a conversation.

    An explicit id wins: `metadata.conversation_id` and its kin. Else it is the system prompt with the first
    message of the user, which every later turn repeats. `user` separates end users either way. Completions and
    embeddings without an id are conversations of their own: `None`.
    """
    user = string(read.user) or ""
    explicit = _explicit_conversation(read)
    if explicit is not None:
        return _hash("id", user, explicit)
    if api in (Api.CHAT, Api.MESSAGES):
        return _opening(bytes(read.system), user, read.messages)
    if api is Api.RESPONSES:
        return _opening(bytes(read.instructions), user, read.input)
    return None


def _explicit_conversation(read: RequestBody) -> str | None:
    for raw in (read.conversation_id, read.session_id, read.prompt_cache_key, read.conversation):
        if raw:
            value = decoded(raw)
            if isinstance(value, dict):
                value = value.get("id")
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
    for raw in (read.metadata, read.session_params):
        if raw:
            for name in ("conversation_id", "session_id"):
                value = member(raw, name)
                if isinstance(value, str) and value:
                    return value
    return None


def _opening(system: bytes, user: str, messages: msgspec.Raw) -> str | None:
    if not messages:
        return None
    try:
        turns = _turns.decode(messages)
    except UNREADABLE:
        return _hash("text", user, system, bytes(messages))
    parts: list[str | bytes] = [system]
    for raw in turns:
        try:
            turn = _turn.decode(raw)
        except UNREADABLE:
            continue
        if turn.role in ("system", "developer", "user"):
            parts.append(bytes(turn.content))
        if turn.role == "user":
            return _hash("opening", user, *parts)
    return None


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
