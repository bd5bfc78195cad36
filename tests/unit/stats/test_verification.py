import math

import pytest

from trimtab.stats.verification import VerifiedFix


def test_a_clean_stream_is_verified_and_stays_verified() -> None:
    fix = VerifiedFix(0.15)
    answers = [fix.update(0) for _ in range(60)]
    assert True in answers
    assert 10 < answers.index(True) < 60
    assert all(fix.update(1) for _ in range(50))


def test_a_stream_at_the_incident_rate_is_not_verified() -> None:
    fix = VerifiedFix(0.1)
    assert not any(fix.update(index % 10 == 0) for index in range(5000))
    assert fix.evidence < 0


def test_the_bar_is_the_midpoint_of_incident_and_reference() -> None:
    assert VerifiedFix.between(incident_rate=0.15, reference_rate=0.05).p_v == pytest.approx(0.1)


def test_an_incident_below_its_reference_has_nothing_to_verify() -> None:
    with pytest.raises(ValueError, match=r"expected incident_rate to be above reference_rate \(0.1\), got 0.1"):
        VerifiedFix.between(incident_rate=0.1, reference_rate=0.1)


@pytest.mark.parametrize(("p_v", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.1, 0.0), (0.1, math.nan)])
def test_arguments_out_of_range_are_refused(p_v: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        VerifiedFix(p_v, alpha=alpha)


def test_odds_ratios_must_lie_below_one() -> None:
    with pytest.raises(ValueError, match="expected odds_ratios"):
        VerifiedFix(0.1, odds_ratios=(1.5,))
