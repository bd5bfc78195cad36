"""The gate over a runner that answers as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from trimtab.act.gate import passes, run_gate
from trimtab.ids import derived_id
from trimtab.records import Case, GateReport, Version

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STABLE = Version(feature="support", created_at=NOW, id="v_stable")
CANDIDATE = Version(feature="support", created_at=NOW, id="v_candidate")


class Told:
    """Answers "right" where a version's list of verdicts says so; each call takes the next answer of a list."""

    def __init__(self, right: dict[str, list[list[bool]]]) -> None:
        self._right = right

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        verdicts = self._right[version.id].pop(0)
        return ["right" if verdict else "wrong" for _, verdict in zip(inputs, verdicts, strict=True)]


def case(place: int, **more: Any) -> Case:
    return Case(
        id=derived_id("case", str(place)), feature="support", created_at=NOW, input=f"{place}", expected="right", **more
    )


def gate(pairs: Sequence[tuple[bool, bool]], *, must: Sequence[int] = (), targets: Sequence[int] = ()) -> GateReport:
    """Judge cases of which each pair says whether stable and candidate pass."""
    cases = [case(place, severity="must_pass" if place in must else "normal") for place in range(len(pairs))]
    told = {"v_stable": [[before for before, _ in pairs]], "v_candidate": [[after for _, after in pairs]]}
    aimed = {cases[place].id for place in targets}
    return run_gate(Told(told), stable=STABLE, candidate=CANDIDATE, cases=cases, targets=aimed, margin=0.05)


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
    report = run_gate(
        Told(told), stable=STABLE, candidate=CANDIDATE, cases=[case(0), case(1)], targets=(), margin=0.05, repeats=2
    )
    assert [(item.stable_passed, item.candidate_passed) for item in report.results] == [SAME, BROKEN]


@pytest.mark.parametrize(
    ("check", "expected", "answer", "passed"),
    [
        ("exact", "Open the  door", " open the door\n", True),
        ("exact", "Open the door", "Open the door now", False),
        ("contains", "THE door", "open the door now", True),
        ("contains", "window", "open the door", False),
        ("regex", r"^\d+ days$", "14 days", True),
        ("regex", r"^\d+ days$", "fourteen days", False),
    ],
)
def test_check_means_what_it_says(check: Any, expected: str, answer: str, passed: bool) -> None:
    held = Case(
        id=derived_id("c"), feature="support", created_at=NOW, input="how long?", expected=expected, check=check
    )
    assert passes(held, answer) is passed


def test_candidate_that_mends_nothing_it_was_made_for_fails() -> None:
    unrelated = [*[SAME] * 300, *[FIXED] * 5]
    report = gate([*unrelated, FAILS, FAILS, FAILS], targets=[305, 306, 307])
    assert (report.verdict, report.targets_fixed) == ("fail", 0)
    assert gate([*unrelated, FAILS, FAILS], targets=[305, 306]).verdict == "inconclusive"


def test_similar_answer_holds_most_of_the_expected_words_in_any_wording() -> None:
    expected = case(1, check="similar", severity="normal")
    expected = msgspec.structs.replace(expected, expected="A refund takes five working days.")
    assert passes(expected, "Sure! Your refund takes at most five working days, a bit longer abroad.")
    assert not passes(expected, "You can ask for your money back in the app.")
    assert not passes(expected, "")
