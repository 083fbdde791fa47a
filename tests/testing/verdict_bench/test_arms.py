from mirrorgate.testing.model_server.behaviour import Defect
from mirrorgate.testing.verdict_bench.arms import CONTROL, DEFECTIVE, HEALTHY, PRIMARY


def test_every_defect_has_a_candidate() -> None:
    """The catalogue is that of the fake model server, and each candidate has one defect."""
    assert [arm.defect for arm in DEFECTIVE] == list(Defect)
    assert all(arm.behaviour.defects == {arm.defect} for arm in DEFECTIVE)


def test_servers_are_told_apart() -> None:
    """No two arms share a name, and none of production's servers and candidates draws as another one does."""
    arms = (PRIMARY, CONTROL, *HEALTHY, *DEFECTIVE)
    assert len({arm.name for arm in arms}) == len(arms)
    assert len({arm.behaviour.seed for arm in (PRIMARY, CONTROL, HEALTHY[0])}) == 3
    assert not any(arm.behaviour.defects for arm in (PRIMARY, CONTROL, *HEALTHY))
