"""OpenAI batch files."""

import io
import json

from mirrorgate.replay.batch_source import read_batch
from mirrorgate.replay.captured import Captured, Passed


def test_the_lines_of_a_batch() -> None:
    """Each line is a request without time and answer; other lines are passed by."""
    line = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}
    data = b"\n".join([json.dumps(line).encode(), b"", b"{}", b"no json", b'{"custom_id": 3, "url": "/"}'])
    first, *rest = read_batch(io.BytesIO(data))
    assert isinstance(first, Captured)
    assert (first.id, first.method, first.path, first.started) == ("r-1", "POST", "/v1/chat/completions", None)
    assert json.loads(first.body) == {"model": "m"}
    assert [type(each) for each in rest] == [Passed] * 3


def test_a_whole_url_is_cut_to_its_path() -> None:
    """Some tools write the server's address too."""
    line = json.dumps({"custom_id": "a", "url": "https://api.test/v1/embeddings", "body": {}}).encode()
    [entry] = read_batch(io.BytesIO(line))
    assert isinstance(entry, Captured)
    assert entry.path == "/v1/embeddings"
