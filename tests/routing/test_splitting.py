"""Splitting: weighted backends and models, mirrors that share a draw, sticky draws."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorgate.resources.shadow_policy import ShadowPolicySpec
from mirrorgate.routing.splitting import choose_backend, mirrors_of, resolve_model, sampling_draw
from mirrorgate.routing.table import Backend, Destination, DestinationKind, Mirror, ModelTarget, PoolModel, Rule

POOL = Destination(DestinationKind.INFERENCE_POOL, "default", "pool", None, ())
draws = st.floats(0, 1, exclude_max=True)


def rule(*weights: int, fractions: tuple[float, ...] = ()) -> Rule:
    backends = tuple(Backend(weight, f"b{index}", POOL) for index, weight in enumerate(weights))
    mirrors = tuple(Mirror(i, f"m{i}", POOL, fraction, ShadowPolicySpec()) for i, fraction in enumerate(fractions))
    return Rule(("default", "r"), 0, None, "c", backends, mirrors)


def mirrored(split: Rule, draw: float) -> tuple[Mirror, ...]:
    """Return the mirrors that a draw chooses for the first backend."""
    return mirrors_of(split, Backend(1, "b0", POOL), draw)[0]


def pool(*models: PoolModel, closed: bool = False, objectives: dict[str, int] | None = None) -> Destination:
    return Destination(
        DestinationKind.INFERENCE_POOL, "default", "p", None, (), models, closed, objectives=objectives or {}
    )


def test_weights_70_30_0() -> None:
    """500 requests fall as 70/30/0 within 5 %, as in the conformance test httproute-weight."""
    rng = random.Random(7)
    split = rule(70, 30, 0)
    counts = Counter(chosen.ref for _ in range(500) if (chosen := choose_backend(split, rng.random())) is not None)
    assert counts["b2"] == 0
    assert abs(counts["b0"] / 500 - 0.7) < 0.05
    assert counts["b0"] + counts["b1"] == 500


def test_no_weight_chooses_none() -> None:
    """A rule whose backends all weigh nothing, or that has none, chooses none."""
    assert choose_backend(rule(0, 0), 0.5) is None
    assert choose_backend(rule(), 0.5) is None


@given(st.lists(st.integers(0, 1_000_000), min_size=1, max_size=16), draws)
def test_a_backend_without_weight_is_never_chosen(weights: list[int], draw: float) -> None:
    """Whatever the draw, what is chosen has a weight."""
    chosen = choose_backend(rule(*weights), draw)
    assert (chosen is None) is (sum(weights) == 0)
    assert chosen is None or chosen.weight > 0


def test_a_draw_that_was_rounded_up_falls_on_the_last_weight() -> None:
    """A draw of 1, which rounding can make, stays within the backends that have a weight."""
    chosen = choose_backend(rule(1, 2, 0), 1.0)
    assert chosen is not None
    assert chosen.ref == "b1"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_evenly_spread_draws_fall_exactly_by_weight(weights: list[int]) -> None:
    """Each backend owns a part of [0, 1) that is as wide as its share."""
    total = sum(weights)
    split = rule(*weights)
    found = Counter(
        chosen.ref for n in range(total) if (chosen := choose_backend(split, (n + 0.5) / total)) is not None
    )
    assert [found[f"b{index}"] for index in range(len(weights))] == weights


@given(st.floats(0, 1), st.floats(0, 1), draws)
def test_samples_are_nested(one: float, other: float, draw: float) -> None:
    """All mirrors share one draw, so that a smaller sample is part of a larger one."""
    small, large = sorted((one, other))
    chosen = {mirror.fraction for mirror in mirrored(rule(fractions=(small, large)), draw)}
    assert small not in chosen or large in chosen


@pytest.mark.parametrize(("fraction", "sent"), [(0.0, False), (1.0, True)])
def test_none_and_all(fraction: float, sent: bool) -> None:
    """A share of 0 sends nothing and one of 1 everything, at both ends of the draw."""
    for draw in (0.0, 1 - 2**-53):
        assert bool(mirrored(rule(fractions=(fraction,)), draw)) is sent


def test_a_backends_mirror_copies_its_share_alone() -> None:
    """The mirror of one backendRef takes no part in requests to another, not even as one that was sampled out."""
    everyones = Mirror(0, "m", POOL, 1.0, ShadowPolicySpec())
    seconds = Mirror(0, "b-m", POOL, 0.5, ShadowPolicySpec(), backend=1)
    backends = (Backend(1, "b0", POOL), Backend(1, "b1", POOL, index=1))
    split = Rule(("default", "r"), 0, None, "c", backends, (everyones, seconds))
    assert mirrors_of(split, backends[0], 0.2) == ((everyones,), ())
    assert mirrors_of(split, backends[1], 0.2) == ((everyones, seconds), ())
    assert mirrors_of(split, backends[1], 0.7) == ((everyones,), (seconds,))


def test_percentages_hold() -> None:
    """20 %, 50 % and 35 % of 500 requests within three sigma, as in httproute-request-percentage-mirror."""
    rng = random.Random(3)
    split = rule(fractions=(0.2, 0.5, 0.35))
    counts = Counter(mirror.index for _ in range(500) for mirror in mirrored(split, rng.random()))
    for index, share in enumerate((0.2, 0.5, 0.35)):
        assert abs(counts[index] - 500 * share) <= 3 * (500 * share * (1 - share)) ** 0.5


def test_sampling_draw_is_sticky_and_even() -> None:
    """One key always draws the same, and keys spread over [0, 1)."""
    assert sampling_draw(b"user-1") == sampling_draw(b"user-1")
    values = [sampling_draw(str(n).encode()) for n in range(4000)]
    assert all(0 <= value < 1 for value in values)
    assert abs(sum(value < 0.25 for value in values) / 4000 - 0.25) < 0.03


def test_declared_model() -> None:
    """A declared model brings its target, criticality and source."""
    declared = PoolModel("food", (ModelTarget("food-v2", 100),), "Critical", "InferenceModel default/food")
    choice = resolve_model(pool(declared, closed=True), "food", 0.9)
    assert (choice.target, choice.criticality, choice.priority, choice.known) == ("food-v2", "Critical", 1, True)
    assert choice.source == "InferenceModel default/food"


def test_unknown_model() -> None:
    """A pool that declares its models does not know others; one that declares none takes every name."""
    declared = PoolModel("food", ())
    assert not resolve_model(pool(declared, closed=True), "other", 0.5).known
    open_choice = resolve_model(pool(declared), "other", 0.5)
    assert (open_choice.target, open_choice.known, open_choice.source) == ("other", True, "")


def test_no_model_named() -> None:
    """A request that names no model, such as GET /v1/models, is known everywhere and asks for none."""
    choice = resolve_model(pool(PoolModel("food", ()), closed=True), None, 0.5)
    assert (choice.target, choice.known) == (None, True)


def test_targets_without_weights_are_even() -> None:
    """Targets of which none has a weight are drawn evenly."""
    declared = PoolModel("m", (ModelTarget("a", 0), ModelTarget("b", 0)))
    assert [resolve_model(pool(declared), "m", draw).target for draw in (0.0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]


def test_a_target_without_weight_among_weighted_is_never_drawn() -> None:
    """Beside weighted targets, one without a weight gets nothing."""
    declared = PoolModel("m", (ModelTarget("a", 0), ModelTarget("b", 1)))
    assert {resolve_model(pool(declared), "m", n / 10).target for n in range(10)} == {"b"}


def test_generic_rewrite_and_override() -> None:
    """A rewrite without a name takes every model; a header wins over it."""
    generic = PoolModel(None, (ModelTarget("base", 1),), None, "InferenceModelRewrite default/all")
    exact = PoolModel("food", ())
    assert resolve_model(pool(exact, generic), "x", 0.1).target == "base"
    assert resolve_model(pool(exact, generic), "food", 0.1).target == "food"
    override = resolve_model(pool(exact, generic), "x", 0.1, override="mine")
    assert (override.target, override.source) == ("mine", "header")


def test_priority() -> None:
    """The named objective decides; else Sheddable is below the rest; unknown objectives count as none."""
    sheddable = pool(PoolModel("m", (), "Sheddable"), objectives={"batch": -5, "chat": 3})
    assert resolve_model(sheddable, "m", 0.1).priority == -1
    assert resolve_model(sheddable, "m", 0.1, objective="chat").priority == 3
    assert resolve_model(sheddable, None, 0.1, objective="batch").priority == -5
    assert resolve_model(sheddable, "other", 0.1, objective="none").priority == 0


def test_critical() -> None:
    """It is declared so, or has an objective whose priority is not negative; an objective may take it away."""
    declared = pool(
        *(PoolModel(name, (), name) for name in ("Critical", "Standard")), objectives={"low": -1, "high": 0}
    )
    found = {
        (model, name): resolve_model(declared, model, 0.1, objective=name).critical
        for model in ("Critical", "Standard", "other")
        for name in (None, "low", "high")
    }
    assert {key for key, critical in found.items() if critical} == {
        ("Critical", None), ("Critical", "high"), ("Standard", "high"), ("other", "high")
    }  # fmt: skip
