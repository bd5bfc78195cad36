"""How far a judge can be believed: its verdicts against people's, on the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trimtab.stats import expect
from trimtab.stats.interval import Difference, Rate, clopper_pearson, difference, wilson

__all__ = ["Agreement", "Judged", "agreement", "kappa"]

_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer on which both have spoken; `length` is its number of characters."""

    person_good: bool
    judge_good: bool
    length: int = 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people.

    `sensitivity` is the share of the answers that people called bad which the judge calls bad, too, `specificity` the
    same of good ones. `kappa` (None where it is not defined) lies in [`kappa_low`, `kappa_high`] at 95%. `verbosity` is
    how much more often the judge lets a bad answer pass when it is longer than the median of the bad ones.
    """

    n: int
    bad: int
    good: int
    sensitivity: Rate
    specificity: Rate
    kappa: float | None
    kappa_low: float
    kappa_high: float
    verbosity: Difference

    @property
    def favours_length(self) -> bool:
        """Whether it is shown, at 95%, that the judge lets long bad answers pass more often than short ones."""
        return self.verbosity.low > 0


def kappa(sensitivity: float, specificity: float, bad_share: float) -> float | None:
    """Return Cohen's kappa of a judge with these error rates where `bad_share` of the answers are bad.

    (p_o - p_e) / (1 - p_e), with p_o = pi se + (1 - pi) sp the share agreed upon and
    p_e = pi q + (1 - pi)(1 - q) what chance would give, q = pi se + (1 - pi)(1 - sp) being the share that the judge
    calls bad. None where p_e is 1: both only ever say the same one thing. Source: Cohen, "A coefficient of agreement
    for nominal scales" (1960).
    """
    for name, value in (("sensitivity", sensitivity), ("specificity", specificity), ("bad_share", bad_share)):
        expect.fraction(name, value)
    said_bad = bad_share * sensitivity + (1 - bad_share) * (1 - specificity)
    agreed = bad_share * sensitivity + (1 - bad_share) * specificity
    by_chance = bad_share * said_bad + (1 - bad_share) * (1 - said_bad)
    return None if by_chance >= 1.0 - 1e-15 else (agreed - by_chance) / (1 - by_chance)


def agreement(answers: Sequence[Judged]) -> Agreement:
    """Return how a judge agrees with people.

    The interval of kappa takes the Clopper-Pearson ends of sensitivity and specificity, each at 97.5% so that both hold
    together at 95% (Bonferroni), and the share of bad answers as it is; kappa is a ratio of linear functions of either,
    so its ends over them are met at their ends. It covers at least 95% of samples with this many good and bad answers;
    the usual large-sample interval has no width at all where a dozen answers are all agreed upon. With no answer of one
    kind nothing is known: [-1, 1]. Assumption: answers are judged independently of each other.
    """
    bad = [each for each in answers if not each.person_good]
    good = [each for each in answers if each.person_good]
    caught = sum(not each.judge_good for each in bad)
    spared = sum(each.judge_good for each in good)
    joint = 1 - (1 - _CONFIDENCE) / 2
    low, high = -1.0, 1.0
    if bad and good:
        share = len(bad) / len(answers)
        se, sp = (
            clopper_pearson(caught, len(bad), confidence=joint),
            clopper_pearson(spared, len(good), confidence=joint),
        )
        ends = [kappa(a, b, share) for a in (se.low, se.high) for b in (sp.low, sp.high)]
        known = [end for end in ends if end is not None]
        low, high = min(known), max(known)
    return Agreement(
        n=len(answers),
        bad=len(bad),
        good=len(good),
        sensitivity=clopper_pearson(caught, len(bad)),
        specificity=clopper_pearson(spared, len(good)),
        kappa=kappa(caught / len(bad), spared / len(good), len(bad) / len(answers)) if bad and good else None,
        kappa_low=low,
        kappa_high=high,
        verbosity=_verbosity(bad),
    )


def _verbosity(bad: Sequence[Judged]) -> Difference:
    """Return by how much the share of bad answers that pass is higher among the longer half of them."""
    lengths = sorted(each.length for each in bad)
    middle = lengths[len(lengths) // 2] if lengths else 0
    longer = [each for each in bad if each.length > middle]
    shorter = [each for each in bad if each.length <= middle]
    return difference(
        wilson(sum(each.judge_good for each in longer), len(longer)),
        wilson(sum(each.judge_good for each in shorter), len(shorter)),
    )
