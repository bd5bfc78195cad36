"""A product whose truth is known: bad answers, users who show it more or less, and a few who vote.

15% of answers are bad. 5% of the bad and 2% of the good ones get a vote. Users differ in how much they do at all, in
votes as in hints, so that hints come together without saying more; and how often a hint is seen is not what the table
assumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.config import Outcomes
from trimtab.enrich.calibrate import Labelled
from trimtab.enrich.weights import likelihoods
from trimtab.records import Calibration, Signal

__all__ = ["BAD_RATE", "KINDS", "World", "audit", "labelled", "made", "scores"]

BAD_RATE = 0.15
VOTED_BAD, VOTED_GOOD = 0.05, 0.02
KINDS: tuple[Signal, ...] = ("objection", "regenerate", "edit", "rephrase", "abandon", "copy", "thanks")

_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """The answers of one product: is each `bad`, was it `voted` on, which hints (columns: KINDS) were `seen`."""

    bad: _Flags
    voted: _Flags
    seen: _Flags
    user: npt.NDArray[np.int64]

    def hints(self, place: int) -> frozenset[Signal]:
        """Return the kinds of hints seen on one answer."""
        return frozenset(kind for kind, seen in zip(KINDS, self.seen[place], strict=True) if seen)


def made(seed: int, answers: int, *, misjudged: float = 0.3) -> World:
    """Make a world. The real shares are the table's, off by a factor of about 1 +- `misjudged` each."""
    random = np.random.default_rng(seed)
    shares = likelihoods(Outcomes())
    user = random.integers(0, max(2, answers // 15), answers)
    activity = random.gamma(2.0, 0.5, user.max() + 1)[user]  # mean 1: some do nothing, some do thrice as much
    bad = random.random(answers) < BAD_RATE
    columns = []
    for kind in KINDS:
        real = [min(share * float(np.exp(random.normal(0.0, misjudged))), 0.6) for share in shares[kind]]
        columns.append(random.random(answers) < np.minimum(np.where(bad, *real) * activity, 0.95))
    voted = random.random(answers) < np.minimum(np.where(bad, VOTED_BAD, VOTED_GOOD) * activity, 0.95)
    return World(bad, voted, np.column_stack(columns), user)


def labelled(world: World, places: Sequence[int]) -> list[Labelled]:
    """Return those answers as calibration wants them."""
    return [Labelled(world.hints(place), float(world.bad[place])) for place in places]


def audit(world: World, count: int, seed: int) -> list[int]:
    """Draw answers uniformly at random."""
    drawn = np.random.default_rng([seed, 1]).choice(len(world.bad), size=count, replace=False)
    return [int(place) for place in drawn]


def scores(world: World, calibration: Calibration, *, votes: bool = False) -> npt.NDArray[np.float64]:
    """Return P(bad) of every answer by its hints; with `votes`, what was said outright where somebody voted."""
    weights = np.array([float(calibration.weights[kind]) for kind in KINDS])
    hinted: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-(calibration.base + world.seen @ weights)))
    return np.where(world.voted, world.bad, hinted) if votes else hinted
