import math

import pytest

from trimtab.stats.share import NegativesShare, SampleRatioCheck


def test_the_first_negative_is_the_hand_computed_likelihood_ratio() -> None:
    test = NegativesShare(odds_ratios=(2.0,))
    test.update(from_canary=True, share=0.1)
    theta = 0.1 * 2 / (0.1 * 2 + 0.9)
    assert test.e_value == pytest.approx(theta / 0.1)
    test.update(from_canary=False, share=0.3)
    theta_second = 0.3 * 2 / (0.3 * 2 + 0.7)
    assert test.e_value == pytest.approx(theta / 0.1 * (1 - theta_second) / 0.7)


def test_negatives_far_above_the_share_call_for_rollback_and_it_stays() -> None:
    test = NegativesShare()
    assert any(test.update(from_canary=True, share=0.1) for _ in range(10))
    assert test.update_batch(0, 10_000, 0.1)


def test_harm_beyond_twenty_percent_tolerates_fifteen() -> None:
    any_harm, beyond = NegativesShare(rho0=1.0), NegativesShare(rho0=1.2)
    canary = round(40_000 * 1.15 / 2.15)
    assert any_harm.update_batch(canary, 40_000 - canary, 0.5)
    assert not beyond.update_batch(canary, 40_000 - canary, 0.5)


def test_upper_bound_is_infinite_before_evidence_and_closes_in_from_above() -> None:
    test = NegativesShare()
    assert test.rate_ratio_upper() == math.inf
    bounds = []
    for _ in range(8):
        test.update_batch(200, 200, 0.5)
        bounds.append(test.rate_ratio_upper())
    assert bounds == sorted(bounds, reverse=True)
    assert 1.0 < bounds[-1] <= 1.3


def test_enough_negatives_of_equal_arms_bound_the_ratio_within_a_tenth() -> None:
    test = NegativesShare()
    test.update_batch(10_000, 10_000, 0.5)
    assert test.rate_ratio_upper() <= 1.1


def test_a_stricter_bound_is_never_lower() -> None:
    test = NegativesShare()
    test.update_batch(100, 400, 0.2)
    assert test.rate_ratio_upper(0.01) >= test.rate_ratio_upper(0.05) >= test.rate_ratio_upper(0.2)


def test_a_canary_with_half_the_negatives_is_bounded_below_one() -> None:
    test = NegativesShare()
    test.update_batch(100, 200, 0.5)
    assert test.rate_ratio_upper() < 1.0
    assert not test.harmful


def test_e_value_stays_a_finite_number() -> None:
    test = NegativesShare()
    test.update_batch(10_000, 0, 0.01)
    assert test.e_value == pytest.approx(1e300)
    assert test.log_e_value > 1000


def test_events_that_the_share_rules_out_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected no canary events at share 0\.0, got 1"):
        NegativesShare().update(from_canary=True, share=0.0)
    with pytest.raises(ValueError, match=r"expected no stable events at share 1\.0, got 1"):
        NegativesShare().update(from_canary=False, share=1.0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_events_that_had_no_choice_of_arm_carry_no_evidence(share: float) -> None:
    test = NegativesShare()
    test.update_batch(round(50 * share), round(50 * (1 - share)), share)
    assert test.log_e_value == pytest.approx(0.0)


def test_sample_ratio_check_finds_a_leak_in_either_direction() -> None:
    for canary in (4_600, 5_400):
        check = SampleRatioCheck()
        assert check.update_batch(canary, 10_000 - canary, 0.5)


def test_sample_ratio_check_accepts_the_intended_split_through_a_ramp() -> None:
    check = SampleRatioCheck()
    for share in (0.05, 0.2, 0.5):
        for index in range(2000):
            assert not check.update(in_canary=index % round(1 / share) == 0, share=share)


def test_sample_ratio_check_is_two_sided_by_symmetry() -> None:
    more, less = SampleRatioCheck(), SampleRatioCheck()
    more.update_batch(530, 470, 0.5)
    less.update_batch(470, 530, 0.5)
    assert more.log_e_value == pytest.approx(less.log_e_value)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected share to be between 0 and 1"):
        NegativesShare().update(from_canary=True, share=share)
    with pytest.raises(ValueError, match="expected share to be between 0 and 1"):
        SampleRatioCheck().update(in_canary=True, share=share)


def test_rho0_must_be_positive() -> None:
    with pytest.raises(ValueError, match="expected rho0 to be a finite number above 0, got 0"):
        NegativesShare(rho0=0.0)
