"""The gate over a runner that answers as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from trimtab.act.checks.exam import Checker, Examiner, Mark
from trimtab.act.checks.pattern import Patterns
from trimtab.act.gate import run_gate
from trimtab.ids import derived_id
from trimtab.records import Case, GateReport, Payload, Version

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STABLE = Version(feature="support", created_at=NOW, id="v_stable")
CANDIDATE = Version(feature="support", created_at=NOW, id="v_candidate")


class Told:
    """Answers "right" where a version's list of verdicts says so; each call takes the next answer of a list."""

    def __init__(self, right: dict[str, list[list[bool]]]) -> None:
        self._right = right

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        verdicts = self._right[version.id].pop(0)
        return ["right" if verdict else "wrong" for _, verdict in zip(inputs, verdicts, strict=True)]


def exam(runner: Told, repeats: int = 1) -> Examiner:
    return Examiner(runner, Checker(Patterns()), repeats=repeats)


def case(place: int, **more: Any) -> Case:
    return Case(
        id=derived_id("case", str(place)), feature="support", created_at=NOW, input=f"{place}", expected="right", **more
    )


def gate(pairs: Sequence[tuple[bool, bool]], *, must: Sequence[int] = (), targets: Sequence[int] = ()) -> GateReport:
    """Judge cases of which each pair says whether stable and candidate pass."""
    cases = [case(place, severity="must_pass" if place in must else "normal") for place in range(len(pairs))]
    told = {"v_stable": [[before for before, _ in pairs]], "v_candidate": [[after for _, after in pairs]]}
    aimed = {cases[place].id for place in targets}
    return run_gate(exam(Told(told)), stable=STABLE, candidate=CANDIDATE, cases=cases, targets=aimed, margin=0.05)


SAME, BROKEN, FIXED, FAILS = (True, True), (True, False), (False, True), (False, False)


def test_one_broken_must_pass_case_fails_whatever_else_is_fixed() -> None:
    report = gate([BROKEN, *[FIXED] * 50], must=[0])
    assert (report.verdict, report.must_pass_broken) == ("fail", 1)
    assert gate([BROKEN, *[FIXED] * 50]).verdict == "pass"


def test_must_pass_case_that_already_failed_blocks_nothing() -> None:
    assert gate([FAILS, *[SAME] * 200], must=[0]).must_pass_broken == 0


def test_drop_that_is_ruled_out_passes_and_a_shown_one_fails() -> None:
    assert gate([SAME] * 200).verdict == "pass"
    assert gate([*[SAME] * 100, *[BROKEN] * 40]).verdict == "fail"


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_cases_are_inconclusive(count: int) -> None:
    report = gate([SAME] * count)
    assert (report.verdict, report.smoke) == ("inconclusive", True)


def test_more_targets_broken_than_fixed_fails() -> None:
    report = gate([*[SAME] * 300, FIXED, BROKEN, BROKEN], targets=[300, 301, 302])
    assert report.verdict == "fail"
    assert (report.targets, report.targets_fixed) == (3, 1)
    assert gate([*[SAME] * 300, FIXED, BROKEN, BROKEN]).verdict == "pass"


def test_less_than_half_of_the_failing_targets_fixed_is_not_a_pass() -> None:
    rest = [SAME] * 300
    assert gate([*rest, FIXED, FAILS, FAILS], targets=[300, 301, 302]).verdict == "inconclusive"
    assert gate([*rest, FIXED, FAILS], targets=[300, 301]).verdict == "pass"


def test_case_passes_only_when_every_repeat_does() -> None:
    told = {"v_stable": [[True, True], [True, True]], "v_candidate": [[True, True], [True, False]]}
    examiner = exam(Told(told), repeats=2)
    report = run_gate(examiner, stable=STABLE, candidate=CANDIDATE, cases=[case(0), case(1)], targets=(), margin=0.05)
    assert [(item.stable_passed, item.candidate_passed) for item in report.results] == [SAME, BROKEN]


def test_candidate_that_mends_nothing_it_was_made_for_fails() -> None:
    unrelated = [*[SAME] * 300, *[FIXED] * 5]
    report = gate([*unrelated, FAILS, FAILS, FAILS], targets=[305, 306, 307])
    assert (report.verdict, report.targets_fixed) == ("fail", 0)
    assert gate([*unrelated, FAILS, FAILS], targets=[305, 306]).verdict == "inconclusive"


def undecided_gate(marks: Sequence[tuple[Mark, Mark]], *, must: int = -1, targets: Sequence[int] = ()) -> GateReport:
    """Judge cases whose marks are as told: (stable, candidate)."""
    cases = [case(place, severity="must_pass" if place == must else "normal") for place in range(len(marks))]

    class Marked:
        def marks(self, version: Version, cases: Sequence[Case]) -> list[Mark]:
            return [pair[version is CANDIDATE] for pair in marks]

    aimed = {cases[place].id for place in targets}
    return run_gate(Marked(), stable=STABLE, candidate=CANDIDATE, cases=cases, targets=aimed, margin=0.05)


YES, NO = Mark(passed=True), Mark(passed=False)
OPEN = (Mark(passed=True, decided=False), Mark(passed=False, decided=False))


def test_what_nobody_can_decide_turns_a_pass_into_inconclusive_and_says_so() -> None:
    assert undecided_gate([(YES, YES)] * 200).verdict == "pass"
    report = undecided_gate([(YES, YES)] * 200 + [OPEN] * 20)
    assert (report.verdict, report.undecided, report.broken) == ("inconclusive", 20, 0)
    assert "20 of them could not be decided" in report.reason
    assert undecided_gate([(YES, YES)] * 400 + [OPEN]).verdict == "pass"  # even broken it would prove no drop


def test_what_nobody_can_decide_never_fails_a_candidate() -> None:
    assert undecided_gate([OPEN] * 100).verdict == "inconclusive"
    assert undecided_gate([OPEN] * 5, targets=range(5)).verdict == "inconclusive"


def test_a_must_pass_case_nobody_can_decide_is_no_pass() -> None:
    report = undecided_gate([(YES, YES)] * 400 + [OPEN], must=400)
    assert (report.verdict, report.reason) == ("inconclusive", "1 must-pass case(s) could not be decided")


def test_targets_nobody_can_decide_may_be_fixed_and_may_not() -> None:
    rest = [(YES, YES)] * 400
    assert undecided_gate([*rest, (NO, YES), OPEN], targets=[400, 401]).verdict == "pass"
    report = undecided_gate([*rest, (NO, YES), OPEN, OPEN], targets=[400, 401, 402])
    assert report.verdict == "inconclusive"
    assert (
        undecided_gate([*rest, (NO, NO), (NO, NO), (NO, NO), OPEN], targets=range(400, 404)).verdict == "inconclusive"
    )


def test_every_verdict_says_which_drops_it_can_rule_out() -> None:
    for report in (gate([SAME] * 200), gate([BROKEN] * 50), gate([SAME] * 20)):
        points = f"{100 * report.rules_out:.1f} points"
        assert report.proves == f"{report.cases} cases can rule out drops larger than {points}"
