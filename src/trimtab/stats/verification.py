"""Prove a fix on live feedback."""

import math
from collections.abc import Iterable
from typing import Final, Self, TypedDict

from trimtab.stats import expect
from trimtab.stats.mixture import Bet, log_mean_exp

__all__ = ["REPAIR_ODDS_RATIOS", "VerifiedFix", "VerifiedFixState"]

REPAIR_ODDS_RATIOS: Final = (0.8, 0.6, 0.4, 0.2)


class VerifiedFixState(TypedDict):
    """Everything a `VerifiedFix` knows, as JSON numbers."""

    p_v: float
    alpha: float
    odds_ratios: list[float]
    log_e: list[float]
    n: int
    bad: float
    verified: bool


class VerifiedFix:
    """Collect evidence that the bad rate of a stream lies below `p_v`; verified once it is 1 / alpha to 1.

    For a user: an incident counts as fixed only when the new version's own feedback says so. If the rate in truth is
    still `p_v` or worse, the probability that this ever says "verified" is at most `alpha`, however often one looks.

    Formula: E_k(t) = product of L_k(x_i), i <= t, with L_k the bet of `mixture.Bet` on odds ratios below 1;
    verified when mean_k E_k >= 1 / alpha. Assumption (H0): E[x_t | past] >= p_v at every t, x in [0, 1], 1 = bad.
    Then mean_k E_k is a test supermartingale and Ville's inequality gives the bound; there is no horizon.
    Source: Ramdas, Gruenwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference".

    Raises ValueError for arguments out of range.
    """

    __slots__ = ("_bets", "_log_e", "alpha", "bad", "log_threshold", "n", "odds_ratios", "p_v", "verified")

    def __init__(self, p_v: float, *, alpha: float = 0.05, odds_ratios: Iterable[float] = REPAIR_ODDS_RATIOS) -> None:
        self.p_v = expect.probability("p_v", p_v)
        self.alpha = expect.probability("alpha", alpha)
        self.odds_ratios = expect.odds_ratios("odds_ratios", odds_ratios, above_one=False)
        self.log_threshold = -math.log(alpha)
        self._bets = tuple(Bet(p_v, ratio) for ratio in self.odds_ratios)
        self._log_e = [0.0] * len(self._bets)
        self.n = 0
        self.bad = 0.0
        self.verified = False

    @classmethod
    def between(cls, *, incident_rate: float, reference_rate: float, alpha: float = 0.05) -> Self:
        """Ask for a rate below the midpoint of the incident's rate and its reference: more than half repaired.

        Raises ValueError unless incident_rate > reference_rate: there would be nothing to repair.
        """
        expect.fraction("reference_rate", reference_rate)
        expect.fraction("incident_rate", incident_rate)
        if incident_rate <= reference_rate:
            raise ValueError(
                f"expected incident_rate to be above reference_rate ({reference_rate!r}), got {incident_rate!r}"
            )
        return cls((incident_rate + reference_rate) / 2.0, alpha=alpha)

    @property
    def log_e_value(self) -> float:
        """The logarithm of the evidence, mean_k E_k."""
        return log_mean_exp(self._log_e)

    @property
    def evidence(self) -> float:
        """log_e_value - log(1 / alpha), in nats: 0 is verified."""
        return self.log_e_value - self.log_threshold

    def update(self, x: float) -> bool:
        """Take one outcome in [0, 1] and return whether the fix has been verified by now."""
        x = expect.fraction("x", float(x))
        for k, bet in enumerate(self._bets):
            self._log_e[k] += bet.log_gain(x)
        return self._close(1, x)

    def update_batch(self, n: int, bad: int) -> bool:
        """Take `n` outcomes, `bad` of them 1 and the rest 0: the same evidence as one by one, looked at once."""
        expect.counts("bad", bad, "n", n)
        for k, bet in enumerate(self._bets):
            self._log_e[k] += bet.log_gain_counts(n, bad)
        return self._close(n, bad)

    def _close(self, n: int, bad: float) -> bool:
        self.n += n
        self.bad += bad
        self.verified = self.verified or self.log_e_value >= self.log_threshold
        return self.verified

    def state(self) -> VerifiedFixState:
        """Return everything needed to go on later, exactly, after a round trip through JSON."""
        return {
            "p_v": self.p_v,
            "alpha": self.alpha,
            "odds_ratios": list(self.odds_ratios),
            "log_e": list(self._log_e),
            "n": self.n,
            "bad": self.bad,
            "verified": self.verified,
        }

    @classmethod
    def from_state(cls, state: VerifiedFixState) -> Self:
        """Rebuild from `state()`. Raises ValueError for a state that cannot be one."""
        expect.keys(state, VerifiedFixState)
        fix = cls(state["p_v"], alpha=state["alpha"], odds_ratios=state["odds_ratios"])
        fix._log_e = expect.numbers("log_e", state["log_e"], size=len(fix._bets))
        fix.n = expect.count("n", state["n"])
        fix.bad = float(state["bad"])
        fix.verified = bool(state["verified"])
        return fix
