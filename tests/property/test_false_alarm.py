"""The promises about false alarms, by simulation: seeded, with room for chance, and shown to be able to fail."""

import math
import random
from collections.abc import Callable, Iterator

import pytest
from scipy import stats

from trimtab.stats.detector import RateMonitor
from trimtab.stats.share import NegativesShare, SampleRatioCheck
from trimtab.stats.verification import VerifiedFix

ALPHA = 0.2
PATHS = 400
LENGTH = 600
Z_ALPHA = float(stats.norm.isf(ALPHA))

Stream = Callable[[random.Random], Iterator[float]]


def ceiling(alpha: float, paths: int) -> int:
    """Return a count that a true rate of alpha exceeds once in ten thousand runs."""
    return int(stats.binom.ppf(0.9999, paths, alpha))


def steady(rng: random.Random) -> Iterator[float]:
    """Exactly at the reference of 10%, the hardest null for a monitor."""
    for _ in range(LENGTH):
        yield float(rng.random() < 0.1)


def wandering(rng: random.Random) -> Iterator[float]:
    """Between 0 and 10%, returning to the reference after quiet stretches."""
    for t in range(LENGTH):
        yield float(rng.random() < 0.1 * abs(math.sin(t / 40)))


def contrary(rng: random.Random) -> Iterator[float]:
    """Depends on its own past: safe after good luck, at the reference after bad luck."""
    bad = 0.0
    for t in range(LENGTH):
        x = float(rng.random() < (0.1 if bad >= 0.1 * t else 0.02))
        bad += x
        yield x


def scores(rng: random.Random) -> Iterator[float]:
    """Fractions with mean 10%."""
    for _ in range(LENGTH):
        yield rng.betavariate(0.3, 2.7)


def alarms(stream: Stream, rule: Callable[[Iterator[float]], bool]) -> int:
    return sum(rule(stream(random.Random(seed))) for seed in range(PATHS))


def monitored(stream: Iterator[float]) -> bool:
    monitor = RateMonitor(0.1, horizon=LENGTH, alpha=ALPHA)
    return any(monitor.update(x) for x in stream)


def monitored_in_batches(stream: Iterator[float]) -> bool:
    monitor = RateMonitor(0.1, horizon=LENGTH, alpha=ALPHA)
    votes = [int(x) for x in stream]
    return any(monitor.update_batch(20, sum(votes[at : at + 20])) for at in range(0, LENGTH, 20))


def peeked_z(stream: Iterator[float]) -> bool:
    bad = 0.0
    for n, x in enumerate(stream, start=1):
        bad += x
        if n >= 30 and (bad / n - 0.1) / math.sqrt(0.09 / n) > Z_ALPHA:
            return True
    return False


@pytest.mark.parametrize("stream", [steady, wandering, contrary, scores])
def test_monitor_keeps_its_false_alarm_promise_on_every_null(stream: Stream) -> None:
    assert alarms(stream, monitored) <= ceiling(ALPHA, PATHS)


def test_monitor_in_batches_keeps_its_false_alarm_promise() -> None:
    assert alarms(steady, monitored_in_batches) <= ceiling(ALPHA, PATHS)


def test_the_same_yardstick_catches_a_peeked_z_test() -> None:
    assert PATHS * ALPHA * 1.5 < alarms(steady, peeked_z) > ceiling(ALPHA, PATHS)


def test_the_same_yardstick_catches_a_reference_set_too_low() -> None:
    def too_low(stream: Iterator[float]) -> bool:
        monitor = RateMonitor(0.07, horizon=LENGTH, alpha=ALPHA)
        return any(monitor.update(x) for x in stream)

    assert alarms(steady, too_low) > ceiling(ALPHA, PATHS)


def test_monitor_finds_a_doubled_rate_almost_always() -> None:
    found = 0
    for seed in range(100):
        rng = random.Random(seed)
        monitor = RateMonitor(0.1, horizon=LENGTH, alpha=0.05)
        found += any(monitor.update(rng.random() < 0.2) for _ in range(LENGTH))
    assert found >= 95


def test_verification_keeps_its_promise_on_a_stream_that_is_not_fixed() -> None:
    def verified(stream: Iterator[float]) -> bool:
        fix = VerifiedFix(0.1, alpha=ALPHA)
        return any(fix.update(x) for x in stream)

    assert alarms(steady, verified) <= ceiling(ALPHA, PATHS)


def ramp(t: int) -> float:
    return (0.05, 0.2, 0.5)[3 * t // LENGTH]


def negatives(rng: random.Random, ratio: float) -> Iterator[tuple[bool, float]]:
    """Negatives of two arms over a ramp, both hit by shocks that triple the rate, and by a slow tide."""
    for t in range(LENGTH * 5):
        share = ramp(t // 5)
        canary = rng.random() < share
        rate = 0.1 * (3.0 if t % 500 < 100 else 1.0) * (1 + 0.5 * math.sin(t / 300))
        if rng.random() < rate * (ratio if canary else 1.0):
            yield canary, share


def test_equal_arms_are_called_harmful_at_most_as_often_as_promised() -> None:
    harmful = 0
    for seed in range(PATHS):
        test = NegativesShare(alpha=ALPHA, ratio_grid=(1.0,))
        harmful += any(test.update(*event) for event in negatives(random.Random(seed), 1.0))
    assert harmful <= ceiling(ALPHA, PATHS)


def test_ignoring_the_ramp_breaks_the_promise() -> None:
    harmful = 0
    for seed in range(100):
        test = NegativesShare(alpha=ALPHA, ratio_grid=(1.0,))
        harmful += any(test.update(arm, 0.2) for arm, _ in negatives(random.Random(seed), 1.0))
    assert harmful > ceiling(ALPHA, 100)


def test_a_canary_twice_as_bad_is_found_almost_always() -> None:
    found = 0
    for seed in range(60):
        test = NegativesShare(ratio_grid=(1.0,))
        found += any(test.update(*event) for event in negatives(random.Random(seed), 2.0))
    assert found >= 57


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.2])
def test_upper_bound_covers_the_true_ratio_as_often_as_promised(ratio: float) -> None:
    missed = 0
    paths = 150
    for seed in range(paths):
        test = NegativesShare()
        for event in negatives(random.Random(seed), ratio):
            test.update(*event)
        missed += test.rate_ratio_upper(ALPHA) <= ratio
    assert missed <= ceiling(ALPHA, paths)


def test_a_sound_split_is_called_a_mismatch_at_most_as_often_as_promised() -> None:
    wrong, paths = 0, 200
    for seed in range(paths):
        rng = random.Random(seed)
        check = SampleRatioCheck(alpha=ALPHA)
        wrong += any(check.update(rng.random() < ramp(t), ramp(t)) for t in range(LENGTH))
    assert wrong <= ceiling(ALPHA, paths)
