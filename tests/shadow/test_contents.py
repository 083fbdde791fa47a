"""What a person sees of the shadow legs: bounded, and without credentials."""

from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.records import ExchangeFinished, ExchangeStarted, Leg, Target
from mirrorgate.shadow.answering import Answer, LegOutcome
from mirrorgate.shadow.contents import contents_of
from mirrorgate.shadow.pairing import Pair


def _target(leg: Leg, cluster: str) -> Target:
    head = [(b"host", b"h"), (b"Authorization", b"Bearer secret")]
    return Target(leg, cluster, "Service s", "10.0.0.1", 80, head, "/v1", "m2", 1.0, 1.0, 1.0, 1, b"{}")


def _pair(index: int, answer: Answer, *targets: Target, control: int | None = None) -> Pair:
    started = ExchangeStarted(
        "id", 1.0, "POST", "/v1", "h", "a/b", 0, "c", "e:1", "m", "m", None, [], b"{}", list(targets), 0
    )
    finished = ExchangeFinished("id", "complete", 200, "-", [], [], [], False, 0.0, 0.0, 0.0)
    again = None if control is None else targets[control]
    asked = None if control is None else Answer(LegOutcome.COMPLETE, 200)
    return Pair(1, started, finished, index, answer, again, asked)


def test_credentials_are_left_out() -> None:
    """Neither the request's nor the answer's fields that speak for somebody are shown."""
    answer = Answer(LegOutcome.COMPLETE, 200, [(b"Set-Cookie", b"a=b"), (b"server", b"s")], [b"body"], [0.1], 4, kept=4)
    [content] = contents_of(_pair(0, answer, _target(Leg.CANDIDATE, "m0")), 100)
    assert content.request_headers == [(b"host", b"h")]
    assert content.headers == [(b"server", b"s")]
    assert (content.body, content.truncated, content.model, content.cluster) == (b"body", False, "m2", "m0")


def test_the_control_comes_once() -> None:
    """With two candidates the control's answer is sent with the first, under that mirror's name."""
    targets = (_target(Leg.CANDIDATE, "m0"), _target(Leg.CANDIDATE, "m1"), _target(Leg.CONTROL, "c"))
    first = list(contents_of(_pair(0, Answer(), *targets, control=2), 100))
    second = list(contents_of(_pair(1, Answer(), *targets, control=2), 100))
    assert [(each.leg, each.cluster) for each in first] == [(Leg.CANDIDATE, "m0"), (Leg.CONTROL, "m0")]
    assert [(each.leg, each.cluster) for each in second] == [(Leg.CANDIDATE, "m1")]


@given(st.lists(st.binary(max_size=50)), st.integers(1, 200))
def test_a_body_is_cut_to_its_limit(chunks: list[bytes], limit: int) -> None:
    """A body is the beginning of what arrived, and says whether something is missing."""
    whole = b"".join(chunks)
    answer = Answer(LegOutcome.COMPLETE, 200, [], chunks, [0.0] * len(chunks), len(whole), kept=len(whole))
    [content] = contents_of(_pair(0, answer, _target(Leg.CANDIDATE, "m0")), limit)
    assert content.body == whole[:limit]
    assert content.truncated == (len(whole) > limit)


def test_a_head_is_bounded() -> None:
    """Fields beyond 32 KiB are left out."""
    answer = Answer(LegOutcome.COMPLETE, 200, [(b"a%d" % number, b"x" * 1000) for number in range(300)])
    [content] = contents_of(_pair(0, answer, _target(Leg.CANDIDATE, "m0")), 100)
    assert 0 < sum(len(name) + len(value) for name, value in content.headers) <= 32 * 1024
