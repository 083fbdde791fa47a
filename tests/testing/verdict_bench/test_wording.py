import string

from mirrorgate.testing.verdict_bench import wording


def test_every_place_to_fill_is_known() -> None:
    """The texts name only what the document fills in."""
    known = {
        "seed",
        "machine",
        *"requests runs most rival_pairs look ttft itl e2e slowest".split(),
        *"rows wrong rate worst chance".split(),
    }
    for name in wording.__all__:
        fields = {field for _, field, _, _ in string.Formatter().parse(getattr(wording, name)) if field}
        assert fields <= known, name
