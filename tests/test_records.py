"""The frames between proxy and shadow: each comes back as it was sent, and is told from the others."""

from typing import get_args

import msgspec
import pytest

from mirrorgate.records import (
    Compared,
    Configure,
    ExchangeFinished,
    ExchangeStarted,
    FromShadow,
    Leg,
    LegContent,
    LegFinished,
    MirrorsDropped,
    RequestAborted,
    RequestChunk,
    RequestEnd,
    RestoreVerdicts,
    ShadowCounts,
    ShadowDropped,
    ShadowReady,
    Target,
    ToShadow,
    VerdictChanged,
)

TARGET = Target(
    leg=Leg.CONTROL,
    cluster="c",
    ref="Service default/s:8000",
    host="::1",
    port=8000,
    head=[(b"Host", b"example.com"), (b"x-binary", b"\xff")],
    path="/v1/completions",
    model=None,
    timeout=1.5,
    connect_timeout=1.0,
    idle_timeout=1.0,
    max_parallel=4,
    policy=b"{}",
)

TO_SHADOW: list[ToShadow] = [
    Configure("", 1, 2, 3),
    ExchangeStarted(
        "x", 1.0, "POST", "/", "h", "r", 0, "c", "e", None, None, None, [(b"A", b"\xff")], b"\x00\xff", [TARGET], 9
    ),
    ExchangeStarted("x", 1.0, "POST", "/", "h", "r", 0, "c", "e", "m", "t", "v", [], None, [], 9),
    RequestChunk("x", b"\xff"),
    RequestEnd("x"),
    MirrorsDropped({"c": {"queue_full": 3}}),
    RestoreVerdicts([b"\xff"]),
    RequestAborted("x", "killed"),
    ExchangeFinished("x", "complete", 200, "-", [], [b"", b"\xff"], [0.1, 0.2], False, 0.1, 0.2, 0.3, [(b"t", b"v")]),
]
FROM_SHADOW: list[FromShadow] = [
    ShadowReady(7),
    LegFinished("x", Leg.CANDIDATE, "c", "e", "complete", 200, 9, 0.1, None, None, 3, "m", "/"),
    Compared("x", "c", "same", None, "the same", b"{}"),
    ShadowDropped("x", "c", Leg.CANDIDATE, "e", "queue_full", True),
    VerdictChanged("c", b"{}", b"\xff"),
    ShadowCounts(1, 2, 3, 4, 5, 6, 7, 8),
    LegContent(
        "x",
        Leg.CANDIDATE,
        "c",
        "r",
        "e",
        "POST",
        "/",
        None,
        [(b"a", b"b")],
        "complete",
        "",
        200,
        [],
        b"\xff",
        False,
        0.1,
        0.2,
        0.3,
    ),
]


@pytest.mark.parametrize(("frames", "union"), [(TO_SHADOW, ToShadow), (FROM_SHADOW, FromShadow)])
def test_a_frame_comes_back_as_it_was_sent(frames: list[msgspec.Struct], union: object) -> None:
    """Bytes stay bytes, nothing is confused with another kind, and every kind is tried."""
    decoder = msgspec.msgpack.Decoder(union)
    assert [decoder.decode(msgspec.msgpack.encode(frame)) for frame in frames] == frames
    assert {type(frame) for frame in frames} == set(get_args(union))


def test_a_frame_of_the_other_direction_is_refused() -> None:
    """Neither process takes what only it may send."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(ShadowReady(7)), type=ToShadow)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(RequestEnd("x")), type=FromShadow)


def test_a_target_is_not_changed_on_its_way() -> None:
    """One is shared by the frame and the counts of what is in flight."""
    with pytest.raises(AttributeError):
        TARGET.port = 1  # type: ignore[misc]


def test_trailers_are_shared_by_no_two_frames() -> None:
    """The default is a list of its own."""
    one, other = (ExchangeFinished("x", "complete", 200, "-", [], [], [], False, 0.0, 0.0, 0.0) for _ in range(2))
    one.trailers.append((b"a", b"b"))
    assert other.trailers == []
