"""A test that is stored, restored and fed in parts decides as one that never stopped."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.stats.detector import RateMonitor
from trimtab.stats.share import BOUND_RATIOS, NegativesShare, SampleRatioCheck
from trimtab.stats.verification import VerifiedFix

rates = st.floats(0.001, 0.999)
outcomes = st.lists(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)), max_size=120)
votes = st.lists(st.booleans(), max_size=120)
coins = st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), max_size=60)


class LinearReference:
    """The detector's recursion in plain numbers, one multiplication at a time."""

    def __init__(self, p0: float, horizon: int, odds_ratios: tuple[float, ...]) -> None:
        self.p0 = p0
        self.alternatives = [ratio * p0 / (1 - p0 + ratio * p0) for ratio in odds_ratios]
        self.wealth = [float(horizon)] * len(odds_ratios)

    def update(self, x: float) -> float:
        for k, p1 in enumerate(self.alternatives):
            blend = x * (p1 / self.p0) + (1 - x) * ((1 - p1) / (1 - self.p0))
            self.wealth[k] = (self.wealth[k] + 1) * blend
        return sum(self.wealth) / len(self.wealth)


@given(st.floats(0.01, 0.9), st.integers(1, 100_000), st.floats(0.001, 0.5), outcomes)
def test_monitor_agrees_with_the_plain_recursion(p0: float, horizon: int, alpha: float, stream: list[float]) -> None:
    monitor = RateMonitor(p0, horizon=horizon, alpha=alpha)
    reference = LinearReference(p0, horizon, monitor.odds_ratios)
    threshold = 2 * horizon / alpha
    alarmed = False
    for x in stream:
        stat = reference.update(x)
        answer = monitor.update(x)
        assert monitor.log_stat == pytest.approx(math.log(stat), rel=1e-9, abs=1e-9)
        if not math.isclose(stat, threshold, rel_tol=1e-9):
            alarmed = alarmed or stat >= threshold
            assert answer is alarmed
        alarmed = answer


def brute_onset(monitor: RateMonitor, stream: list[float]) -> tuple[float, int]:
    """Return the highest sum of log gains over any suffix and odds ratio, and where that suffix begins."""
    best, at = 0.0, len(stream)
    odds = monitor.p0 / (1 - monitor.p0)
    for ratio in monitor.odds_ratios:
        p1 = ratio * odds / (1 + ratio * odds)
        for start in range(len(stream)):
            total = sum(math.log(x * p1 / monitor.p0 + (1 - x) * (1 - p1) / (1 - monitor.p0)) for x in stream[start:])
            if total > best + 1e-9:
                best, at = total, start
    return best, at


@given(st.floats(0.05, 0.6), st.lists(st.sampled_from([0.0, 1.0, 0.31]), max_size=25))
def test_onset_is_the_suffix_that_speaks_loudest_for_a_rise(p0: float, stream: list[float]) -> None:
    monitor = RateMonitor(p0, horizon=1000)
    for x in stream:
        monitor.update(x)
    best, at = brute_onset(monitor, stream)
    onset = monitor.onset
    if best < 1e-6:
        return
    assert onset is not None
    assert onset.index + onset.n == len(stream)
    assert onset.bad == pytest.approx(sum(stream[onset.index :]))
    assert max(monitor.state()["cusum"]) == pytest.approx(best, rel=1e-6, abs=1e-9)
    assert onset.index == at


@given(rates, outcomes, st.data())
def test_monitor_resumed_at_any_point_equals_a_straight_run(
    p0: float, stream: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    straight = RateMonitor(p0, horizon=500)
    resumed = RateMonitor(p0, horizon=500)
    for x in stream[:cut]:
        resumed.update(x)
    resumed = RateMonitor.from_state(json.loads(json.dumps(resumed.state())))
    for x in stream[cut:]:
        resumed.update(x)
    for x in stream:
        straight.update(x)
    assert resumed.state() == straight.state()
    assert resumed.onset == straight.onset


@given(rates, outcomes, st.data())
def test_verification_resumed_at_any_point_equals_a_straight_run(
    p_v: float, stream: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    straight, resumed = VerifiedFix(p_v), VerifiedFix(p_v)
    for x in stream[:cut]:
        resumed.update(x)
    resumed = VerifiedFix.from_state(json.loads(json.dumps(resumed.state())))
    for x in stream[cut:]:
        resumed.update(x)
    for x in stream:
        straight.update(x)
    assert resumed.state() == straight.state()


@pytest.mark.parametrize("test", [NegativesShare, SampleRatioCheck])
@given(stream=coins, data=st.data())
def test_share_resumed_at_any_point_equals_a_straight_run(
    test: type[NegativesShare] | type[SampleRatioCheck],
    stream: list[tuple[bool, float]],
    data: st.DataObject,
) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    straight, resumed = test(), test()
    for coin in stream[:cut]:
        resumed.update(*coin)
    restore: Callable[..., NegativesShare | SampleRatioCheck] = test.from_state
    resumed = restore(json.loads(json.dumps(resumed.state())))
    for coin in stream[cut:]:
        resumed.update(*coin)
    for coin in stream:
        straight.update(*coin)
    assert resumed.state() == straight.state()


@given(rates, votes)
def test_a_batch_of_one_is_one_update(p0: float, stream: list[bool]) -> None:
    single, batched = RateMonitor(p0, horizon=500), RateMonitor(p0, horizon=500)
    for vote in stream:
        single.update(vote)
        batched.update_batch(1, int(vote))
    assert batched.log_stat == pytest.approx(single.log_stat)
    assert batched.alarm is single.alarm
    assert batched.onset == single.onset


@given(rates, st.lists(votes, max_size=8))
def test_verification_in_batches_holds_the_same_evidence(p_v: float, batches: list[list[bool]]) -> None:
    single, batched = VerifiedFix(p_v), VerifiedFix(p_v)
    for batch in batches:
        for vote in batch:
            single.update(vote)
        batched.update_batch(len(batch), sum(batch))
    assert batched.log_e_value == pytest.approx(single.log_e_value, rel=1e-9, abs=1e-9)
    assert (batched.n, batched.bad) == (single.n, single.bad)
    assert single.verified or not batched.verified


@given(st.floats(0.01, 0.99), votes)
def test_share_evidence_depends_on_counts_and_not_on_their_order(share: float, stream: list[bool]) -> None:
    single, batched = NegativesShare(), NegativesShare()
    for from_canary in stream:
        single.update(from_canary, share)
    batched.update_batch(sum(stream), len(stream) - sum(stream), share)
    assert batched.log_e_value == pytest.approx(single.log_e_value, rel=1e-9, abs=1e-9)


@given(coins, st.floats(0.5, 2.0))
def test_share_agrees_with_the_product_of_coin_likelihoods(stream: list[tuple[bool, float]], rho0: float) -> None:
    test = NegativesShare(rho0=rho0)
    odds = test.odds_ratios
    logs = [0.0] * len(odds)
    for from_canary, pi in stream:
        test.update(from_canary, pi)
        null = pi * rho0 / (pi * rho0 + 1 - pi)
        for k, ratio in enumerate(odds):
            theta = pi * ratio * rho0 / (pi * ratio * rho0 + 1 - pi)
            logs[k] += math.log(theta / null if from_canary else (1 - theta) / (1 - null))
    expected = math.log(sum(map(math.exp, logs)) / len(logs))
    assert test.log_e_value == pytest.approx(expected, rel=1e-7, abs=1e-7)


def theta(pi: float, ratio: float) -> float:
    return pi * ratio / (pi * ratio + 1 - pi)


def rejects(stream: list[tuple[bool, float]], null: float, alpha: float) -> bool:
    """Return whether bets on lower ratios have made 1 / alpha against "the ratio is `null` or more"."""
    wealth = [
        math.prod(
            theta(pi, null / odds) / theta(pi, null)
            if from_canary
            else (1 - theta(pi, null / odds)) / (1 - theta(pi, null))
            for from_canary, pi in stream
        )
        for odds in BOUND_RATIOS
    ]
    return sum(wealth) / len(wealth) >= 1 / alpha


@given(
    st.integers(0, 20),
    st.integers(0, 120),
    st.sampled_from([(0.1, 0.5), (0.5, 0.5), (0.3, 0.8)]),
    st.floats(0.02, 0.6),
)
def test_upper_bound_is_the_last_of_an_unbroken_run_of_rejections(
    canary: int, stable: int, ramp: tuple[float, float], alpha: float
) -> None:
    stream = [(index < canary, ramp[index % 2]) for index in range(canary + stable)]
    test = NegativesShare()
    for event in stream:
        test.update(*event)
    expected = math.inf
    for null in sorted(test.ratio_grid, reverse=True):
        if not rejects(stream, null, alpha):
            break
        expected = null
    assert test.rate_ratio_upper(alpha) == expected
