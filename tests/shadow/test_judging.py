"""The seams fit what stands behind them."""

from mirrorgate.shadow.comparing import Comparer, NoEvidence
from mirrorgate.shadow.judging import Judge, PairSink


def test_the_comparer_is_a_judge_and_the_default_sink_a_sink() -> None:
    """The type checker holds the protocols; this runs what they promise of a process without evidence."""
    judge: Judge = Comparer(lambda: 0.0)
    sink: PairSink = NoEvidence()
    assert judge.commit("mirror-0", []) == sink.commit("mirror-0", []) == ()
    assert judge.journal_counts() == (0, 0)
    judge.close()
    sink.close()
