"""How good a score is: whether it ranks (AUC), and whether its level can be believed (ECE)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.stats import expect

__all__ = ["Measure", "auc", "ece", "ece_by_chance"]

_Array = npt.NDArray[np.float64]
_BINS = 10
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure with its interval over the `n` answers it was measured on; None where they cannot show it."""

    value: float | None
    low: float
    high: float
    n: int


def auc(
    scores: Sequence[float], bad: Sequence[float], *, confidence: float = 0.95, draws: int = _DRAWS, seed: int = 0
) -> Measure:
    """Return the probability that a bad answer scores above a good one, ties counting one half.

    Formula: Mann-Whitney U / (bad x good); an answer that is bad to a part counts to that part as bad, to the rest as
    good. The interval is the percentile bootstrap over answers ([0, 1] without draws). None, [0, 1] unless there are
    both good and bad ones.
    Source: Hanley and McNeil 1982; Efron and Tibshirani, "An introduction to the bootstrap", 13.
    """
    score, said = _checked(scores, bad)
    order = np.argsort(score, kind="stable")
    score, said = score[order], said[order]
    starts = np.flatnonzero(np.concatenate(([True], score[1:] > score[:-1]))) if len(score) else np.empty(0, np.int64)

    def of(weights: _Array) -> _Array:
        worse = np.add.reduceat(weights * said, starts, axis=-1)
        better = np.add.reduceat(weights * (1.0 - said), starts, axis=-1)
        below = np.cumsum(better, axis=-1) - better / 2.0
        pairs = worse.sum(axis=-1) * better.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share: _Array = (worse * below).sum(axis=-1) / pairs
        return share

    if not 0.0 < said.sum() < len(said):
        return Measure(None, 0.0, 1.0, len(said))
    value = float(of(np.ones(len(said))))
    low, high = _percentiles(of, len(said), confidence, draws, seed)
    return Measure(value, min(low, value), max(high, value), len(said))


def ece(
    scores: Sequence[float], bad: Sequence[float], *, confidence: float = 0.95, draws: int = _DRAWS, seed: int = 0
) -> Measure:
    """Return the expected calibration error: how far the score's level lies from the truth, on average over 10 bins.

    Formula: sum over bins of equal width of |sum(bad - score)| / n. It cannot come out at 0: among few answers chance
    alone shows some error, see `ece_by_chance`. The interval is the basic bootstrap, [2 e - q_high, 2 e - q_low] cut
    at 0, whose reflection takes that upward bias back. None, [0, 1] without answers.
    Source: Naeini, Cooper, Hauskrecht 2015; Davison and Hinkley, "Bootstrap methods and their application", 5.2.
    """
    score, said = _checked(scores, bad)
    if not len(said):
        return Measure(None, 0.0, 1.0, 0)
    of = _error(score, said)
    value = float(of(np.ones(len(said))))
    low, high = _percentiles(of, len(said), confidence, draws, seed)
    if draws:
        low, high = max(0.0, min(value, 2 * value - high)), min(1.0, max(value, 2 * value - low))
    return Measure(value, low, high, len(said))


def ece_by_chance(scores: Sequence[float], *, seed: int = 0) -> float:
    """Return the mean ECE that these scores would show if each were exactly right.

    Truths are drawn from the scores themselves, 1000 times. Source: Broecker and Smith 2007, consistency resampling.
    """
    score, _ = _checked(scores, scores)
    if not len(score):
        return 0.0
    drawn = (np.random.default_rng(seed).random((_DRAWS, len(score))) < score).astype(np.float64)
    return float((np.abs((drawn - score) @ _bins(score)).sum(axis=-1) / len(score)).mean())


def _checked(scores: Sequence[float], bad: Sequence[float]) -> tuple[_Array, _Array]:
    if len(scores) != len(bad):
        raise ValueError(f"expected as many scores as truths, got {len(scores)} and {len(bad)}")
    for name, values in (("scores", scores), ("bad", bad)):
        for value in values:
            expect.fraction(name, value)
    return np.asarray(scores, dtype=np.float64), np.asarray(bad, dtype=np.float64)


def _bins(score: _Array) -> _Array:
    """Return which bin each score lies in, one column per bin; 1.0 lies in the last."""
    place = np.minimum((score * _BINS).astype(np.int64), _BINS - 1)
    return np.eye(_BINS)[place]


def _error(score: _Array, said: _Array) -> Callable[[_Array], _Array]:
    off = (said - score)[:, None] * _bins(score)

    def of(weights: _Array) -> _Array:
        error: _Array = np.abs(weights @ off).sum(axis=-1) / weights.sum(axis=-1)
        return error

    return of


def _percentiles(
    of: Callable[[_Array], _Array], n: int, confidence: float, draws: int, seed: int
) -> tuple[float, float]:
    """Return the bootstrap's percentiles; a draw that shows nothing (only good ones) is left out."""
    if expect.count("draws", draws) == 0:
        return 0.0, 1.0
    tail = 50.0 * (1.0 - expect.probability("confidence", confidence))
    generator = np.random.default_rng(seed)
    lot = max(1, min(draws, 2_000_000 // n))  # as many draws at a time as fit in some 16 MB
    values: list[_Array] = []
    for first in range(0, draws, lot):
        drawn = generator.multinomial(n, np.full(n, 1.0 / n), size=min(lot, draws - first)).astype(np.float64)
        values.append(of(drawn))
    found = np.concatenate(values)
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, (tail, 100.0 - tail))
    return float(low), float(high)
