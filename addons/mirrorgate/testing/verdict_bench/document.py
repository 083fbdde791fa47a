"""The document that tells what the benchmark found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scipy.stats import binom

from ...comparison.verdict import VerdictPolicy
from .results import ModeRow, PairsRow, RaceRow, Races, RateRow, Results, SpeedRow
from .wording import CLOSING, ERROR_RATES, FAKE, FALSE_ALARMS, OPENING, PAIRS, POOLED, READING, REAL, SPEED

__all__ = ["written"]


def written(results: Results) -> str:
    """Return the document as Markdown. Parts that have not been run are left out."""
    parts = [OPENING.format(seed=results.seed)]
    if results.rates:
        parts += [ERROR_RATES, _rates(results.rates)]
    if results.pairs:
        parts += [PAIRS, _pairs(results.pairs)]
    if results.races is not None:
        parts += [_filled(FAKE, results.races), _races(results.races)]
        alarms = ((row.name, f"{row.turned_away} of {row.runs}") for row in results.false_alarms)
        parts += [READING, FALSE_ALARMS, _table(("rule", "sound candidates turned away"), alarms)]
    if results.real is not None:
        parts += [_filled(REAL, results.real), _races(results.real)]
    if results.speed:
        parts += [SPEED.format(machine=results.machine), _speeds(results.speed)]
    parts.append(CLOSING)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _filled(text: str, races: Races) -> str:
    ttft, itl, e2e = races.slo
    return text.format(
        requests=f"{races.requests:,}",
        runs=races.rows[0].runs,
        most=f"{races.most:,}",
        rival_pairs=f"{races.rival_pairs:,}",
        look=f"{races.look:,}",
        ttft=ttft,
        itl=itl,
        e2e=e2e,
        slowest=f"{races.slowest:.1f}",
    )


def _rates(rows: Sequence[RateRow]) -> str:
    head = ("traffic", "runs × pairs", "false REJECT", "at most", "false PROMOTE", "at most")
    found = (
        (
            row.name,
            f"{row.runs:,} × {row.pairs:,}",
            *_rate(row.rejected, row.runs, row.rejected_at_most, wrong=row.within),
            *_rate(row.promoted, row.runs, row.promoted_at_most, wrong=row.beyond),
        )
        for row in rows
    )
    return "\n\n".join((_table(head, found), *_pooled(rows)))


def _pooled(rows: Sequence[RateRow]) -> Iterator[str]:
    """Say what the rows of a single guardrail come to together: a rate of so many runs has little noise left."""
    single = [row for row in rows if row.beyond and row.guardrails == 1]
    runs, wrong = sum(row.runs for row in single), sum(row.promoted for row in single)
    if runs:
        worst = max(single, key=lambda row: row.promoted / row.runs)
        # How often the best of so many rows would be as high by chance if each row's rate were exactly 1 %.
        by_chance = 1.0 - binom.cdf(worst.promoted - 1, worst.runs, VerdictPolicy(()).alpha_promote) ** len(single)
        yield POOLED.format(
            rows=len(single),
            wrong=f"{wrong:,}",
            runs=f"{runs:,}",
            rate=f"{wrong / runs:.2%}",
            worst=f"{worst.promoted / worst.runs:.2%}",
            chance=f"{by_chance:.0%}",
        )


def _rate(count: int, runs: int, at_most: float, *, wrong: bool) -> tuple[str, str]:
    return (f"{count / runs:.2%}", f"{at_most:.2%}") if wrong else ("", "")


def _pairs(rows: Sequence[PairsRow]) -> str:
    head = ("case", "decision", "fixed grid of 20 bets", "this verdict", "90 % of runs", "change")
    found = (
        (
            row.name,
            "REJECT" if row.inferior else "PROMOTE",
            f"{row.grid:,}",
            _number(row.middle),
            _number(row.most),
            "" if row.middle is None else f"{row.middle / row.grid - 1:+.0%}",
        )
        for row in rows
    )
    return _table(head, found)


def _races(races: Races) -> str:
    modes: dict[str, None] = {}
    for row in races.rows:
        modes.update(dict.fromkeys(mode.mode for mode in row.modes))
    names = [name for name in modes if "margin" not in name]
    head = ("candidate", *names, "Diffy flags", "Argo Rollouts", "Flagger")
    plain = _table(head, (_race(row, names) for row in races.rows if [mode.mode for mode in row.modes] == names))
    special = [row for row in races.rows if [mode.mode for mode in row.modes] != names]
    notes = (f"- {row.name}: {_decided(mode)} ({mode.mode})." for row in special for mode in row.modes)
    return "\n\n".join(filter(None, (plain, "\n".join(notes))))


def _race(row: RaceRow, names: Sequence[str]) -> tuple[str, ...]:
    by_name = {mode.mode: mode for mode in row.modes}
    return (
        row.name.replace("_", " "),
        *(_decided(by_name[name]) for name in names),
        f"{row.diffy_flagged:.0%}",
        _rolled_back(row.argo, row.argo_share),
        _rolled_back(row.flagger, row.flagger_share),
    )


def _decided(mode: ModeRow) -> str:
    """Say how most runs ended, after how many pairs, and how many ended otherwise."""
    runs = mode.promoted + mode.held + mode.rejected
    counts = {"PROMOTE": mode.promoted, "HOLD": mode.held, "REJECT": mode.rejected}
    usual = max(counts, key=lambda name: counts[name])
    text = f"**{usual}**" if usual == "REJECT" else usual
    if mode.middle is not None:
        text += f" {_number(mode.middle)}"
    if usual == "REJECT" and mode.guardrails:
        text += f" ({max(mode.guardrails, key=lambda name: mode.guardrails[name])})"
    others = [f"{name} {count} of {runs}" for name, count in counts.items() if count and name != usual]
    return "; ".join((text, *others))


def _rolled_back(pairs: float | None, share: float) -> str:
    if pairs is not None:
        return _number(pairs)
    return f"never ({share:.0%} of runs)" if share else "never"


def _speeds(rows: Sequence[SpeedRow]) -> str:
    return _table(("answers of 1 KB", "pairs a second"), ((row.name, f"{row.pairs_per_second:.0f}") for row in rows))


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
