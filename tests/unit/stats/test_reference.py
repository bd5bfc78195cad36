import pytest
from scipy import stats

from trimtab.stats.reference import reference_rate


def test_reference_is_the_upper_bound_of_the_baseline() -> None:
    assert reference_rate(25, 500) == pytest.approx(float(stats.beta.ppf(0.8, 26, 475)))
    assert reference_rate(25, 500) > 25 / 500


def test_a_target_above_the_baseline_wins_and_one_below_does_not() -> None:
    assert reference_rate(25, 500, 0.2) == 0.2
    assert reference_rate(25, 500, 0.01) == reference_rate(25, 500)


def test_margin_scales_the_baseline_and_leaves_the_target_absolute() -> None:
    assert reference_rate(25, 500, margin=1.2) == pytest.approx(1.2 * reference_rate(25, 500))
    assert reference_rate(25, 500, 0.2, margin=1.2) == 0.2


def test_a_short_baseline_is_ignored_beside_a_target() -> None:
    assert reference_rate(499, 499, 0.08) == 0.08


def test_a_short_baseline_without_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got n0=499; wait for more events or set an absolute target"):
        reference_rate(10, 499)


def test_a_baseline_without_one_bad_event_still_gives_a_usable_reference() -> None:
    assert 0 < reference_rate(0, 500) < 0.01


def test_a_reference_that_reaches_one_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a reference below 1"):
        reference_rate(600, 600)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1])
def test_a_target_that_is_no_rate_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="expected target"):
        reference_rate(25, 500, target)
