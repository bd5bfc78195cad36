"""The gate: both versions answer the golden cases, and paired arithmetic says whether anyone may see the candidate."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from trimtab.act.runner import Runner
from trimtab.records import Case, CaseResult, GateReport, Version, text_of
from trimtab.stats.gate import judge_candidate

__all__ = ["MAX_CASES", "judging", "passes", "run_gate"]

MAX_CASES = 2000
_ALIKE = 0.6
_ENOUGH_TARGETS = 3  # with fewer, none fixed says too little


def run_gate(
    runner: Runner,
    *,
    stable: Version,
    candidate: Version,
    cases: Sequence[Case],
    targets: Collection[str],
    margin: float,
    repeats: int = 1,
) -> GateReport:
    """Return the verdict over `cases`; `targets` are the ids of those that stand for what opened the incident.

    A case passes when all `repeats` answers pass. Fails when a must_pass case breaks, when more targets break than are
    fixed or none of three or more failing ones is, or when a drop beyond `margin` is shown; passes when such a drop is
    ruled out and at least half of the targets that failed are fixed; else inconclusive, which a canary may decide but
    never full traffic.
    """
    results = [
        CaseResult(case_id=case.id, target=case.id in targets, stable_passed=before, candidate_passed=after)
        for case, before, after in zip(
            cases, _score(runner, stable, cases, repeats), _score(runner, candidate, cases, repeats), strict=True
        )
    ]
    severity = {case.id: case.severity for case in cases}
    broken = [result for result in results if result.stable_passed and not result.candidate_passed]
    fixed = [result for result in results if result.candidate_passed and not result.stable_passed]
    must_pass = [result for result in results if severity[result.case_id] == "must_pass"]
    must_pass_broken = sum(not result.candidate_passed for result in must_pass if result.stable_passed)
    aimed = [result for result in results if result.target]
    failing = sum(not result.stable_passed for result in aimed)
    targets_fixed = sum(result.target for result in fixed)
    targets_broken = sum(result.target for result in broken)
    judged = judge_candidate(
        len(results), broken=len(broken), fixed=len(fixed), margin=margin, must_pass_broken=must_pass_broken
    )
    verdict, reason = judged.verdict, judged.reason
    if verdict != "fail" and targets_broken > targets_fixed:
        verdict, reason = "fail", f"of the incident's own cases {targets_broken} break and {targets_fixed} are fixed"
    elif verdict != "fail" and failing >= _ENOUGH_TARGETS and targets_fixed == 0:
        verdict, reason = "fail", f"of {failing} failing cases of the incident none is fixed"
    elif verdict == "pass" and 2 * targets_fixed < failing:
        verdict, reason = "inconclusive", f"only {targets_fixed} of {failing} failing cases of the incident are fixed"
    return GateReport(
        verdict=verdict,
        reason=reason,
        cases=len(results),
        broken=len(broken),
        fixed=len(fixed),
        targets=len(aimed),
        targets_fixed=targets_fixed,
        must_pass_broken=must_pass_broken,
        lower_bound=judged.difference.low,
        margin=margin,
        rules_out=judged.provable_margin,
        smoke=judged.smoke,
        results=results,
    )


def passes(case: Case, answer: str) -> bool:
    """Say whether an answer passes a case. White space and letter case do not count, except in a regex."""
    return _CHECKS[case.check](case.expected, answer)


def judging(cases: Sequence[Case]) -> list[Case]:
    """Return the cases a gate can afford: the newest, but never without one that must pass."""
    must = [case for case in cases if case.severity == "must_pass"]
    rest = [case for case in cases if case.severity != "must_pass"]
    return [*must, *rest[-max(MAX_CASES - len(must), 1) :]]


def _score(runner: Runner, version: Version, cases: Sequence[Case], repeats: int) -> list[bool]:
    inputs = [text_of(case.input) for case in cases]
    passed = [True] * len(cases)
    for _ in range(repeats):
        answers = runner.answer(version, inputs)
        passed = [held and passes(case, answer) for held, case, answer in zip(passed, cases, answers, strict=True)]
    return passed


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _similar(expected: str, answer: str) -> bool:
    words = _words(expected)
    return bool(words) and len(words & _words(answer)) >= _ALIKE * len(words)


_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda expected, answer: _folded(expected) == _folded(answer),
    "contains": lambda expected, answer: _folded(expected) in _folded(answer),
    "similar": _similar,
    "regex": lambda expected, answer: re.search(expected, answer) is not None,
}
