"""The gate: both versions answer the golden cases, and paired arithmetic says whether anyone may see the candidate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from trimtab.act.checks.exam import Exam
from trimtab.records import Case, CaseResult, GateReport, Version
from trimtab.stats.gate import judge_candidate

__all__ = ["MAX_CASES", "judging", "run_gate"]

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
    severity = {case.id: case.severity for case in cases}
    open_ = [result for result in results if not result.decided]
    decided = [result for result in results if result.decided]
    broken = [result for result in decided if result.stable_passed and not result.candidate_passed]
    fixed = [result for result in decided if result.candidate_passed and not result.stable_passed]
    must_pass_broken = sum(severity[result.case_id] == "must_pass" for result in broken)
    failing = sum(result.target and not result.stable_passed for result in decided)
    open_targets = sum(result.target for result in open_)
    targets_fixed = sum(result.target for result in fixed)
    targets_broken = sum(result.target for result in broken)
    judged = judge_candidate(
        len(results),
        broken=len(broken),
        fixed=len(fixed),
        margin=margin,
        must_pass_broken=must_pass_broken,
        undecided=len(open_),
        must_pass_undecided=sum(severity[result.case_id] == "must_pass" for result in open_),
    )
    verdict, reason = judged.verdict, judged.reason
    if verdict != "fail" and targets_broken > targets_fixed + open_targets:
        verdict, reason = "fail", f"of the incident's own cases {targets_broken} break and {targets_fixed} are fixed"
    elif verdict != "fail" and failing >= _ENOUGH_TARGETS and targets_fixed + open_targets == 0:
        verdict, reason = "fail", f"of {failing} failing cases of the incident none is fixed"
    elif verdict == "pass" and 2 * targets_fixed < failing + open_targets:
        failed = f"{failing} failing cases of the incident are fixed"
        more = f", and {open_targets} could not be decided" if open_targets else ""
        verdict, reason = "inconclusive", f"only {targets_fixed} of {failed}{more}"
    return GateReport(
        verdict=verdict,
        reason=reason,
        cases=len(results),
        broken=len(broken),
        fixed=len(fixed),
        targets=sum(result.target for result in results),
        targets_fixed=targets_fixed,
        must_pass_broken=must_pass_broken,
        lower_bound=judged.difference.low,
        margin=margin,
        rules_out=judged.provable_margin,
        smoke=judged.smoke,
        undecided=len(open_),
        proves=judged.proves,
        judge=judge or {},
        results=results,
    )


def judging(cases: Sequence[Case]) -> list[Case]:
    """Return the cases a gate can afford: the newest, but never without one that must pass."""
    must = [case for case in cases if case.severity == "must_pass"]
    rest = [case for case in cases if case.severity != "must_pass"]
    return [*must, *rest[-max(MAX_CASES - len(must), 1) :]]
