"""An inference request, read once from its path and body.

Every request of an inference route passes here, so only what the gateway decides by is decoded; everything else
stays in the body as it came and is judged by the model server. What a gateway must be sure of is refused when it is
wrong: the body is JSON, an object, and its `model` is a string.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import msgspec

from .apis import Api, api_of
from .conversation_keys import conversation_of
from .request_body import UNREADABLE, RequestBody, decode_body, decoded, member, number, string, whole

__all__ = ["BadRequest", "InferenceRequest", "NotInference", "Tool", "parse_request"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client lets the model call."""

    name: str
    schema: bytes | None
    """JSON Schema of its arguments as JSON, `None` when none is declared."""


@dataclass(frozen=True, slots=True)
class NotInference:
    """The request is none of an inference API; it is proxied without being read."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """The request is of an inference API and cannot be understood; the answer is a 400."""

    message: str
    param: str | None = None
    openai_code: str | None = None


class InferenceRequest(msgspec.Struct, frozen=True):
    """What the gateway knows of an inference request.

    What only a mirror, a prefix cache or the shadow process asks about is read from the body when it is asked for.
    """

    api: Api
    model: str | None
    """`None` when the body names none."""
    stream: bool
    include_usage: bool
    """Whether the client asked for usage in its event stream."""
    max_tokens: int | None
    temperature: float | None
    n: int
    """How many choices were asked for, 1 when nothing is said."""
    seed: int | None
    cache_salt: str | None
    """vLLM's separator of prefix caches."""
    body: RequestBody
    """The fields as they came."""

    @property
    def conversation(self) -> str | None:
        """Ties the turns of a conversation together: a hash, `None` when the body has nothing to tie by."""
        return conversation_of(self.api, self.body)

    def prompt(self) -> bytes:
        """Find what a prefix cache is keyed by: `prompt` of a completion, compact JSON of the messages else."""
        return _prompt(self.api, self.body)

    @property
    def json_schema(self) -> bytes | None:
        """The JSON Schema that the answer has to follow, as JSON; `None` when none is asked for."""
        return _asked_format(self.body)[0]

    @property
    def json_mode(self) -> bool:
        """Whether the answer has to be JSON, with or without a schema."""
        return _asked_format(self.body)[1]

    @property
    def tools_json(self) -> bytes:
        """The `tools` array as JSON, empty when there is none; `tools` reads it."""
        return bytes(self.body.tools)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Decode the declared functions; those that cannot be read are left out. Decoded anew at every call."""
        return _tools(self.tools_json)


_any = msgspec.json.Decoder()

_LARGEST = 2**63 - 1

_NUMBERS = ("max_completion_tokens", "max_output_tokens", "max_tokens", "n", "seed", "temperature")
"""The first three are one: the most tokens of an answer, the first that is given."""
_numbers = attrgetter(*_NUMBERS)


def parse_request(
    method: str, path: str, content_type: str | None, body: bytes
) -> InferenceRequest | NotInference | BadRequest:
    """Read an inference request.

    `path` is the request target, query included. Without a `content_type` the body is taken for JSON. Duplicate
    fields: the last one counts, as in Python's and Go's decoders. Never raises.
    """
    api = api_of(path)
    if api is None or method != "POST":
        return NotInference()
    if content_type and not _says_json(content_type):
        return BadRequest("Unsupported Media Type: Only 'application/json' is allowed", None, "unsupported_media_type")
    try:
        if not body.isascii():
            body.decode()
        read = decode_body(body)
    except msgspec.ValidationError as error:
        return _wrong_type(error)
    except RecursionError:
        return BadRequest("The request body is nested too deeply.", None, "invalid_json")
    except UnicodeDecodeError as error:
        return BadRequest(f"The request body is not valid UTF-8 (byte {error.start}).", None, "invalid_json")
    except msgspec.DecodeError as error:
        detail = "it is empty" if not body else str(error).removeprefix("JSON is malformed: ")
        return BadRequest(f"We could not parse the JSON body of your request: {detail}.", None, "invalid_json")
    return _understood(api, read)


def _understood(api: Api, read: RequestBody) -> InferenceRequest | BadRequest:
    given: dict[str, float] = {}
    numbers = _numbers(read)
    for param, raw in zip(_NUMBERS, numbers, strict=True) if any(numbers) else ():
        if not raw or (value := number(raw)) is None:
            continue
        if not -_LARGEST <= value <= _LARGEST:
            return BadRequest(f"Invalid value for '{param}': the number is out of range.", param, "invalid_value")
        given[param] = value
    most = next((given[param] for param in _NUMBERS[:3] if param in given), None) if given else None
    return InferenceRequest(
        api=api,
        model=read.model,
        stream=bool(read.stream) and bytes(read.stream) == b"true",
        include_usage=bool(read.stream_options) and member(read.stream_options, "include_usage") is True,
        max_tokens=whole(most),
        temperature=given.get("temperature"),
        n=max(1, whole(given.get("n")) or 1) if given else 1,
        seed=whole(given.get("seed")) if given else None,
        cache_salt=string(read.cache_salt) if read.cache_salt else None,
        body=read,
    )


def _says_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def _wrong_type(error: msgspec.ValidationError) -> BadRequest:
    """Word a type error as OpenAI does, from msgspec's text: Expected `str | null`, got `int` - at `$.model`."""
    got = str(error).partition("got `")[2].partition("`")[0] or "another type"
    if "$.model" in str(error):
        return BadRequest(f"Invalid type for 'model': expected a string, but got {got}.", "model", "invalid_type")
    return BadRequest(f"The request body must be a JSON object, but got {got}.", None, "invalid_type")


def _prompt(api: Api, read: RequestBody) -> bytes:
    raw = {
        Api.CHAT: read.messages,
        Api.MESSAGES: read.messages,
        Api.COMPLETIONS: read.prompt,
        Api.RESPONSES: read.input,
        Api.EMBEDDINGS: read.input,
    }[api]
    if not raw:
        return b""
    if bytes(memoryview(raw)[:1]) == b'"':
        text = string(raw)
        if text is not None:
            return text.encode()
    try:
        return msgspec.json.format(bytes(raw), indent=-1)
    except UNREADABLE:
        return bytes(raw)


def _asked_format(read: RequestBody) -> tuple[bytes | None, bool]:
    """Find the schema in `response_format` (chat) or `text.format` (responses), and whether JSON is asked for."""
    chosen = decoded(read.response_format)
    if not isinstance(chosen, dict):
        chosen = member(read.text, "format")
    if not isinstance(chosen, dict):
        return None, False
    kind = chosen.get("type")
    if kind == "json_object":
        return None, True
    if kind != "json_schema":
        return None, False
    holder = chosen.get("json_schema", chosen)
    schema = holder.get("schema") if isinstance(holder, dict) else None
    return (msgspec.json.encode(schema) if isinstance(schema, dict) else None), True


def _tools(raw: bytes) -> tuple[Tool, ...]:
    try:
        declared = _any.decode(raw) if raw else []
    except UNREADABLE:
        return ()
    found: list[Tool] = []
    for entry in declared if isinstance(declared, list) else []:
        if not isinstance(entry, dict):
            continue
        function = entry.get("function")
        holder = function if isinstance(function, dict) else entry
        name = holder.get("name")
        schema = holder.get("parameters", holder.get("input_schema"))
        if isinstance(name, str):
            found.append(Tool(name, msgspec.json.encode(schema) if isinstance(schema, dict) else None))
    return tuple(found)
