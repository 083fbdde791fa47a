from typing import Any

import msgspec
import pytest

from mirrorgate.inference.apis import Api
from mirrorgate.inference.conversation_keys import conversation_of
from mirrorgate.inference.request_body import decode_body


def key(api: Api = Api.CHAT, **fields: Any) -> str | None:
    return conversation_of(api, decode_body(msgspec.json.encode(fields)))


USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("api", "field", "system"),
    [(Api.MESSAGES, "messages", "system"), (Api.RESPONSES, "input", "instructions"), (Api.CHAT, "messages", "user")],
)
def test_every_api_with_turns_has_a_key(api: Api, field: str, system: str) -> None:
    """It stays over the turns and depends on what frames them."""
    first = key(api, **{field: [USER], system: "s"})
    assert first is not None
    assert key(api, **{field: [USER, ANSWER, USER], system: "s"}) == first
    assert key(api, **{field: [USER], system: "t"}) != first


def test_what_has_no_opening_has_no_key() -> None:
    """A conversation that begins with the assistant cannot be told by its first question."""
    assert key(messages=[]) is None
    assert key(messages=[ANSWER]) is None
    assert key() is None
    assert key(messages=[7, None, USER]) == key(messages=[USER])


def test_a_text_input_is_its_own_opening() -> None:
    """The Responses API takes a bare string."""
    assert key(Api.RESPONSES, input="a") == key(Api.RESPONSES, input="a")
    assert key(Api.RESPONSES, input="a") != key(Api.RESPONSES, input="b")


def test_empty_and_odd_ids_do_not_count() -> None:
    """They name nothing."""
    for odd in ("", None, True, [], {"id": ""}, 1.5):
        assert key(messages=[USER], session_id=odd) == key(messages=[USER])
    assert key(messages=[USER], metadata={"conversation_id": ""}) == key(messages=[USER])
    assert key(messages=[USER], session_id=7) == key(session_id="7")
