"""Worlds for `bench_detection.py` beside single streams: the gate on golden cases, and many segments at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trimtab.stats.budget import share_of_budget
from trimtab.stats.detector import RateMonitor
from trimtab.stats.gate import judge_candidate

__all__ = ["GATE_CELLS", "gate_passes", "mean_rule_passes", "segments_month", "watch_delays"]

BASELINE = 0.05
SEGMENTS = 200
MONTH = 29_889
HORIZON = 2000
PLACES = (1, 10, 200)

GATE_CELLS = [
    (n, discordant, margin) for n in (50, 100, 200, 500, 1500) for discordant in (0.1, 0.2) for margin in (0.05, 0.02)
]
"""Golden cases, share of them that differ between the versions, accepted drop."""


def cases(seed: int, n: int, discordant: float, drop: float, draws: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Return (broken, fixed) for each draw; `drop` is the true change for the worse."""
    rng = np.random.default_rng([seed, n, int(discordant * 100), int(drop * 1000)])
    worse, better = (discordant + drop) / 2, (discordant - drop) / 2
    drawn = rng.multinomial(n, [worse, better, 1 - worse - better], size=draws)
    return drawn[:, 0], drawn[:, 1]


def gate_passes(seed: int, n: int, discordant: float, margin: float, drop: float, draws: int) -> list[bool]:
    """Return for each draw whether the gate lets the candidate pass."""
    known: dict[tuple[int, int], bool] = {}
    found = []
    for pair in zip(*(each.tolist() for each in cases(seed, n, discordant, drop, draws)), strict=True):
        if pair not in known:
            known[pair] = judge_candidate(n, broken=pair[0], fixed=pair[1], margin=margin).verdict == "pass"
        found.append(known[pair])
    return found


def mean_rule_passes(seed: int, n: int, discordant: float, drop: float, draws: int) -> list[bool]:
    """Return for each draw whether "the mean is not lower" lets it pass."""
    broken, fixed = cases(seed, n, discordant, drop, draws)
    return [bool(each) for each in fixed >= broken]


def segments_month(task: tuple[int, int]) -> dict[str, int]:
    """Return how many false alarms a month brings in 200 segments of Zipf volumes, by rule; each alarm starts anew."""
    rng = np.random.default_rng([*task, 6])
    weights = 1 / np.arange(1, SEGMENTS + 1)
    volumes = rng.multinomial(MONTH, weights / weights.sum())
    places = rng.permutation(SEGMENTS) + 1  # who came first draws most on the budget
    alarms = {"declared watches, one budget": 0, "last 200 votes > 8%": 0, "rolling z, 500 votes, z > 1.645": 0}
    for place, volume in zip(places.tolist(), volumes.tolist(), strict=True):
        votes = (rng.random(volume) < BASELINE).tolist()
        monitor = RateMonitor(BASELINE, horizon=HORIZON, alpha=share_of_budget(1.0, place))
        for vote in votes:
            if monitor.update(vote):
                alarms["declared watches, one budget"] += 1
                monitor.reset()
        alarms["last 200 votes > 8%"] += window_alarms(votes)
        alarms["rolling z, 500 votes, z > 1.645"] += z_alarms(votes)
    return alarms


def window_alarms(votes: list[bool], window: int = 200, limit: float = 0.08, least: int = 50) -> int:
    alarms, start = 0, 0
    for end in range(1, len(votes) + 1):
        held = votes[max(start, end - window) : end]
        if len(held) >= least and sum(held) / len(held) > limit:
            alarms, start = alarms + 1, end
    return alarms


def z_alarms(votes: list[bool], window: int = 500, least: int = 50) -> int:
    alarms, start, bad = 0, 0, 0
    for end, vote in enumerate(votes, 1):
        if end - start > window:
            bad, start = bad - votes[start], start + 1
        bad += vote
        n = end - start
        if n >= least and (bad / n - BASELINE) / (BASELINE * (1 - BASELINE) / n) ** 0.5 > 1.645:
            alarms, start, bad = alarms + 1, end, 0
    return alarms


def watch_delays(task: tuple[int, int]) -> Iterator[tuple[tuple[int, float, int], int | None]]:
    """Yield how many votes a declared watch takes, by (place in the budget, worse rate, good votes before)."""
    for worse in (0.08, 0.1, 0.15):
        for good in (0, 2000):
            rng = np.random.default_rng([*task, 7, int(worse * 100), good])
            votes = (rng.random(good + 12_000) < np.where(np.arange(good + 12_000) < good, BASELINE, worse)).tolist()
            for place in PLACES:
                monitor = RateMonitor(BASELINE, horizon=HORIZON, alpha=share_of_budget(1.0, place))
                at = next((at for at, vote in enumerate(votes) if monitor.update(vote)), None)
                yield (place, worse, good), None if at is None else max(-1, at - good) + (at >= good)
