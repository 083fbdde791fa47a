"""The parts of the benchmark: each runs something and returns rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...comparison.guardrails import GuardrailName
from ...comparison.trials import SCENARIOS, run_trials
from ...comparison.verdict import Decision
from ...inference.assembling import percentile
from .arms import DEFECTIVE, HEALTHY
from .error_rates import AA_TRAFFIC, AT_MARGIN, Traffic, simulated, upper_bound
from .pool import SLO, Sample, measured
from .races import EQUIVALENCE, MODES, Finish, Mode, Rivals, drawn, finish_of, middle, rivals_of, shuffled
from .real_model import measured_for_real
from .results import HealthyRow, ModeRow, PairsRow, RaceRow, Races, RateRow, SpeedRow
from .throughput import CASES, pairs_per_second
from .traffic import calls

__all__ = ["FULL", "SMOKE", "Scale", "error_rates", "fake_races", "pairs_needed", "real_races", "speeds"]

type Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run."""

    aa_runs: int
    aa_pairs: int
    margin_runs: int
    margin_pairs: int
    scenario_runs: int
    requests: int
    race_runs: int
    race_most: int
    alarm_runs: int
    """Of the sound candidates, for false alarms."""
    rival_pairs: int
    look: int
    real_requests: int
    speed_seconds: float

    def asking(self, requests: int) -> Scale:
        """Return the same with so many requests of each server, fake or real."""
        return replace(self, requests=requests, real_requests=requests)


FULL = Scale(5000, 6000, 20000, 10000, 300, 3000, 25, 10000, 200, 3000, 2000, 200, 10.0)
SMOKE = Scale(40, 250, 200, 250, 2, 30, 1, 250, 2, 120, 100, 2, 0.1)

_SLOWEST = 1.5
"""Seconds that the fixed thresholds allow the 99th percentile; production's own is at 1.2."""
_OWN_TRAFFIC = "wrong_lora, on the adapters' own traffic"
_SHARP = "quantisation_noise, divergence margin of 1 pt"
_SHARP_MODE = replace(
    MODES[1], name="equivalence, margin 1 pt, control on every pair", margins=((GuardrailName.DIVERGENCE.value, 0.01),)
)


def error_rates(scale: Scale, seed: int, told: Told) -> list[RateRow]:
    """Simulate how often the verdict is wrong."""
    plan = [(traffic, scale.aa_runs, scale.aa_pairs) for traffic in AA_TRAFFIC]
    plan += [(traffic, scale.margin_runs, scale.margin_pairs) for traffic in AT_MARGIN]
    rows: list[RateRow] = []
    for traffic, runs, pairs in plan:
        told(traffic.name)
        rows.append(_rate(traffic, runs, pairs, seed))
    return rows


def _rate(traffic: Traffic, runs: int, pairs: int, seed: int) -> RateRow:
    found = simulated(traffic, runs, pairs, seed)
    return RateRow(
        traffic.name,
        len(traffic.margins),
        runs,
        pairs,
        found.rejected,
        found.promoted,
        traffic.within,
        traffic.beyond,
        upper_bound(found.rejected, runs),
        upper_bound(found.promoted, runs),
        found.median_promoted,
    )


def pairs_needed(scale: Scale, seed: int, told: Told) -> list[PairsRow]:
    """Count the pairs that one guardrail takes, for the cases that were published for a fixed grid of bets."""
    rows: list[PairsRow] = []
    for scenario in SCENARIOS:
        told(scenario.name)
        rng = random.Random(f"scenario {seed} {scenario.name}")
        most = scenario.grid_pairs * 4
        trials = run_trials(rng, scenario.draw, scenario.margin, runs=scale.scenario_runs, pairs=most)
        found = [trial.rejected if scenario.inferior else trial.promoted for trial in trials]
        rows.append(PairsRow(scenario.name, scenario.inferior, scenario.grid_pairs, middle(found), _ninetieth(found)))
    return rows


def fake_races(scale: Scale, seed: int, told: Told) -> tuple[Races, list[HealthyRow]]:
    """Run every sound and every defective candidate on the fake model servers, and all rules on the same pairs."""
    told(f"{scale.requests} requests to {len(HEALTHY) + len(DEFECTIVE) + 2} servers")
    requests = calls(scale.requests, seed)
    pool = measured(requests, (*HEALTHY, *DEFECTIVE), seed)
    rows: list[RaceRow] = []
    for name, samples in pool.items():
        told(name)
        rows.append(_raced(name, samples, MODES, _SLOWEST, scale, seed))
    adapters = [
        sample
        for call, sample in zip(requests, pool["wrong_lora"], strict=True)
        if "lora" in (call.request.model or "")
    ]
    rows.append(_raced(_OWN_TRAFFIC, adapters, MODES, _SLOWEST, scale, seed))
    rows.append(_raced(_SHARP, pool["quantisation_noise"], (_SHARP_MODE,), _SLOWEST, scale, seed))
    alarms = _false_alarms(pool[HEALTHY[0].name], scale, seed, told)
    slo = (SLO.ttft, SLO.itl, SLO.e2e)
    return Races(scale.requests, scale.race_most, scale.rival_pairs, scale.look, slo, _SLOWEST, tuple(rows)), alarms


def real_races(scale: Scale, seed: int, told: Told) -> Races:
    """Do the same with SmolLM2, and the defects that can be induced on it."""
    pool = measured_for_real(scale.real_requests, seed, told)
    count = scale.real_requests
    scale = replace(scale, rival_pairs=count, look=count)
    rows: list[RaceRow] = []
    for name, samples in pool.samples.items():
        told(name)
        rows.append(_raced(name, samples, MODES, pool.slowest, scale, seed, small=True))
    slo = (pool.slo.ttft, pool.slo.itl, pool.slo.e2e)
    return Races(count, count, count, count, slo, pool.slowest, tuple(rows))


def speeds(scale: Scale, told: Told) -> list[SpeedRow]:
    """Measure how many pairs a second are judged."""
    rows: list[SpeedRow] = []
    for case in CASES:
        told(case.name)
        rows.append(SpeedRow(case.name, pairs_per_second(case, scale.speed_seconds)))
    return rows


def _raced(
    name: str,
    samples: Sequence[Sample],
    modes: Sequence[Mode],
    slowest: float,
    scale: Scale,
    seed: int,
    *,
    small: bool = False,
) -> RaceRow:
    """Race all rules; a `small` pool is shuffled instead of drawn from."""

    def stream(rng: random.Random, most: int) -> Iterator[Sample]:
        return shuffled(samples, rng) if small else drawn(samples, rng, most)

    def finish(mode: Mode, run: int) -> Finish:
        rng = _rng(seed, name, mode.name, run)
        return finish_of(stream(rng, scale.race_most), mode, rng)

    runs = range(scale.race_runs)
    rows = tuple(_mode_row(mode, [finish(mode, run) for run in runs]) for mode in modes)
    rivals = [
        rivals_of(stream(_rng(seed, name, "rivals", run), scale.rival_pairs), slowest, scale.look) for run in runs
    ]
    return RaceRow(
        name,
        scale.race_runs,
        rows,
        middle([each.diffy_first for each in rivals]),
        sum(each.diffy_at_look for each in rivals) / len(rivals),
        middle([each.argo for each in rivals]),
        sum(each.argo is not None for each in rivals) / len(rivals),
        middle([each.flagger for each in rivals]),
        sum(each.flagger is not None for each in rivals) / len(rivals),
    )


def _mode_row(mode: Mode, finishes: Sequence[Finish]) -> ModeRow:
    decisions = Counter(finish.decision for finish in finishes)
    usual = max(decisions, key=lambda decision: decisions[decision])
    pairs = [finish.pairs for finish in finishes if finish.decision is usual]
    undecided = usual is Decision.HOLD
    return ModeRow(
        mode.name,
        decisions[Decision.PROMOTE],
        decisions[Decision.HOLD],
        decisions[Decision.REJECT],
        dict(Counter(finish.guardrail for finish in finishes if finish.guardrail is not None)),
        None if undecided else middle(pairs),
        None if undecided else percentile(pairs, 0.9),
    )


def _false_alarms(samples: Sequence[Sample], scale: Scale, seed: int, told: Told) -> list[HealthyRow]:
    """Count how often each rule turns a sound candidate away."""
    told(f"false alarms in {scale.alarm_runs} runs")
    finishes: list[Finish] = []
    rivals: list[Rivals] = []
    for run in range(scale.alarm_runs):
        rng = _rng(seed, "alarm", "", run)
        finishes.append(finish_of(drawn(samples, rng, scale.race_most), EQUIVALENCE, rng))
        pairs = drawn(samples, _rng(seed, "alarm", "rivals", run), scale.rival_pairs)
        rivals.append(rivals_of(pairs, _SLOWEST, scale.look))
    counts = {
        "the verdict, looked at after every pair": sum(each.decision is Decision.REJECT for each in finishes),
        f"Diffy's rule, looked at once after {scale.look} pairs": sum(each.diffy_at_look for each in rivals),
        "Diffy's rule, looked at after every pair": sum(each.diffy_first is not None for each in rivals),
        "fixed thresholds, first failed check (Argo Rollouts)": sum(each.argo is not None for each in rivals),
        "fixed thresholds, fifth failed check (Flagger)": sum(each.flagger is not None for each in rivals),
    }
    return [HealthyRow(name, count, scale.alarm_runs) for name, count in counts.items()]


def _ninetieth(found: Sequence[int | None]) -> float | None:
    most = percentile([float("inf") if value is None else float(value) for value in found], 0.9)
    return None if most is None or most == float("inf") else most


def _rng(*parts: object) -> random.Random:
    return random.Random(" ".join(map(str, parts)))
