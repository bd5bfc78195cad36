"""The contract of redaction in the hot store: settings by revision, stale rows found, words that give way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from trimtab.errors import Conflict, WallBreach
from trimtab.records import Inference, Redacted
from trimtab.store.ports import Arrival, HotStore, Rescan, Writes


def arrived(record: Any, rules: str, project_id: str = P) -> Arrival:
    return Arrival(project_id, Redacted(record, rules), a.NOW)


def test_every_revision_of_the_settings_comes_back_in_order(reopen: Callable[[], HotStore]) -> None:
    store = reopen()
    assert store.redactions(P) == []
    first, second = a.redaction(1), a.redaction(2, mode="strict", extra=[])
    store.commit({P: Writes(redactions=[a.sealed(first)])})
    store.commit({P: Writes(redactions=[a.sealed(second)])})
    store.commit({"q": Writes(redactions=[a.sealed(a.redaction(1))])})
    assert reopen().redactions(P) == [first, second]


@pytest.mark.parametrize("revision", [1, 3])
def test_settings_that_are_not_the_next_revision_are_refused_and_nothing_written(
    store: HotStore, revision: int
) -> None:
    store.commit({P: Writes(redactions=[a.sealed(a.redaction(1))])})
    with pytest.raises(Conflict):
        store.commit({P: Writes(redactions=[a.sealed(a.redaction(revision))], monitors=[a.monitor()])})
    assert len(store.redactions(P)) == 1
    assert store.monitors(P, "answer") == []


def test_settings_that_did_not_come_from_the_redactor_are_refused(store: HotStore) -> None:
    raw: Any = a.redaction(1)
    wrong: Any = a.sealed(a.case())
    for given in (raw, wrong):
        with pytest.raises(WallBreach):
            store.commit({P: Writes(redactions=[given])})
    assert store.redactions(P) == []


def test_stale_rows_are_those_of_the_project_under_none_of_the_rules(store: HotStore) -> None:
    old, new, other = a.inference(), a.inference(), a.inference()
    store.append([arrived(old, "r1"), arrived(new, "r2"), arrived(other, "r1", "q"), arrived(a.inference(), "r3")])
    found = store.stale("inferences", P, ["r2", "r3"], after=0, limit=10, look=10)
    assert [row.record for row in found.rows] == [old]
    assert found.reached == store.last_seq("inferences") > 0
    assert store.stale("inferences", P, ["r2", "r3"], after=found.rows[0].seq, limit=10, look=10).rows == []
    assert store.stale("feedback", P, [], after=0, limit=10, look=10) == ([], 0)


def test_a_look_for_stale_rows_is_bounded_by_rows_and_by_places(store: HotStore) -> None:
    rows = [a.feedback() for _ in range(6)]
    store.append([arrived(row, "old") for row in rows])
    found = store.stale("feedback", P, ["new"], after=0, limit=2, look=100)
    assert [row.record for row in found.rows] == rows[:2]
    assert found.reached == found.rows[-1].seq
    found = store.stale("feedback", P, ["old"], after=0, limit=2, look=4)
    assert (found.rows, found.reached) == ([], store.feedback_after(0, 10)[3].seq)


def test_rewritten_events_keep_their_place_and_all_but_their_words(store: HotStore) -> None:
    served = a.inference(user_id="u-1", session_id="s-1", tags={"a": "b"}, output="by Jane")
    said = a.feedback(kind="comment", value=None, text="Jane did it", inference_id=served.id)
    store.append([arrived(served, "old"), arrived(said, "old"), arrived(a.inference(), "old")])
    cleaner = msgspec.structs.replace(served, output="by <NAME>", tags={"a": "c"})
    calmer = msgspec.structs.replace(said, text="<NAME> did it")
    for _ in range(2):
        store.commit({P: Writes(rewritten=[Redacted(cleaner, "new"), Redacted(calmer, "new")])})
        assert store.inferences(P, [served.id]) == {served.id: cleaner}
        assert store.feedback(P, [said.id]) == {said.id: calmer}
        assert store.inferences_after(0, 1)[0].record == cleaner
    assert store.count_rules(P) == {"old": {"inferences": 1}, "new": {"inferences": 1, "feedback": 1}}
    assert store.append([arrived(served, "old")]) == [False]
    assert store.inferences(P, [served.id]) == {served.id: cleaner}


def test_rewritten_words_of_every_kind_take_the_place_of_the_old(store: HotStore) -> None:
    version, case, user, feature = a.version(), a.case(), a.user(), a.feature(description="of Jane")
    answer = a.case_answer(case)
    store.commit(
        {
            P: Writes(
                versions=[a.sealed(version)],
                cases=[a.sealed(case)],
                case_answers=[a.sealed(answer)],
                users=[a.sealed(user)],
                features=[a.sealed(feature)],
            )
        }
    )
    assert store.version(P, "answer", version.id) == version  # what was read before gives way as well
    changed: list[Any] = [
        msgspec.structs.replace(version, note="clean"),
        msgspec.structs.replace(case, expected="clean"),
        msgspec.structs.replace(user, properties={"team": "clean"}),
        msgspec.structs.replace(feature, description="clean"),
        msgspec.structs.replace(answer, output="clean"),
    ]
    store.commit({P: Writes(rewritten=[a.sealed(one) for one in changed])})
    assert store.version(P, "answer", version.id) == changed[0]
    assert store.cases(P, "answer") == [changed[1]]
    assert store.users(P, [user.id]) == {user.id: changed[2]}
    assert store.features(P) == [changed[3]]
    assert store.case_answer(P, answer.id) == changed[4]
    for kind, count in (("versions", 1), ("cases", 1), ("case_answers", 1), ("users", 1), ("features", 1)):
        found: Any = store.stale(kind, P, ["any"], after=0, limit=9, look=9)  # type: ignore[arg-type]
        assert len(found.rows) == count


def test_a_user_said_anew_is_not_overwritten_by_words_cleaned_before(store: HotStore) -> None:
    old = a.user()
    new = msgspec.structs.replace(old, updated_at=a.NOW + a.SECOND, properties={"team": "red"})
    store.commit({P: Writes(users=[a.sealed(new)])})
    store.commit({P: Writes(rewritten=[a.sealed(old)])})
    assert store.users(P, [old.id]) == {old.id: new}


def test_a_rewrite_of_another_project_or_of_no_row_changes_nothing(store: HotStore) -> None:
    served = a.inference()
    store.append([arrived(served, "old")])
    changed = msgspec.structs.replace(served, input="other")
    store.commit({"q": Writes(rewritten=[Redacted(changed, "new")])})
    store.commit({P: Writes(rewritten=[Redacted(a.inference(), "new")])})
    assert store.inferences(P, [served.id]) == {served.id: served}
    assert store.count_rules(P) == {"old": {"inferences": 1}}


def test_words_that_did_not_come_from_the_redactor_take_nobodys_place(store: HotStore) -> None:
    served = a.inference()
    store.append([arrived(served, "old")])
    raw: Any = msgspec.structs.replace(served, input="raw")
    wordless: Any = a.sealed(a.monitor())
    for given in (raw, wordless):
        with pytest.raises(WallBreach):
            store.commit({P: Writes(rewritten=[Redacted(served, "new"), given])})
    assert store.count_rules(P) == {"old": {"inferences": 1}}


def test_progress_of_a_rescan_comes_back_per_project_and_kind(reopen: Callable[[], HotStore]) -> None:
    store = reopen()
    first = Rescan(P, "inferences", "r1", 5, 2)
    begun_anew = Rescan(P, "inferences", "r2", 0, 0)
    said = Rescan(P, "feedback", "r1", 1, 1)
    store.commit({P: Writes(rescans=[first, said])})
    store.commit({P: Writes(rescans=[begun_anew])})
    assert reopen().rescans(P) == {"inferences": begun_anew, "feedback": said}
    assert reopen().rescans("q") == {}
    with pytest.raises(ValueError, match="project"):
        reopen().commit({"q": Writes(rescans=[first])})


def test_what_was_rewritten_is_not_left_in_the_file(reopen: Callable[[], HotStore], tmp_path: Any) -> None:
    store = reopen()
    rows: list[Inference] = [a.inference(input="x" * 40_000, output=f"unmistakable-{place}") for place in range(30)]
    store.append([arrived(row, "old") for row in rows])
    clean = [msgspec.structs.replace(row, input="short", output="<NAME>") for row in rows]
    store.commit({P: Writes(rewritten=[Redacted(row, "new") for row in clean])})
    store.close()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"unmistakable" not in file.read_bytes(), file
