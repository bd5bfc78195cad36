"""Bets against a rate, and their average: what every sequential test here is made of.

A bet on "the rate is p1, not p0" multiplies its wealth at each outcome x in [0, 1] (1 = bad) by

    L(x) = 1 + lambda * (x - p0),    lambda = (p1 - p0) / (p0 * (1 - p0)).

For x in {0, 1} this is the Bernoulli likelihood ratio of p1 against p0. L is linear in x, so E[L | past] <= 1
whenever the conditional mean of x is on the null side of p0, for any distribution on [0, 1] and without independence
(Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting").
p1 is named by its odds ratio to p0, so that one grid fits rates of 0.1% and of 40%. We do not know the size of a
change beforehand, so we hold one bet per odds ratio and average the wealths; an average of valid bets is valid.
"""

import math
from collections.abc import Sequence

__all__ = ["Bet", "log_mean_exp"]


class Bet:
    """One odds ratio's bet against `rate`: the logarithms of L(0) and L(1), and L at a fraction.

    L(0) = (1 - p1) / (1 - p0) and L(1) = p1 / p0, so neither logarithm can be infinite.
    """

    __slots__ = ("at_bad", "at_good", "rate", "slope")

    def __init__(self, rate: float, odds_ratio: float) -> None:
        odds = odds_ratio * rate / (1.0 - rate)
        alternative = odds / (1.0 + odds)
        self.rate = rate
        self.slope = (alternative - rate) / (rate * (1.0 - rate))
        self.at_bad = math.log1p(self.slope * (1.0 - rate))
        self.at_good = math.log1p(-self.slope * rate)

    def log_gain(self, x: float) -> float:
        """Return log L(x)."""
        if x == 0.0:
            return self.at_good
        if x == 1.0:
            return self.at_bad
        return math.log1p(self.slope * (x - self.rate))

    def log_gain_counts(self, n: int, bad: int) -> float:
        """Return the sum of log L over `bad` ones and `n - bad` zeros."""
        return bad * self.at_bad + (n - bad) * self.at_good


def log_mean_exp(logs: Sequence[float]) -> float:
    """Return log(mean(exp(logs))) without overflow, however strong the evidence is."""
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))
