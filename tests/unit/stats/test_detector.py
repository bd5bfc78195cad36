import json
import math

import pytest

from trimtab.stats.detector import RateMonitor


def test_head_start_is_half_of_alpha_below_the_threshold() -> None:
    monitor = RateMonitor(0.05, horizon=20_000, alpha=0.05)
    assert monitor.evidence == pytest.approx(math.log(0.05 / 2))
    assert not monitor.alarm
    assert monitor.onset is None


def test_earliest_alarm_at_five_percent_is_four_straight_negatives() -> None:
    monitor = RateMonitor(0.05, horizon=20_000, alpha=0.05)
    assert [monitor.update(x=1) for _ in range(4)] == [False, False, False, True]


def test_alarm_stays_until_reset_and_reset_starts_anew() -> None:
    monitor = RateMonitor(0.05, horizon=1000)
    fresh = monitor.state()
    for _ in range(10):
        monitor.update(1)
    assert all(monitor.update(0) for _ in range(500))
    monitor.reset()
    assert monitor.state() == fresh


def test_onset_names_the_event_where_the_rise_began() -> None:
    monitor = RateMonitor(0.05, horizon=10_000)
    for index in range(1000):
        monitor.update(index % 25 == 0)
    for _ in range(20):
        monitor.update(0)
    for _ in range(30):
        monitor.update(1)
    onset = monitor.onset
    assert onset is not None
    assert (onset.index, onset.n, onset.bad, onset.rate) == (1020, 30, 30.0, 1.0)


def test_onset_counts_every_event_since_it() -> None:
    monitor = RateMonitor(0.1, horizon=1000)
    for x in (0, 0, 0, 1, 1, 0, 1):
        monitor.update(x)
    onset = monitor.onset
    assert onset is not None
    assert (onset.index, onset.n, onset.bad) == (3, 4, 3.0)


def test_evidence_does_not_overflow_long_after_an_alarm() -> None:
    monitor = RateMonitor(0.01, horizon=100)
    for _ in range(5000):
        monitor.update(1)
    assert math.isfinite(monitor.evidence)
    assert monitor.evidence > 1000


def test_a_quiet_stream_of_a_million_keeps_finite_numbers() -> None:
    monitor = RateMonitor(0.3, horizon=100)
    monitor.update_batch(1_000_000, 0)
    assert not monitor.update(0)
    assert all(map(math.isfinite, monitor.state()["log_r"]))


def test_fractional_scores_rising_from_a_fifth_to_a_third_alarm() -> None:
    monitor = RateMonitor(0.2, horizon=5000)
    assert not any(monitor.update((0.1, 0.2, 0.3)[i % 3]) for i in range(3000))
    assert any(monitor.update((0.25, 0.35, 0.45)[i % 3]) for i in range(500))


def test_state_is_plain_json() -> None:
    monitor = RateMonitor(0.05, horizon=1000)
    monitor.update(0.3)
    state = monitor.state()
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize(
    ("p0", "horizon", "alpha", "odds_ratios", "message"),
    [
        (0.0, 100, 0.05, (2.0,), "expected p0 to be strictly between 0 and 1, got 0.0"),
        (math.nan, 100, 0.05, (2.0,), "expected p0 to be strictly between 0 and 1, got nan"),
        (0.1, 0, 0.05, (2.0,), "expected horizon to be a whole number >= 1, got 0"),
        (0.1, True, 0.05, (2.0,), "expected horizon to be a whole number >= 1, got True"),
        (0.1, 100, 1.0, (2.0,), "expected alpha to be strictly between 0 and 1, got 1.0"),
        (0.1, 100, 0.05, (), r"expected odds_ratios to be one or more numbers finite and above 1, got \(\)"),
        (0.1, 100, 0.05, (0.5,), r"expected odds_ratios .* above 1, got \(0.5,\)"),
    ],
)
def test_arguments_out_of_range_are_named(
    p0: float, horizon: int, alpha: float, odds_ratios: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RateMonitor(p0, horizon=horizon, alpha=alpha, odds_ratios=odds_ratios)


@pytest.mark.parametrize("x", [-0.01, 1.01, math.nan, math.inf])
def test_an_outcome_outside_zero_to_one_is_refused_and_changes_nothing(x: float) -> None:
    monitor = RateMonitor(0.05, horizon=1000)
    before = monitor.state()
    with pytest.raises(ValueError, match="expected x to be between 0 and 1"):
        monitor.update(x)
    assert monitor.state() == before


def test_a_batch_with_more_bad_than_events_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected bad to be at most n \(3\), got 4"):
        RateMonitor(0.05, horizon=1000).update_batch(3, 4)


def test_a_broken_state_is_refused() -> None:
    state = RateMonitor(0.05, horizon=1000).state()
    state["log_r"] = [0.0]
    with pytest.raises(ValueError, match="expected log_r to be 5 finite numbers"):
        RateMonitor.from_state(state)
    del state["cusum"]  # type: ignore[misc]
    with pytest.raises(ValueError, match="expected a state with the keys"):
        RateMonitor.from_state(state)
