"""What one HTTP/2 connection of a client may ask for: defences against floods that the protocol itself allows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Allowance", "Http2Limits"]


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Limits of a client's HTTP/2 connection. An excess of streams costs the stream, all others the connection.

    Beside these the library bounds a head's CONTINUATION frames (64) and what HPACK may unfold to (twice the largest
    head), and the frames that it answers by itself are counted as control frames.
    """

    streams: int = 100
    """Requests at a time (SETTINGS_MAX_CONCURRENT_STREAMS); RFC 9113 advises no fewer."""
    stream_window: int = 256 * 1024
    """Bytes of a request that are taken before somebody asks for more of it."""
    window: int = 1024 * 1024
    """The same over all requests of the connection, which bounds the memory that it can fill."""
    resets: int = 500
    """Requests that a client may give up at once before their answers: rapid reset (CVE-2023-44487). Envoy tolerates
    as many."""
    resets_per_second: float = 50.0
    controls: int = 1000
    """Frames at once that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, and DATA without data (CVE-2019-9512,
    -9513, -9515, -9517, -9518). Each frame of an answer earns two more, since clients grant windows for those."""
    controls_per_second: float = 100.0


class Allowance:
    """A bucket of so many tokens, which fills again by the second. Times are monotonic seconds."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, most: float, rate: float, now: float) -> None:
        self._most = self._left = most
        self._rate = rate
        self._at = now

    def spend(self, now: float) -> bool:
        """Take a token. Whether there was one."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def earn(self, tokens: float) -> None:
        """Add tokens, up to the bucket's size."""
        self._left = min(self._most, self._left + tokens)
