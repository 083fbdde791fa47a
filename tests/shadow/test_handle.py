"""The last frame always fits its room."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.records import ExchangeFinished
from mirrorgate.shadow.frames import encode
from mirrorgate.shadow.handle import FINISH_ROOM, fitted

header = st.tuples(st.binary(max_size=300), st.binary(max_size=3000))


@given(
    st.lists(st.integers(0, 70_000), max_size=12),
    st.integers(0, 200_000),
    st.lists(header, max_size=6),
    st.lists(header, max_size=3),
    st.text(st.characters(codec="utf-8"), max_size=60),
)
def test_an_encoded_answer_never_exceeds_its_room(
    sizes: list[int], reserved: int, headers: list[Any], trailers: list[Any], id: str
) -> None:
    """Any answer is cut to its room, keeps its beginning, and says whether it was cut."""
    chunks = [bytes([i]) * size for i, size in enumerate(sizes)]
    frame = ExchangeFinished(
        id=id,
        outcome="complete",
        status=200,
        flag="-",
        headers=headers,
        chunks=chunks,
        times=[i / 7 for i in range(len(chunks))],
        truncated=False,
        upstream_started=0.1,
        head_at=0.2,
        finished=3.0,
        trailers=trailers,
    )
    cut = fitted(frame, reserved + FINISH_ROOM)
    assert sum(map(len, encode(cut))) <= reserved + FINISH_ROOM
    whole, kept = b"".join(chunks), b"".join(cut.chunks)
    assert whole.startswith(kept)
    assert len(cut.times) == len(cut.chunks)
    assert cut.truncated is (kept != whole or len(cut.chunks) != len(chunks))
    assert cut.headers == headers[: len(cut.headers)]


def test_an_answer_that_fits_is_passed_on_as_it_is() -> None:
    """Nothing is copied when nothing is cut."""
    frame = ExchangeFinished("a", "complete", 200, "-", [], [b"abc"], [1.0], False, 0.0, 0.0, 1.0)
    assert fitted(frame, FINISH_ROOM + 100) is frame
