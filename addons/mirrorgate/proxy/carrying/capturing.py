"""Captures exchanges for `mirrorgate replay` and for mitmproxy: each flow whole, with the times of its pieces.

mitmproxy's own `save_stream_file` writes inside the `response` hook, leaves out streamed bodies, and ends the process
when the disk fails (measured). Here nothing waits for the disk: bodies are references kept while there is room, a
finished flow goes to a thread, and what does not fit or cannot be written is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mitmproxy.io import tnetstring

from .capture_file import CaptureFile
from .mirroring import outcome_of

if TYPE_CHECKING:
    from .carrier import Carrier

__all__ = ["KEY", "Capture", "Tape"]

logger = logging.getLogger(__name__)

KEY: Final = "mirrorgate.capture"
"""Under this name a flow's metadata holds what mitmproxy's format has no field for; `docs/replay.md` lists it."""

_ROOM: Final = 128 * 1024 * 1024
"""Bytes of bodies that all exchanges under way and all flows that wait for the disk may hold."""
_BODY: Final = 16 * 1024 * 1024
"""Bytes of one body; a larger one is left out."""
_PIECES: Final = 1 << 17
"""Pieces of one body whose times are kept."""
_RETRY_SECONDS: Final = 1.0
"""A flow that the disk refuses is dropped; this long the next ones are not tried."""


class Tape:
    """What is kept of one exchange while it is under way: the bodies that stream, and when their pieces came."""

    __slots__ = ("_began", "_capture", "answered", "held", "lengths", "micros", "truncated", "upload_cut", "uploaded")

    def __init__(self, capture: Capture, began: float) -> None:
        self._capture = capture
        self._began = began
        self.uploaded: list[bytes] = []
        self.answered: list[bytes] = []
        self.lengths: list[int] = []
        self.micros: list[int] = []
        """Arrival of each piece, microseconds since the exchange's start."""
        self.held = 0
        self.upload_cut = False
        self.truncated = False

    def upload(self, piece: bytes) -> None:
        """Keep a piece of a request that streams."""
        if not self.upload_cut:
            if self._keep(len(piece)):
                self.uploaded.append(piece)
            else:
                self.upload_cut = True
                self.uploaded.clear()

    def answer(self, pieces: list[bytes]) -> None:
        """Keep pieces of the answer, which came now."""
        if self.truncated:
            return
        at = int((time.monotonic() - self._began) * 1_000_000)
        for piece in pieces:
            if len(self.lengths) >= _PIECES or not self._keep(len(piece)):
                self.truncated = True
                self.answered.clear()
                return
            self.answered.append(piece)
            self.lengths.append(len(piece))
            self.micros.append(at)

    def finish(self, carrier: Carrier) -> None:
        """Hand the exchange over to the capture, which may have ended meanwhile."""
        self._capture.take(carrier, self)

    def _keep(self, size: int) -> bool:
        if self.held + size > _BODY or not self._capture.reserve(size):
            return False
        self.held += size
        return True


class Capture:
    """Writes finished exchanges to a file. `begin` and `take` are called by the event loop and never wait or raise."""

    def __init__(self, path: str, *, room: int = _ROOM, open_file: Callable[[str], CaptureFile] | None = None) -> None:
        """Raises OSError or ValueError when the file cannot be opened, or is not one of flows."""
        self.path = path
        self.counts = {"written": 0, "no_room": 0, "disk": 0, "unwritable": 0, "closed": 0}
        """Flows by what became of them: no room while the disk was slow, refused by the disk, metadata of another addon
        that mitmproxy's format cannot hold, left at the end."""
        self.cut_bodies = 0
        """Bodies that were left out because they, or all together, were too large."""
        self._room = room
        self._file = (open_file or (lambda name: CaptureFile(name, time.time)))(path)
        self._added = 0
        self._gone = 0
        """Bytes that are held no more. Two counters, each written by one thread, so that no lock is needed."""
        self._returned = 0
        self._tapes = 0
        """Exchanges that began and have not ended."""
        self._waiting: deque[tuple[dict[str, Any], int]] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline = 0.0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Bytes held now, by tapes and by flows that wait."""
        return self._added - self._gone - self._returned

    @property
    def over(self) -> bool:
        """Whether nothing is counted any more: the file is closed, and every exchange that began has ended."""
        return not self._tapes and not self._thread.is_alive()

    def begin(self, began: float) -> Tape:
        """Begin to keep one exchange, which started at this instant of the monotonic clock."""
        self._tapes += 1
        return Tape(self, began)

    def reserve(self, size: int) -> bool:
        """Count bytes; false when there is no room for them."""
        if self.held + size > self._room:
            return False
        self._added += size
        return True

    def take(self, carrier: Carrier, tape: Tape) -> None:
        """Hand a finished exchange over. What clients replay is no traffic and is left out."""
        self._tapes -= 1
        if carrier.flow.is_replay is not None:
            self._returned += tape.held
            return
        state = _state(carrier, tape)
        self.cut_bodies += tape.truncated + tape.upload_cut
        size = sum(len((state[part] or {}).get("content") or b"") for part in ("request", "response")) + 4096
        self._returned += tape.held
        if self._closing.is_set() or not self.reserve(size):
            self.counts["closed" if self._closing.is_set() else "no_room"] += 1
            return
        self._waiting.append((state, size))
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Write what waits, for `timeout` seconds at most; what is left then is dropped."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout + 1.0)

    def _run(self) -> None:
        retry_at = 0.0
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                state, size = self._waiting.popleft()
                if self._closing.is_set() and time.monotonic() > self._deadline:
                    self.counts["closed"] += 1
                elif time.monotonic() < retry_at:
                    self.counts["disk"] += 1
                elif not self._written(state):
                    retry_at = time.monotonic() + _RETRY_SECONDS
                self._gone += size
            if self._closing.is_set() and not self._waiting:
                break
        self._file.close()

    def _written(self, state: dict[str, Any]) -> bool:
        """Write one flow; false when the disk did not take it."""
        try:
            record = tnetstring.dumps(state)
        except (ValueError, RecursionError):
            self.counts["unwritable"] += 1
            return True
        try:
            self._file.append(record)
        except (OSError, ValueError) as error:
            self.counts["disk"] += 1
            if not self._failing:
                self._failing = True
                logger.error("the capture %s cannot be written (%s); flows are dropped until it can", self.path, error)
            return False
        self.counts["written"] += 1
        if self._failing:
            self._failing = False
            logger.warning("the capture %s is written again; %d flows were lost", self.path, self.counts["disk"])
        return True


def _state(carrier: Carrier, tape: Tape) -> dict[str, Any]:
    """Return the flow as mitmproxy saves it, with the bodies that streamed; the live flow stays as it is."""
    flow, facts = carrier.seen(), carrier.facts
    state: dict[str, Any] = flow.get_state()
    request, response = state["request"], state["response"]
    if tape.uploaded and request["content"] is None:
        request["content"] = b"".join(tape.uploaded)
    if request["content"] is None and not tape.upload_cut:
        request["content"] = b""
    streamed = response is not None and response["content"] is None
    if response is not None and streamed and not tape.truncated:
        response["content"] = b"".join(tape.answered)
    whole = response is not None and response["content"] is not None
    kept = whole and sum(tape.lengths) == len(response["content"])
    state["metadata"] = {
        **state["metadata"],
        KEY: {
            "started": facts.started,
            "upstream_started": facts.started + (facts.overhead or 0.0) + facts.queued,
            "head_at": None if facts.head_at is None else facts.unix(facts.head_at),
            "outcome": outcome_of(carrier),
            "flag": facts.reply.flag if facts.reply else "-",
            "route": facts.route,
            "cluster": facts.cluster,
            "endpoint": facts.endpoint,
            "model": facts.model,
            "target_model": facts.target_model,
            "answer_left_out": response is not None and not whole,
            "request_left_out": tape.upload_cut,
            "lengths": tape.lengths if kept else [],
            "micros": tape.micros if kept else [],
        },
    }
    return state
