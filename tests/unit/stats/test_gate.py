import pytest

from trimtab.stats.gate import judge_candidate, paired_difference, provable_margin


@pytest.mark.parametrize(("n", "discordant", "margin"), [(100, 0.10, 0.079), (500, 0.10, 0.035), (1500, 0.10, 0.020)])
def test_provable_margin_matches_the_published_sizes(n: int, discordant: float, margin: float) -> None:
    assert provable_margin(n, discordant) == pytest.approx(margin, abs=0.0005)


def test_bonett_price_matches_a_calculation_by_hand() -> None:
    bounds = paired_difference(100, broken=8, fixed=3)
    # p12 = 4/102, p21 = 9/102, d = -5/102; variance = (13/102 - (5/102)^2) / 102
    assert bounds.value == pytest.approx(-0.0490196, abs=1e-7)
    assert bounds.low == pytest.approx(-0.0490196 - 1.6448536 * 0.0350138, abs=1e-6)
    assert bounds.high == pytest.approx(-0.0490196 + 1.6448536 * 0.0350138, abs=1e-6)


def test_many_cases_without_a_change_pass() -> None:
    result = judge_candidate(500, broken=5, fixed=5, margin=0.05)
    assert result.verdict == "pass"
    assert not result.smoke


def test_a_large_drop_fails() -> None:
    assert judge_candidate(200, broken=60, fixed=2, margin=0.05).verdict == "fail"


def test_few_cases_are_inconclusive_and_say_what_they_could_rule_out() -> None:
    result = judge_candidate(60, broken=3, fixed=3, margin=0.02)
    assert result.verdict == "inconclusive"
    assert (
        result.reason == f"60 cases can rule out drops larger than {100 * result.provable_margin:.1f} points, not 2.0"
    )
    assert result.provable_margin > 0.02


def test_one_broken_must_pass_case_fails_whatever_the_rest_says() -> None:
    result = judge_candidate(500, broken=1, fixed=40, margin=0.05, must_pass_broken=1)
    assert (result.verdict, result.reason) == ("fail", "1 must-pass case(s) broken")


@pytest.mark.parametrize(("n", "smoke"), [(0, True), (29, True), (30, False)])
def test_below_thirty_cases_the_gate_is_smoke(n: int, smoke: bool) -> None:
    assert judge_candidate(n, broken=0, fixed=0, margin=0.05).smoke is smoke


def test_no_cases_prove_nothing() -> None:
    result = judge_candidate(0, broken=0, fixed=0, margin=0.05)
    assert (result.verdict, result.provable_margin) == ("inconclusive", 1.0)


def test_no_observed_change_does_not_prove_a_margin_of_zero() -> None:
    assert judge_candidate(50, broken=0, fixed=0, margin=0.05).provable_margin > 0.05


@pytest.mark.parametrize(("broken", "fixed", "must_pass"), [(6, 5, 0), (-1, 0, 0), (1, 0, 2)])
def test_impossible_counts_are_refused(broken: int, fixed: int, must_pass: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        judge_candidate(10, broken=broken, fixed=fixed, margin=0.05, must_pass_broken=must_pass)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.05])
def test_a_margin_that_is_no_share_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="expected margin"):
        judge_candidate(10, broken=0, fixed=0, margin=margin)
