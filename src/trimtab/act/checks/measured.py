"""How far the judging model is believed for a feature: what it says of answers that people have ruled on."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from trimtab.config import Judge as JudgeSettings
from trimtab.records import CaseAnswer
from trimtab.records.field import Line
from trimtab.stats.agreement import Judged, agreement
from trimtab.stats.interval import Rate

__all__ = ["JudgeReport", "Share", "distinct", "measured"]


class Share(Struct, frozen=True, kw_only=True):
    """A share of `n`, with its 95% interval; null where `n` is 0."""

    n: int
    value: float | None
    low: float
    high: float


class JudgeReport(Struct, frozen=True, kw_only=True):
    """A judging model against people: whether it may decide cases, and on what that rests.

    `waiting` answers have a person's ruling and not yet this judge's opinion. `sensitivity` is the share of bad answers
    that it calls bad, `specificity` that of good ones; being unsure is being wrong. `kappa` is Cohen's, with a 95%
    interval. `verbosity` says how much more often it lets a long bad answer pass than a short one.
    """

    model: str
    may_decide: bool
    reason: Line
    rulings: int
    bad: int
    good: int
    waiting: int
    kappa: float | None
    kappa_low: float
    kappa_high: float
    sensitivity: Share
    specificity: Share
    verbosity: float | None
    verbosity_low: float
    verbosity_high: float


def distinct(answers: Sequence[CaseAnswer]) -> list[CaseAnswer]:
    """Return the ruled answers, newest first, each wording of an answer to a case once: to repeat it proves no more."""
    found: dict[tuple[str, str], CaseAnswer] = {}
    for answer in answers:
        found.setdefault((answer.case_id, " ".join(answer.output.split())), answer)
    return list(found.values())


def measured(answers: Sequence[CaseAnswer], settings: JudgeSettings, key: str) -> JudgeReport:
    """Return how the judge `key` does on answers that people have ruled on; "" is no judge."""
    mine = [answer for answer in answers if key and answer.judge == key and answer.opinion is not None]
    told = [
        Judged(
            person_good=answer.ruling == "good",
            judge_good=answer.opinion == "good" or (answer.opinion == "unsure" and answer.ruling == "bad"),
            length=len(answer.output),
        )
        for answer in mine
    ]
    found = agreement(told)
    shown = "" if found.kappa is None else f"kappa {found.kappa:.2f}, at least {found.kappa_low:.2f}"
    reason = ""
    if not key:
        reason = "no model judges: judge.model is empty"
    elif found.n < settings.min_rulings:
        reason = f"people have ruled on {found.n} of its answers, {settings.min_rulings} are needed (judge.min_rulings)"
    elif not found.bad or not found.good:
        reason = "people have called all of them the same; it takes good and bad answers to tell"
    elif found.kappa_low < settings.min_kappa:
        reason = f"it agrees too little with people ({shown}; {settings.min_kappa:.2f} is needed, judge.min_kappa)"
    elif found.favours_length:
        reason = "it lets long bad answers pass more often than short ones"
    return JudgeReport(
        model=settings.model,
        may_decide=not reason,
        reason=reason or f"it agrees with people ({shown})",
        rulings=found.n,
        bad=found.bad,
        good=found.good,
        waiting=len(answers) - len(mine),
        kappa=found.kappa,
        kappa_low=found.kappa_low,
        kappa_high=found.kappa_high,
        sensitivity=_share(found.sensitivity),
        specificity=_share(found.specificity),
        verbosity=found.verbosity.value,
        verbosity_low=found.verbosity.low,
        verbosity_high=found.verbosity.high,
    )


def _share(rate: Rate) -> Share:
    return Share(n=rate.n, value=rate.value, low=rate.low, high=rate.high)
