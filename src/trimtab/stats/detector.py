"""The default trigger: notice that the bad rate of a stream has risen above its reference."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self, TypedDict

from trimtab.stats import expect
from trimtab.stats.mixture import Bet, log_mean_exp

__all__ = ["HARM_ODDS_RATIOS", "Onset", "RateMonitor", "RateMonitorState"]

HARM_ODDS_RATIOS: Final = (1.25, 1.5, 2.0, 3.0, 5.0)


class RateMonitorState(TypedDict):
    """Everything a `RateMonitor` knows, as JSON numbers: store it, restore it, go on as if nothing had happened."""

    p0: float
    horizon: int
    alpha: float
    odds_ratios: list[float]
    log_r: list[float]
    cusum: list[float]
    since_n: list[int]
    since_bad: list[float]
    n: int
    bad: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class Onset:
    """Where the rise seems to begin. `n` events back from the newest, the newest included.

    `index` counts from 0 at the monitor's start or last `reset`. `rate` = bad / n describes the events since then. The
    starting point was picked because it looks bad, so `rate` leans high: use it to describe, not to decide.
    """

    index: int
    n: int
    bad: float

    @property
    def rate(self) -> float:
        """The bad rate since the onset."""
        return self.bad / self.n


class RateMonitor:
    """Watch a stream of outcomes in [0, 1] (1 = bad) and alarm when its mean has risen above `p0`.

    For a user: look at it after every event, for months; within the first `horizon` events after a start or reset,
    the probability of any alarm is at most `alpha` as long as nothing got worse than `p0`.

    Formula: a mixture Shiryaev-Roberts e-detector with a head start. For each odds ratio k, with L_k of `mixture.Bet`,

        R_k(0) = horizon,    R_k(t) = (R_k(t-1) + 1) * L_k(x_t),    alarm when mean_k R_k(t) >= 2 * horizon / alpha.

    Assumption (H0): E[x_t | past] <= p0 at every t. The rate may wander below p0 and outcomes need not be independent;
    but several votes of one angry user break it, so count each user once per window before the votes come here.

    Why the bound holds: let R be the mean of the R_k and M_t = R_t + (n - t) for t <= n. Under H0 the expectation of
    R_t given the past is at most R_(t-1) + 1, so M is a non-negative supermartingale starting at horizon + n. By
    Ville's inequality P(R reaches c within n events) <= (horizon + n) / c, which is `alpha` at n = horizon. Beyond the
    horizon the bound grows linearly (2 alpha at three horizons). After an alarm, `reset` starts the same promise anew.
    The head start spends half of alpha on "bad from the first event", where a new version needs it.

    What it cannot see: the smallest bet, odds 1.25 times those of p0, loses money below about 1.12 times, so a rise of
    5% -> 5.5% is not reliably found. Time and memory are constant per event.

    Source: Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (the
    detectors and mixtures); Ville 1939 (the inequality); the head start is derived above.

    Raises ValueError for arguments out of range.

        monitor = RateMonitor(0.05, horizon=20_000)
        for vote_is_bad in stream:
            if monitor.update(vote_is_bad):
                print(monitor.onset)
    """

    __slots__ = (
        "_bets",
        "_cusum",
        "_log_r",
        "_since_bad",
        "_since_n",
        "alarm",
        "alpha",
        "bad",
        "horizon",
        "log_threshold",
        "n",
        "odds_ratios",
        "p0",
    )

    def __init__(
        self, p0: float, *, horizon: int, alpha: float = 0.05, odds_ratios: Iterable[float] = HARM_ODDS_RATIOS
    ) -> None:
        self.p0 = expect.probability("p0", p0)
        self.horizon = expect.count("horizon", horizon, least=1)
        self.alpha = expect.probability("alpha", alpha)
        self.odds_ratios = expect.odds_ratios("odds_ratios", odds_ratios, above_one=True)
        self.log_threshold = math.log(2.0 * horizon / alpha)
        self._bets = tuple(Bet(p0, ratio) for ratio in self.odds_ratios)
        self.reset()

    def reset(self) -> None:
        """Begin again with the head start, as after an alarm has become an incident."""
        size = len(self._bets)
        self._log_r = [math.log(self.horizon)] * size
        self._cusum = [0.0] * size
        self._since_n = [0] * size
        self._since_bad = [0.0] * size
        self.n = 0
        self.bad = 0.0
        self.alarm = False

    @property
    def log_stat(self) -> float:
        """The logarithm of the mixture statistic, mean_k R_k."""
        return log_mean_exp(self._log_r)

    @property
    def evidence(self) -> float:
        """log_stat - log_threshold, in nats: 0 is the alarm, -2.3 is a tenth of it, log(alpha / 2) the start."""
        return self.log_stat - self.log_threshold

    @property
    def onset(self) -> Onset | None:
        """The estimated beginning of the rise, or None while nothing points to one.

        For each odds ratio a CUSUM runs beside the statistic, S_k = max(0, S_k + log L_k(x)) (Page 1954). The onset is
        the event after the last time the highest CUSUM stood at 0: the maximum likelihood change point at that ratio.
        After `update_batch` it falls on a border between batches.
        """
        best = max(range(len(self._cusum)), key=self._cusum.__getitem__)
        since = self._since_n[best]
        if since == 0:
            return None
        return Onset(index=self.n - since, n=since, bad=self._since_bad[best])

    @property
    def starts(self) -> set[int]:
        """The places, counted as `Onset.index` is, at which a rise may have begun: at most one per odds ratio."""
        return {self.n - since for since in self._since_n if since > 0}

    def update(self, x: float) -> bool:
        """Take one outcome in [0, 1], a bool included; return whether the monitor has alarmed since its last reset."""
        x = expect.fraction("x", float(x))
        log_r = self._log_r
        for k, bet in enumerate(self._bets):
            gain = bet.log_gain(x)
            before = log_r[k]
            # log(R + 1) with the larger term outside, so that neither side can overflow
            grown = before + math.log1p(math.exp(-before)) if before > 0.0 else math.log1p(math.exp(before))
            log_r[k] = grown + gain
            self._follow(k, gain, 1, x)
        return self._close(1, x)

    def update_batch(self, n: int, bad: int) -> bool:
        """Take `n` outcomes at once, `bad` of them 1 and the rest 0; return as `update` does.

        R_k <- (R_k + n) * L_k(1)^bad * L_k(0)^(n - bad). The same bound holds provided the borders of batches do not
        depend on outcomes (a clock or a fixed count is fine). A batch of one equals one `update`; larger batches may
        alarm somewhat later, since a rise can only begin at a border.
        """
        expect.counts("bad", bad, "n", n)
        if n == 0:
            return self.alarm
        log_n = math.log(n)
        for k, bet in enumerate(self._bets):
            gain = bet.log_gain_counts(n, bad)
            high, low = max(self._log_r[k], log_n), min(self._log_r[k], log_n)
            self._log_r[k] = high + math.log1p(math.exp(low - high)) + gain
            self._follow(k, gain, n, bad)
        return self._close(n, bad)

    def _follow(self, k: int, gain: float, n: int, bad: float) -> None:
        height = self._cusum[k] + gain
        if height > 0.0:
            self._cusum[k] = height
            self._since_n[k] += n
            self._since_bad[k] += bad
        elif self._since_n[k]:
            self._cusum[k] = 0.0
            self._since_n[k] = 0
            self._since_bad[k] = 0.0

    def _close(self, n: int, bad: float) -> bool:
        self.n += n
        self.bad += bad
        # a mean is at most its maximum, so the exponentials are only needed near the threshold
        if not self.alarm and max(self._log_r) >= self.log_threshold:
            self.alarm = self.log_stat >= self.log_threshold
        return self.alarm

    def state(self) -> RateMonitorState:
        """Return everything needed to go on later, exactly, after a round trip through JSON."""
        return {
            "p0": self.p0,
            "horizon": self.horizon,
            "alpha": self.alpha,
            "odds_ratios": list(self.odds_ratios),
            "log_r": list(self._log_r),
            "cusum": list(self._cusum),
            "since_n": list(self._since_n),
            "since_bad": list(self._since_bad),
            "n": self.n,
            "bad": self.bad,
            "alarm": self.alarm,
        }

    @classmethod
    def from_state(cls, state: RateMonitorState) -> Self:
        """Rebuild a monitor from `state()`. Raises ValueError for a state that no monitor can have."""
        expect.keys(state, RateMonitorState)
        monitor = cls(state["p0"], horizon=state["horizon"], alpha=state["alpha"], odds_ratios=state["odds_ratios"])
        size = len(monitor._bets)
        monitor._log_r = expect.numbers("log_r", state["log_r"], size=size)
        monitor._cusum = expect.numbers("cusum", state["cusum"], size=size)
        monitor._since_bad = expect.numbers("since_bad", state["since_bad"], size=size)
        monitor._since_n = [int(value) for value in expect.numbers("since_n", state["since_n"], size=size)]
        monitor.n = expect.count("n", state["n"])
        monitor.bad = float(state["bad"])
        monitor.alarm = bool(state["alarm"])
        return monitor
