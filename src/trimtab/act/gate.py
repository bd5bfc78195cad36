"""The gate: both versions answer the golden cases, and paired arithmetic says whether anyone may see the candidate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from trimtab.act.checks.exam import Exam
from trimtab.ids import derived_id
from trimtab.records import Case, CaseResult, GateReport, Version
from trimtab.stats.gate import Verdict, judge_candidate

__all__ = ["MAX_CASES", "judging", "run_gate", "still_asked"]

MAX_CASES = 2000
_ENOUGH_TARGETS = 3  # with fewer, none fixed says too little


def run_gate(
    exam: Exam,
    *,
    stable: Version,
    candidate: Version,
    cases: Sequence[Case],
    targets: Collection[str],
    margin: float,
    judge: dict[str, Any] | None = None,
) -> GateReport:
    """Return the verdict over `cases`; `targets` are the ids of those that stand for what opened the incident.

    Fails when a must_pass case breaks, when more targets break than are fixed or none of three or more failing ones is,
    or when a drop beyond `margin` is shown; passes when such a drop is ruled out and at least half of the targets that
    failed are fixed; else inconclusive, which a canary may decide but never full traffic. Of what could not be decided
    the worst is taken for a pass, and the best for a fail. `judge` is what the report says of the judging model.
    """
    results = [
        CaseResult(
            case_id=case.id,
            target=case.id in targets,
            stable_passed=before.passed,
            candidate_passed=after.passed,
            decided=before.decided and after.decided,
        )
        for case, before, after in zip(cases, exam.marks(stable, cases), exam.marks(candidate, cases), strict=True)
    ]
    must = {case.id for case in cases if case.severity == "must_pass"}
    count = _counted(results, must)
    judged = judge_candidate(
        len(results),
        broken=count.broken,
        fixed=count.fixed,
        margin=margin,
        must_pass_broken=count.must_pass_broken,
        undecided=count.open,
        must_pass_undecided=sum(result.case_id in must for result in results if not result.decided),
    )
    verdict, reason = _aimed(judged.verdict, judged.reason, count)
    return GateReport(
        verdict=verdict,
        reason=reason,
        cases=len(results),
        broken=count.broken,
        fixed=count.fixed,
        targets=count.targets,
        targets_fixed=count.targets_fixed,
        must_pass_broken=count.must_pass_broken,
        lower_bound=judged.difference.low,
        margin=margin,
        rules_out=judged.provable_margin,
        smoke=judged.smoke,
        undecided=count.open,
        proves=judged.proves,
        judge=judge or {},
        results=results,
    )


class _Count(NamedTuple):
    """How cases fared; `open` ones could not be decided, `failing` targets did not pass before."""

    broken: int
    fixed: int
    open: int
    must_pass_broken: int
    targets: int
    targets_open: int
    targets_failing: int
    targets_fixed: int
    targets_broken: int


def _counted(results: Sequence[CaseResult], must: Collection[str]) -> _Count:
    decided = [result for result in results if result.decided]
    broken = [result for result in decided if result.stable_passed and not result.candidate_passed]
    fixed = [result for result in decided if result.candidate_passed and not result.stable_passed]
    return _Count(
        broken=len(broken),
        fixed=len(fixed),
        open=len(results) - len(decided),
        must_pass_broken=sum(result.case_id in must for result in broken),
        targets=sum(result.target for result in results),
        targets_open=sum(result.target and not result.decided for result in results),
        targets_failing=sum(result.target and not result.stable_passed for result in decided),
        targets_fixed=sum(result.target for result in fixed),
        targets_broken=sum(result.target for result in broken),
    )


def _aimed(verdict: Verdict, reason: str, count: _Count) -> tuple[Verdict, str]:
    """Return the verdict with what the incident's own cases say beside all others."""
    failing, fixed, open_, broken = (
        count.targets_failing,
        count.targets_fixed,
        count.targets_open,
        count.targets_broken,
    )
    if verdict != "fail" and broken > fixed + open_:
        return "fail", f"of the incident's own cases {broken} break and {fixed} are fixed"
    if verdict != "fail" and failing >= _ENOUGH_TARGETS and fixed + open_ == 0:
        return "fail", f"of {failing} failing cases of the incident none is fixed"
    if verdict == "pass" and 2 * fixed < failing + open_:
        more = f", and {open_} could not be decided" if open_ else ""
        return "inconclusive", f"only {fixed} of {failing} failing cases of the incident are fixed{more}"
    return verdict, reason


def still_asked(case: Case, since: datetime) -> bool:
    """Say whether a case still says what is right.

    One that a batch of reviews made does so only as long as its words would build: nobody looked at it as a case, and
    what is right changes. One that a person wrote or chose, or that an incident left, stays.
    """
    of_batch = case.incident_id is None and case.feedback_id is not None
    return case.created_at >= since or not (of_batch and case.id == derived_id("case", case.feedback_id or ""))


def judging(cases: Iterable[Case]) -> list[Case]:
    """Return the cases a gate can afford: the newest, but never without one that must pass."""
    cases = list(cases)
    must = [case for case in cases if case.severity == "must_pass"]
    rest = [case for case in cases if case.severity != "must_pass"]
    return [*must, *rest[-max(MAX_CASES - len(must), 1) :]]
