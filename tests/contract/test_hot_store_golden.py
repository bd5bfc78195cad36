"""The contract of answers to golden cases, on every backend."""

from __future__ import annotations

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import SECOND, P, ids
from trimtab.errors import WallBreach
from trimtab.records import Case, CaseAnswer
from trimtab.store.ports import HotStore, Query, Writes


@pytest.fixture
def case(store: HotStore) -> Case:
    made = a.case(check="judge", likeness=0.7)
    store.commit({P: Writes(cases=[a.sealed(made)])})
    assert store.cases(P, "answer") == [made]
    return made


def keep(store: HotStore, *answers: CaseAnswer) -> None:
    store.commit({P: Writes(case_answers=[a.sealed(answer) for answer in answers])})


def test_an_answer_comes_back_as_it_was_kept_and_to_its_own_project_alone(store: HotStore, case: Case) -> None:
    told = [a.case_answer(case, passed=passed) for passed in (True, False, None)]
    keep(store, *told)
    assert [store.case_answer(P, each.id) for each in told] == told
    assert store.case_answer("q", told[0].id) is None
    assert store.case_answers("q", Query()).rows == []


def test_answers_are_listed_by_feature_version_runner_and_whether_a_person_ruled(store: HotStore, case: Case) -> None:
    plain, other = a.case_answer(case), a.case_answer(case, version_id="v2", runner="r2")
    ruled = a.case_answer(case, ruling="bad", ruled_at=a.NOW, judge="j1", opinion="good")
    keep(store, plain, other, ruled)
    assert ids(store.case_answers(P, Query(feature="answer"))) == [ruled.id, other.id, plain.id]
    assert ids(store.case_answers(P, Query(feature="search"))) == []
    assert ids(store.case_answers(P, Query(version_id="v2"))) == [other.id]
    assert ids(store.case_answers(P, Query(), runner="r1", ruled=False)) == [plain.id]
    assert ids(store.case_answers(P, Query(), ruled=True)) == [ruled.id]
    assert ids(store.case_answers(P, Query(), judged=True)) == [ruled.id]
    assert ids(store.case_answers(P, Query(), judged=False)) == [other.id, plain.id]


def test_a_ruling_is_not_lost_to_a_gate_that_keeps_the_answer_again(store: HotStore, case: Case) -> None:
    answer = a.case_answer(case)
    keep(store, answer)
    keep(store, msgspec.structs.replace(answer, ruling="good", ruled_at=a.NOW))
    keep(store, msgspec.structs.replace(answer, judge="j", opinion="bad"))
    found = store.case_answer(P, answer.id)
    assert found is not None
    assert (found.ruling, found.ruled_at, found.opinion) == ("good", a.NOW, "bad")


def test_old_answers_go_unless_a_person_ruled_on_them(store: HotStore, case: Case) -> None:
    old, ruled = a.case_answer(case), a.case_answer(case, ruling="bad", ruled_at=a.NOW)
    new, elsewhere = a.case_answer(case, created_at=a.NOW + SECOND), a.case_answer(case, feature="search")
    keep(store, old, ruled, new, elsewhere)
    store.commit({P: Writes(case_answers_before=[("answer", a.NOW + SECOND)])})
    assert set(ids(store.case_answers(P, Query()))) == {ruled.id, new.id, elsewhere.id}


def test_no_answer_is_kept_to_a_case_that_is_not_there(store: HotStore) -> None:
    keep(store, a.case_answer(a.case()))
    assert store.case_answers(P, Query()).rows == []


def test_an_answer_must_come_from_the_redactor(store: HotStore, case: Case) -> None:
    with pytest.raises(WallBreach):
        store.commit({P: Writes(case_answers=[a.case_answer(case)])})  # type: ignore[list-item]


def test_a_retired_case_is_kept_and_shown_only_to_who_asks_for_it(store: HotStore, case: Case) -> None:
    other = a.case()
    store.commit({P: Writes(cases=[a.sealed(other)], retired=[(case.id, a.NOW)])})
    gone = msgspec.structs.replace(case, retired_at=a.NOW)
    assert store.cases(P, "answer") == [other]
    assert store.cases(P, "answer", retired=True) == [gone, other]


def test_nothing_but_its_restoring_brings_a_retired_case_back(store: HotStore, case: Case) -> None:
    again, cleaner = (
        Writes(cases=[a.sealed(case)]),
        Writes(rewritten=[a.sealed(msgspec.structs.replace(case, expected="c"))]),
    )
    for writes in (Writes(retired=[(case.id, a.NOW)]), again, cleaner):
        store.commit({P: writes})
    assert store.cases(P, "answer") == []
    assert [each.expected for each in store.cases(P, "answer", retired=True)] == ["c"]
    store.commit({P: Writes(retired=[(case.id, None)])})
    assert store.cases(P, "answer") == [msgspec.structs.replace(case, expected="c")]


def test_a_case_is_retired_in_its_own_project_alone(store: HotStore, case: Case) -> None:
    store.commit({"q": Writes(retired=[(case.id, a.NOW)])})
    assert store.cases(P, "answer") == [case]
