"""Canary against stable: whose negatives they are, and whether the traffic was split as meant.

Both questions are one coin. Given that an event happened, and given the canary's share pi of the traffic at that
moment, the event is the canary's with probability

    theta(rho) = pi * rho / (pi * rho + 1 - pi),

where rho is the ratio of the two arms' event rates. rho = 1 makes it pi. Whatever moves both arms together (an outage,
a weekend, a ramp of the traffic) cancels, because it changes how many events come, not whose they are.

The log likelihood of rho over events y_t in {0, 1}, up to a term without rho, is

    c * log(rho) - sum_t log(1 + pi_t * (rho - 1)),    c = number of the canary's events,

so c and one running sum per rho hold everything, exactly, however pi moved.
Source: Lindon and Malek, "Anytime-valid inference for multinomial count data" (time-inhomogeneous Bernoulli counts).

Count each sticky unit once. Arms are sticky, so a second event of the same user is no new coin: feed its first
negative to `NegativesShare` and its first exposure to `SampleRatioCheck`, or one insistent user decides a rollout.
"""

import math
from collections.abc import Iterable
from typing import Final, Self, TypedDict

from trimtab.stats import expect
from trimtab.stats.mixture import log_mean_exp

__all__ = [
    "BOUND_RATIOS",
    "RATIO_GRID",
    "NegativesShare",
    "NegativesShareState",
    "RatioLikelihood",
    "SampleRatioCheck",
    "SampleRatioCheckState",
]

HARM_RATIOS: Final = (1.25, 1.5, 2.0, 3.0, 5.0)
BOUND_RATIOS: Final = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0)
IMBALANCE_RATIOS: Final = (1.02, 1.05, 1.1, 1.25, 1.5, 2.0)
RATIO_GRID: Final = (
    0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0,
)  # fmt: skip


class RatioLikelihood:
    """The likelihood of a few rate ratios, kept while events arrive; the arithmetic that both tests share."""

    __slots__ = ("canary", "drag", "n", "ratios")

    def __init__(self, ratios: Iterable[float]) -> None:
        self.ratios = tuple(sorted(set(ratios)))
        self.drag = dict.fromkeys(self.ratios, 0.0)
        self.n = 0
        self.canary = 0

    def add(self, canary: int, stable: int, share: float) -> None:
        """Add events that happened while the canary's share was `share`. Raises ValueError for impossible ones."""
        expect.count("canary", canary)
        expect.count("stable", stable)
        expect.fraction("share", share)
        if (canary and share == 0.0) or (stable and share == 1.0):
            arm, counted = ("canary", canary) if share == 0.0 else ("stable", stable)
            raise ValueError(
                f"expected no {arm} events at share {share!r}, got {counted!r}; "
                "pass the share at the moment of the exposure, not of its feedback"
            )
        n = canary + stable
        for ratio in self.ratios:
            self.drag[ratio] += n * math.log1p(share * (ratio - 1.0))
        self.n += n
        self.canary += canary

    def log_ratio(self, ratio: float, null: float) -> float:
        """Return the log likelihood of `ratio` less that of `null`."""
        return self.canary * math.log(ratio / null) - (self.drag[ratio] - self.drag[null])

    def log_e(self, alternatives: Iterable[float], null: float) -> float:
        """Return the log e-value against `null`: the mean over `alternatives` of the likelihood ratios."""
        return log_mean_exp([self.log_ratio(ratio, null) for ratio in alternatives])

    def restore(self, drag: list[float], n: int, canary: int) -> None:
        """Take over the sums of an earlier likelihood with the same ratios."""
        sums = expect.numbers("drag", drag, size=len(self.ratios))
        self.drag = dict(zip(self.ratios, sums, strict=True))
        self.canary, self.n = expect.counts("canary", canary, "n", n)


class NegativesShareState(TypedDict):
    """Everything a `NegativesShare` knows, as JSON numbers."""

    rho0: float
    alpha: float
    odds_ratios: list[float]
    ratio_grid: list[float]
    drag: list[float]
    n: int
    canary: int
    harmful: bool


class NegativesShare:
    """Decide from the arms of the negative events alone whether a canary is worse than stable by more than `rho0`.

    For a user: roll back when `update` returns True. If the canary is in truth no worse than `rho0` times stable, that
    happens with probability at most `alpha` over the whole rollout, however often one looks, through ramps of the
    share and through shocks that hit both arms. rho0 = 1 means "any harm", 1.2 means "harm beyond 20%".

    Formula: E = mean over rho of the likelihood ratio of rho * rho0 against rho0 (module docstring), rho in
    `odds_ratios`; harmful when E >= 1 / alpha. The smallest bet, 1.25, loses money below a true ratio of about
    1.12 * rho0: harm smaller than that is not found with any number of events, unless `odds_ratios` gets a smaller one.
    Assumption (H0): each negative, given the past and its share, is the canary's with probability at most
    theta(rho0). That holds when `share` is the canary's share of *exposures* to which this negative belongs, assigned
    at random, and each unit counts once. If arms vote at different rates, "more people press thumbs-down" is what is
    tested.
    Raises ValueError for arguments out of range.
    """

    __slots__ = ("_likelihood", "alpha", "harmful", "odds_ratios", "ratio_grid", "rho0")

    def __init__(
        self,
        *,
        rho0: float = 1.0,
        alpha: float = 0.05,
        odds_ratios: Iterable[float] = HARM_RATIOS,
        ratio_grid: Iterable[float] = RATIO_GRID,
    ) -> None:
        self.rho0 = expect.positive("rho0", rho0)
        self.alpha = expect.probability("alpha", alpha)
        self.odds_ratios = expect.odds_ratios("odds_ratios", odds_ratios, above_one=True)
        self.ratio_grid = tuple(sorted(expect.positive("ratio_grid", ratio) for ratio in ratio_grid))
        self._likelihood = RatioLikelihood(
            {rho0, *self.ratio_grid}
            | {rho0 * odds for odds in self.odds_ratios}
            | {ratio / odds for ratio in self.ratio_grid for odds in BOUND_RATIOS}
        )
        self.harmful = False

    @property
    def n(self) -> int:
        """Negative events counted."""
        return self._likelihood.n

    @property
    def canary(self) -> int:
        """Negative events of the canary."""
        return self._likelihood.canary

    @property
    def log_e_value(self) -> float:
        """The logarithm of the evidence that the canary is worse than `rho0` times stable."""
        return self._likelihood.log_e([self.rho0 * odds for odds in self.odds_ratios], self.rho0)

    @property
    def e_value(self) -> float:
        """The evidence as betting odds: 20 means 20 to 1. Stays at 1e300 when it would be larger."""
        return math.exp(min(self.log_e_value, math.log(1e300)))

    def update(self, from_canary: bool, share: float) -> bool:  # noqa: FBT001  one event is a pair
        """Take one negative event, whose exposure happened at canary share `share`; return whether harm is shown."""
        return self.update_batch(int(from_canary), int(not from_canary), share)

    def update_batch(self, canary: int, stable: int, share: float) -> bool:
        """Take counts of negatives under one share: the same evidence as one by one, looked at once."""
        self._likelihood.add(canary, stable, share)
        self.harmful = self.harmful or self.log_e_value >= -math.log(self.alpha)
        return self.harmful

    def rate_ratio_upper(self, alpha: float = 0.05) -> float:
        """Return an upper confidence bound of the rate ratio canary / stable; infinity while nothing is ruled out.

        The bound inverts the e-process toward LOWER ratios: each g of `ratio_grid` is the null "the ratio is g or
        more", and the bets are on ratios below it, from g / 1.05 (so that much evidence gives a tight bound) to g / 3
        (so that little evidence gives one at all). The bound is the smallest g such that g and every
        larger grid value are rejected at E >= 1 / alpha. If the true ratio is r >= bound, the largest g <= r was
        rejected although true, which has probability at most `alpha`, at any one time the caller chooses to look (a
        stopping time included). The answer is a grid value, so it is rounded up.
        """
        needed = -math.log(expect.probability("alpha", alpha))
        bound = math.inf
        for null in reversed(self.ratio_grid):
            if self._likelihood.log_e([null / odds for odds in BOUND_RATIOS], null) < needed:
                break
            bound = null
        return bound

    def state(self) -> NegativesShareState:
        """Return everything needed to go on later, exactly, after a round trip through JSON."""
        return {
            "rho0": self.rho0,
            "alpha": self.alpha,
            "odds_ratios": list(self.odds_ratios),
            "ratio_grid": list(self.ratio_grid),
            "drag": list(self._likelihood.drag.values()),
            "n": self.n,
            "canary": self.canary,
            "harmful": self.harmful,
        }

    @classmethod
    def from_state(cls, state: NegativesShareState) -> Self:
        """Rebuild from `state()`. Raises ValueError for a state that cannot be one."""
        expect.keys(state, NegativesShareState)
        share = cls(
            rho0=state["rho0"],
            alpha=state["alpha"],
            odds_ratios=state["odds_ratios"],
            ratio_grid=state["ratio_grid"],
        )
        share._likelihood.restore(state["drag"], state["n"], state["canary"])
        share.harmful = bool(state["harmful"])
        return share


class SampleRatioCheckState(TypedDict):
    """Everything a `SampleRatioCheck` knows, as JSON numbers."""

    alpha: float
    odds_ratios: list[float]
    drag: list[float]
    n: int
    canary: int
    mismatch: bool


class SampleRatioCheck:
    """Check that units reach the canary in the share they were meant to (sample ratio mismatch, SRM).

    For a user: a mismatch means that assignment or logging is broken (a crash before the event is sent, a cache, a
    bot), so no comparison of the arms can be trusted. With a sound split it alarms with probability at most
    `alpha`, ever.

    Formula: the coin of the module docstring against rho = 1, two-sided: the mean over rho and 1 / rho, rho in
    `odds_ratios`, of the likelihood ratios; mismatch when it reaches 1 / alpha.
    Assumption (H0): each new unit is the canary's with probability `share`, given the past.
    Raises ValueError for arguments out of range.
    """

    __slots__ = ("_likelihood", "alpha", "mismatch", "odds_ratios")

    def __init__(self, *, alpha: float = 0.01, odds_ratios: Iterable[float] = IMBALANCE_RATIOS) -> None:
        self.alpha = expect.probability("alpha", alpha)
        self.odds_ratios = expect.odds_ratios("odds_ratios", odds_ratios, above_one=True)
        self._likelihood = RatioLikelihood({1.0, *self.odds_ratios} | {1.0 / odds for odds in self.odds_ratios})
        self.mismatch = False

    @property
    def n(self) -> int:
        """Units counted."""
        return self._likelihood.n

    @property
    def canary(self) -> int:
        """Units that reached the canary."""
        return self._likelihood.canary

    @property
    def log_e_value(self) -> float:
        """The logarithm of the evidence that the split is not the one intended, in either direction."""
        return self._likelihood.log_e([r for r in self._likelihood.ratios if r != 1.0], 1.0)

    def update(self, in_canary: bool, share: float) -> bool:  # noqa: FBT001  one assignment is a pair
        """Take one unit's first exposure, assigned at canary share `share`; return whether a mismatch is shown."""
        return self.update_batch(int(in_canary), int(not in_canary), share)

    def update_batch(self, canary: int, stable: int, share: float) -> bool:
        """Take counts of units under one share: the same evidence as one by one, looked at once."""
        self._likelihood.add(canary, stable, share)
        self.mismatch = self.mismatch or self.log_e_value >= -math.log(self.alpha)
        return self.mismatch

    def state(self) -> SampleRatioCheckState:
        """Return everything needed to go on later, exactly, after a round trip through JSON."""
        return {
            "alpha": self.alpha,
            "odds_ratios": list(self.odds_ratios),
            "drag": list(self._likelihood.drag.values()),
            "n": self.n,
            "canary": self.canary,
            "mismatch": self.mismatch,
        }

    @classmethod
    def from_state(cls, state: SampleRatioCheckState) -> Self:
        """Rebuild from `state()`. Raises ValueError for a state that cannot be one."""
        expect.keys(state, SampleRatioCheckState)
        check = cls(alpha=state["alpha"], odds_ratios=state["odds_ratios"])
        check._likelihood.restore(state["drag"], state["n"], state["canary"])
        check.mismatch = bool(state["mismatch"])
        return check
