import pytest

from mirrorgate.inference.apis import Api, api_of


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", Api.CHAT),
        ("/v1/completions", Api.COMPLETIONS),
        ("/v1/responses", Api.RESPONSES),
        ("/v1/messages", Api.MESSAGES),
        ("/v1/embeddings", Api.EMBEDDINGS),
        ("/openai/v1/chat/completions", Api.CHAT),
        ("/a/v1/b/v1/completions?x=/v1/messages", Api.COMPLETIONS),
        ("/v1/chat/completions/", None),
        ("/v1/models", None),
        ("/chat/completions", None),
        ("/", None),
        ("", None),
        ("*", None),
    ],
)
def test_api_is_named_by_the_end_of_the_path(path: str, api: Api | None) -> None:
    """Any prefix is accepted, the query is not looked at, anything else is no inference API."""
    assert api_of(path) is api
