"""Our own journal as a capture: what the client asked, and the primary's answer, where the content was kept.

The journal keeps what was said and not the bytes, so an answer is written anew in the shape of its API, with the time
of its first and of its last piece. Records kept without content have nothing to send.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ..inference.apis import Api, api_of
from ..shadow.journal_reading import Damaged, Record, read
from .captured import Captured, Item, Passed, Recorded, Skip

__all__ = ["read_journal"]

_CUT: Final = "…"
"""Ends a text that the journal has cut."""
_CUT_LENGTH: Final = 256 * 1024


def read_journal(path: Path) -> Iterator[Item]:
    """Yield the exchanges of a journal's folder or file, each once, whatever the number of its mirrors."""
    last: tuple[object, object] | None = None
    for record in read([path]):
        if isinstance(record, Damaged):
            yield Passed(Skip.DAMAGED)
        if not isinstance(record, Record):
            continue
        value = record.value
        key = (value.get("run"), value.get("id"))
        if key == last:
            continue  # a second mirror of the same exchange stands beside the first
        last = key
        try:
            yield _captured(value)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            yield Passed(Skip.DAMAGED)


def _captured(value: dict[str, Any]) -> Item:
    kept = value["policy"]["content"]
    if kept == "none":
        return Passed(Skip.NO_CONTENT)
    request = value["request"]
    body = request.get("body")
    if body is None and request.get("bytes") != 0:
        return Passed(Skip.NO_REQUEST_BODY)
    if isinstance(body, str) and len(body) > _CUT_LENGTH and body.endswith(_CUT):
        return Passed(Skip.NO_REQUEST_BODY)
    path = request["path"]
    primary = value["primary"]
    answer: Recorded | Skip
    if kept != "full":
        answer = Skip.REDACTED
    elif primary["outcome"] == "client_left":
        answer = Skip.CLIENT_LEFT
    elif primary["outcome"] == "local_reply":
        answer = Skip.REFUSED
    else:
        answer = _recorded(api_of(path), primary) or Skip.NO_ANSWER
    return Captured(
        id=str(value["id"]),
        method=str(request["method"]),
        path=path,
        host=str(request.get("host") or ""),
        headers=[(b"content-type", b"application/json")],
        body=b"" if body is None else body.encode() if isinstance(body, str) else msgspec.json.encode(body),
        started=float(value["started"]),
        answer=answer if isinstance(answer, Recorded) else None,
        endpoint=str(primary.get("endpoint") or ""),
        target_model=request.get("target_model") if request.get("target_model") != request.get("model") else None,
        unanswered=answer if isinstance(answer, Skip) else Skip.NO_ANSWER,
    )


def _recorded(api: Api | None, leg: dict[str, Any]) -> Recorded | None:
    """Write the primary's answer anew; `None` where what was kept of it is not enough."""
    if leg.get("truncated"):
        return None
    value, content = leg.get("value"), leg.get("content")
    choices: list[dict[str, Any]] = leg.get("choices") or []
    if any(str(choice.get(part) or "").endswith(_CUT) for choice in choices for part in ("text", "reasoning")):
        return None
    usage = {name: count for name, count in (leg.get("usage") or {}).items() if count is not None}
    written: tuple[str, list[bytes]]
    if choices:
        if api in (Api.CHAT, Api.COMPLETIONS) and leg.get("streamed"):
            written = "text/event-stream", _stream(api, leg, choices, usage)
        elif api is not None:
            written = "application/json", [msgspec.json.encode(_whole(api, leg, choices, usage))]
        else:
            return None
    elif leg.get("shape") == "embeddings" or (value is None and not content and leg.get("bytes")):
        return None
    elif value is not None:
        written = "application/json", [msgspec.json.encode(value)]
    else:
        written = "application/octet-stream", [content.encode()] if content else []
    connect, e2e = leg.get("connect") or 0.0, leg.get("e2e")
    times = [] if e2e is None else [connect + e2e] * len(written[1])
    if len(times) > 1 and leg.get("ttft") is not None:
        times[0] = connect + leg["ttft"]
    head = leg.get("head")
    return Recorded(
        status=int(leg["status"]),
        headers=[(b"content-type", written[0].encode())],
        chunks=written[1],
        times=times,
        outcome=str(leg["outcome"]),
        flag=str(leg.get("flag") or "-"),
        upstream_started=connect,
        head_at=0.0 if head is None else connect + head,
        finished=connect + (e2e or 0.0),
    )


def _stream(api: Api, leg: dict[str, Any], choices: list[dict[str, Any]], usage: dict[str, Any]) -> list[bytes]:
    """Write an event stream of two pieces: what was said, and its end."""
    said, ends = [], []
    for choice in choices:
        index = choice.get("index", 0)
        if api is Api.CHAT:
            calls = [dict(call, index=place) for place, call in enumerate(_calls(choice))]
            delta = {**_message(choice), **({"tool_calls": calls} if calls else {})}
            said.append({"index": index, "delta": delta, "finish_reason": None})
            ends.append({"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")})
        else:
            said.append({"index": index, "text": choice.get("text") or "", "finish_reason": None})
            ends.append({"index": index, "text": "", "finish_reason": choice.get("finish_reason")})
    kind = "chat.completion.chunk" if api is Api.CHAT else "text_completion"
    first: dict[str, Any] = {"object": kind, "model": leg.get("model"), "choices": said}
    last: dict[str, Any] = {"object": kind, "model": leg.get("model"), "choices": ends}
    events = [b"data: %b\n\n" % msgspec.json.encode(first), b"data: %b\n\n" % msgspec.json.encode(last)]
    if usage:
        events[1] += b"data: %b\n\n" % msgspec.json.encode(last | {"choices": [], "usage": usage})
    if not leg.get("broken"):
        events[1] += b"data: [DONE]\n\n"
    return events


def _whole(api: Api, leg: dict[str, Any], choices: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    """Write a whole answer in the shape of its API."""
    model = leg.get("model")
    if api is Api.CHAT:
        messages = [_message(each) | ({"tool_calls": _calls(each)} if _calls(each) else {}) for each in choices]
        listed = [
            {"index": each.get("index", 0), "message": message, "finish_reason": each.get("finish_reason")}
            for each, message in zip(choices, messages, strict=True)
        ]
        return {"object": "chat.completion", "model": model, "choices": listed, "usage": usage}
    if api is Api.COMPLETIONS:
        texts = [
            {"index": each.get("index", 0), "text": each.get("text") or "", "finish_reason": each.get("finish_reason")}
            for each in choices
        ]
        return {"object": "text_completion", "model": model, "choices": texts, "usage": usage}
    tokens = {"input_tokens": usage.get("prompt_tokens", 0), "output_tokens": usage.get("completion_tokens", 0)}
    only = choices[0]
    if api is Api.MESSAGES:
        content = [{"type": "text", "text": only["text"]}] if only.get("text") else []
        content += [
            {"type": "tool_use", "id": f"call-{place}", "name": call["name"], "input": _arguments(call["arguments"])}
            for place, call in enumerate(only.get("calls") or [])
        ]
        stop = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
        reason = stop.get(str(only.get("finish_reason")), only.get("finish_reason"))
        return {"type": "message", "model": model, "content": content, "stop_reason": reason, "usage": tokens}
    output: list[dict[str, Any]] = []
    if only.get("text") or only.get("refusal"):
        part = {"type": "refusal", "refusal": only["refusal"]} if only.get("refusal") else None
        part = part or {"type": "output_text", "text": only["text"]}
        output.append({"type": "message", "role": "assistant", "content": [part]})
    output += [{"type": "function_call", "call_id": "call", **call} for call in only.get("calls") or []]
    status = "incomplete" if only.get("finish_reason") == "length" else "completed"
    details = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "object": "response", "model": model, "status": status, "incomplete_details": details, "output": output,
        "usage": tokens,
    }  # fmt: skip


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.get("text") or None}
    if choice.get("reasoning"):
        message["reasoning_content"] = choice["reasoning"]
    if choice.get("refusal"):
        message["refusal"] = choice["refusal"]
    return message


def _calls(choice: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": f"call-{place}", "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for place, call in enumerate(choice.get("calls") or [])
    ]


def _arguments(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text
