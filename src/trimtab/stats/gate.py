"""Judge whether a candidate is worse than what it replaces, on the same golden cases."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

from trimtab.stats import expect

__all__ = [
    "SMOKE_BELOW",
    "GateResult",
    "PairedDifference",
    "Verdict",
    "judge_candidate",
    "paired_difference",
    "provable_margin",
]

Verdict = Literal["pass", "fail", "inconclusive"]

SMOKE_BELOW: Final = 30


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The change in pass rate, candidate less current, with one-sided bounds; +0.02 is two points better."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """A verdict and every number behind it.

    `broken` cases passed before and fail now, `fixed` the other way round; `provable_margin` is the drop that this
    many cases can rule out four times in five; `smoke` marks fewer than 30 cases, where a pass says little. `proves`
    says so in words.
    """

    verdict: Verdict
    reason: str
    n: int
    broken: int
    fixed: int
    must_pass_broken: int
    margin: float
    difference: PairedDifference
    provable_margin: float
    smoke: bool
    proves: str = ""


def paired_difference(n: int, broken: int, fixed: int, *, confidence: float = 0.95) -> PairedDifference:
    """Return the change in pass rate over `n` paired cases, each bound one-sided at `confidence`.

    Bonett-Price: p12 = (fixed + 1)/(n + 2), p21 = (broken + 1)/(n + 2), d = p12 - p21, and
    d -+ z sqrt((p12 + p21 - d^2)/(n + 2)). `value` is d, drawn slightly to 0 by the added counts, which is what keeps
    the bounds honest in small samples. Assumption: cases are an independent sample of what the product meets; the
    pairs need not be independent within a case. Source: Bonett and Price, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data" (2012).
    Raises ValueError if broken + fixed is more than n.
    """
    expect.count("broken", broken)
    expect.count("fixed", fixed)
    expect.counts("broken + fixed", broken + fixed, "n", n)
    z = NormalDist().inv_cdf(expect.probability("confidence", confidence))
    p12 = (fixed + 1) / (n + 2)
    p21 = (broken + 1) / (n + 2)
    difference = p12 - p21
    half = z * math.sqrt((p12 + p21 - difference * difference) / (n + 2))
    return PairedDifference(value=difference, low=difference - half, high=difference + half)


def provable_margin(n: int, discordant: float, *, confidence: float = 0.95, power: float = 0.8) -> float:
    """Return the drop in pass rate that `n` cases can rule out, with probability `power`, if nothing really changed.

    `discordant` is the share of cases whose outcome differs between the two versions.
    (z_confidence + z_power) * sqrt(discordant / n), by default 2.49 * sqrt(discordant / n): the normal sample-size
    formula for paired proportions (Connor 1987). 100 cases with 10% discordant: 7.9 points; 500: 3.5; 1,500: 2.0.
    """
    expect.count("n", n, least=1)
    expect.fraction("discordant", discordant)
    normal = NormalDist()
    z = normal.inv_cdf(expect.probability("confidence", confidence)) + normal.inv_cdf(
        expect.probability("power", power)
    )
    return z * math.sqrt(discordant / n)


def judge_candidate(
    n: int,
    *,
    broken: int,
    fixed: int,
    margin: float,
    must_pass_broken: int = 0,
    undecided: int = 0,
    must_pass_undecided: int = 0,
    confidence: float = 0.95,
) -> GateResult:
    """Judge a candidate on `n` golden cases, of which it breaks `broken` and fixes `fixed`.

    fail: a must-pass case is broken, or even the upper bound of the change lies below -margin.
    pass: the lower bound lies above -margin, so a larger drop is ruled out at `confidence`.
    inconclusive: neither; too few cases to say. Such a candidate may go to a canary, never straight to everyone.

    Of the `n`, `undecided` may be either or neither: they count as broken in the lower bound and as fixed in the upper
    one, so that no verdict rests on them. `margin` is the drop one would accept, as a share (0.05 = five points).
    """
    expect.probability("margin", margin)
    expect.counts("must_pass_broken", must_pass_broken, "broken", broken)
    worst = paired_difference(n, broken + undecided, fixed, confidence=confidence)
    best = paired_difference(n, broken, fixed + undecided, confidence=confidence)
    difference = PairedDifference(value=(worst.value + best.value) / 2, low=worst.low, high=best.high)
    # the same added counts as in the bounds: no observed change is not proof that none exists
    discordant = (broken + fixed + undecided + 2) / (n + 2)
    provable = min(1.0, provable_margin(n + 2, discordant, confidence=confidence))
    proves = f"{n} cases can rule out drops larger than {100 * provable:.1f} points"
    if undecided:
        proves += f"; {undecided} of them could not be decided"
    verdict: Verdict
    if must_pass_broken:
        verdict, reason = "fail", f"{must_pass_broken} must-pass case(s) broken"
    elif difference.high < -margin:
        verdict, reason = "fail", f"the pass rate drops by more than {margin:.1%} at {confidence:.0%} confidence"
    elif difference.low > -margin and must_pass_undecided:
        verdict, reason = "inconclusive", f"{must_pass_undecided} must-pass case(s) could not be decided"
    elif difference.low > -margin:
        verdict, reason = "pass", f"a drop larger than {margin:.1%} is ruled out at {confidence:.0%} confidence"
    else:
        verdict, reason = "inconclusive", f"{proves}, not {100 * margin:.1f}"
    return GateResult(
        verdict=verdict,
        reason=reason,
        n=n,
        broken=broken,
        fixed=fixed,
        must_pass_broken=must_pass_broken,
        margin=margin,
        difference=difference,
        provable_margin=provable,
        smoke=n < SMOKE_BELOW,
        proves=proves,
    )
