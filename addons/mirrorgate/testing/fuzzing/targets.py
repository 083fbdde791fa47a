"""What is fuzzed: each target takes any bytes and raises for a defect alone.

A target asks for more than no exception: what is cut elsewhere must mean the same, what is told must be canonical, and
what is normal must stay as it is.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ...inference.apis import Api
from ...inference.assembling import assemble
from ...inference.requests import parse_request
from ...inference.sse import Event, EventDecoder
from ...proxy.messages.heads import Fields, Malformed, RequestHead, ResponseHead
from ...proxy.messages.http1 import MAX_HEADER_FIELDS, RequestReader
from ...proxy.messages.http1_answers import ResponseReader
from ...replay.batch_source import read_batch
from ...replay.gor_source import read_gor
from ...replay.har_source import read_har
from ...replay.journal_source import read_journal
from ...resources.loading import Document, load
from ...routing.paths import normalize
from ...shadow.journal_reading import read
from ...snapshot import Snapshot

__all__ = ["TARGETS", "Target"]

type Target = Callable[[bytes], None]

_MAX_HEAD = 1 << 20
"""Above every input: how bytes are cut may decide when this limit is met, and nothing else."""


class _Sink:
    """Notes what a reader tells, with pieces of a body joined."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.body: list[bytes] = []
        self.open = False
        """Whether a message is under way."""

    def request_head(self, head: RequestHead) -> None:
        assert not {10, 13} & set(head.path + head.authority)
        assert head.path == b"*" or head.path.startswith(b"/")
        assert sum(name.lower() == b"host" for name, _ in head.fields) <= 1
        self._head(head, head.method, head.path, head.authority)

    def response_head(self, head: ResponseHead) -> None:
        assert 100 <= head.status <= 999
        self._head(head, head.status)

    def request_body(self, data: bytes) -> None:
        assert self.open
        self.body.append(data)

    response_body = request_body

    def request_end(self, trailers: Fields) -> None:
        assert self.open
        _plain(trailers)
        self.open = False
        self.events.append(("end", b"".join(self.body), trailers))

    response_end = request_end

    def _head(self, head: RequestHead | ResponseHead, *more: object) -> None:
        assert not self.open
        assert not (head.chunked and head.content_length is not None)
        _plain(head.fields)
        self.open = True
        self.body = []
        self.events.append(("head", *more, head.fields, head.content_length, head.chunked))


def _plain(fields: Fields) -> None:
    assert len(fields) <= MAX_HEADER_FIELDS
    for name, value in fields:
        assert name
        assert not set(name) & set(b"\r\n\0: \t")
        assert not set(value) & set(b"\r\n\0")


def _requests(pieces: Iterable[bytes]) -> tuple[list[tuple[object, ...]], bool]:
    sink = _Sink()
    reader = RequestReader(sink, _MAX_HEAD)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Malformed:
        return sink.events, True
    return [*sink.events, ("held", reader.held)], False


def requests(data: bytes) -> None:
    """Read requests of one client, whole and byte by byte; what is told is the same."""
    whole = _requests([data])
    cut = _requests(data[i : i + 1] for i in range(len(data)))
    assert whole == cut, (whole, cut)


def _answers(pieces: Iterable[bytes], head: bool) -> list[tuple[object, ...]]:
    sink = _Sink()
    reader = ResponseReader(sink, _MAX_HEAD)
    reader.begin(head=head)
    try:
        for piece in pieces:
            reader.feed(piece)
            if sink.events and (not sink.open or sink.events[0][1] == 101):
                return sink.events
    except Malformed:
        assert not reader.keep_alive
        return [*sink.events, ("malformed",)]
    reader.eof()
    return sink.events


def answers(data: bytes) -> None:
    """Read the answer to one request; the first byte says whether that was HEAD.

    By the byte, reading stops at the answer's end; at once, what stands behind it may make it malformed.
    """
    head, data = data[:1] == b"H", data[1:]
    whole = _answers([data], head)
    cut = _answers((data[i : i + 1] for i in range(len(data))), head)
    if whole != cut:
        assert whole[-1] == ("malformed",), (whole, cut)
        assert whole[:-1] == cut[: len(whole) - 1], (whole, cut)


def _events(pieces: Iterable[bytes]) -> list[Event]:
    decoder = EventDecoder(1 << 16)
    return [event for piece in pieces for event in decoder.feed(piece)]


def events(data: bytes) -> None:
    """Decode an event stream, whole and byte by byte, and assemble it as every API's answer."""
    assert _events([data]) == _events(data[i : i + 1] for i in range(len(data)))
    third = len(data) // 3
    pieces = [data[:third], data[third : 2 * third], data[2 * third :]]
    for api in (None, *Api):
        for media in ("text/event-stream", "application/json"):
            one = assemble(api, 200, media, None, [data], [1.0], 0.5)
            several = assemble(api, 200, media, None, pieces, [1.0, 1.0, 1.0], 0.5)
            assert repr((one.choices, one.usage, one.done)) == repr((several.choices, several.usage, several.done))
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "odd"):
        assemble(Api.CHAT, 200, "text/event-stream", coding, pieces, [1.0], 0.5, max_bytes=1 << 20)


def inference(data: bytes) -> None:
    """Understand a request's body as every API's."""
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/x"):
        parse_request("POST", path, "application/json", data)


def paths(data: bytes) -> None:
    """Normalise a request target: doing so twice changes nothing, and nothing is left to walk around a rule with."""
    normal = normalize(data.decode("latin-1"))
    if normal is None:
        return
    assert normalize(normal) == normal
    path = normal.partition("?")[0]
    assert path.startswith("/")
    assert not {"..", ".", ""} & set(path.split("/")[1:-1])
    assert path.rpartition("/")[2] not in ("..", ".")
    assert "\\" not in path
    assert not {"%2f", "%5c", "%2e", "%00"} & {path[i : i + 3].lower() for i in range(len(path))}


def manifests(data: bytes) -> None:
    """Load manifests and compile them: problems, never an exception."""
    loaded = load([Document("fuzzed.yaml", data.decode("utf-8", "replace"))])
    for problem in loaded.problems:
        str(problem)
    Snapshot.of(loaded.inventory, 1)


def journals(data: bytes) -> None:
    """Read a journal's file, as the report does and as replay does."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        for _ in read([Path(file.name)]):
            pass
        for _ in read_journal(Path(file.name)):
            pass


def captures(data: bytes) -> None:
    """Read an archive, GoReplay's file and a batch's requests."""
    for reader in (read_har, read_gor, read_batch):
        for _ in reader(io.BytesIO(data)):
            pass


TARGETS: Mapping[str, Target] = {
    "requests": requests,
    "answers": answers,
    "events": events,
    "inference": inference,
    "paths": paths,
    "manifests": manifests,
    "journals": journals,
    "captures": captures,
}
"""By their names, which are those of the folders of the corpus."""
