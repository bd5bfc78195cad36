"""A hot store lets go of a person on every backend: nothing of theirs is left, nothing of theirs comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import NOW, SECOND, P
from trimtab.enrich.stage import EnrichStage
from trimtab.errors import Conflict, ErasedPerson
from trimtab.ids import content_id, derived_id, new_id
from trimtab.records import Erasure, Exemplar, Feedback, Inference, Knowledge, Monitor
from trimtab.store.erasing import ERASED, person
from trimtab.store.ports import Backfill, HotStore, Query, Target, Vote, Writes

TRACE = "0" * 31 + "1"


def erasure(user_id: str = "gone") -> Erasure:
    return Erasure(id=new_id(NOW), person=person(P, user_id), asked_at=NOW, state="working")


def settled(store: HotStore) -> None:
    stage = EnrichStage(store)
    while stage.tick(NOW):
        pass


def erased(store: HotStore, user_id: str = "gone") -> Erasure:
    """Erase a user from the store as the stage does, and judge again."""
    asked = store.bury(P, erasure(user_id), [user_id])
    store.collect(P, asked.id)
    asked = store.erase(P, asked)
    settled(store)
    assert store.judged(P, asked.id)
    asked = store.close_erasure(P, asked)
    store.scrub()
    return asked


class Said:
    """What one who goes and one who stays have said, each about the other's answer, too."""

    def __init__(self) -> None:
        self.mine = a.inference(user_id="gone", session_id="s-mine", trace_id=TRACE, external_id="x-1")
        self.theirs = a.inference(user_id="stays", session_id="s-theirs")
        self.vote = a.feedback(inference_id=self.mine.id, session_id=None, user_id="gone")
        self.review = a.correction(self.mine, user_id="reviewer", source="reviewer", session_id=None)
        self.by_trace = a.feedback(trace_id=TRACE, session_id=None, kind="comment", value=None, text="odd")
        self.on_theirs = a.feedback(inference_id=self.theirs.id, session_id=None, user_id="gone", value=0.0)
        self.own = a.feedback(inference_id=self.theirs.id, session_id=None, user_id="stays", value=1.0)
        self.waits = a.feedback(external_id="nowhere", session_id=None, user_id="gone")

    @property
    def events(self) -> list[Inference | Feedback]:
        return [self.mine, self.theirs, self.vote, self.review, self.by_trace, self.on_theirs, self.own, self.waits]


@pytest.fixture
def said(store: HotStore) -> Said:
    made = Said()
    store.append([a.arrival(one) for one in made.events])
    settled(store)
    return made


def left(store: HotStore) -> set[str]:
    inferences = [row.record.id for row in store.inferences_after(0, 100)]
    return {*inferences, *(row.record.id for row in store.feedback_after(0, 100))}


def test_all_of_a_person_goes_and_nothing_of_another(store: HotStore, said: Said) -> None:
    facts = a.user(id="gone")
    case = a.case(feedback_id=said.review.id)
    kept = a.case(id=new_id(NOW))
    answered = a.case_answer(kept)
    store.commit(
        {
            P: Writes(
                users=[a.sealed(facts)],
                cases=[a.sealed(case), a.sealed(kept)],
                case_answers=[a.sealed(a.case_answer(case)), a.sealed(answered)],
                votes=[Vote("c", "gone", NOW), Vote("c", "stays", NOW)],
                audits=[a.audit_item(said.mine)],
                reviews=[a.review_item(inference_id=said.mine.id), a.review_item(inference_id=said.theirs.id)],
                backfills=[Backfill(P, "user", "gone", NOW)],
            )
        }
    )
    receipt = erased(store)
    assert left(store) == {said.theirs.id, said.own.id}
    assert store.users(P, ["gone"]) == {}
    assert [each.id for each in store.cases(P, "answer")] == [kept.id]
    assert [row.record for row in store.case_answers(P, Query()).rows] == [answered]
    assert store.votes("c", ["gone", "stays"]) == {"stays": NOW}
    assert store.audits(P, Query()).rows == []
    assert [row.record.inference_id for row in store.reviews(P, Query()).rows] == [said.theirs.id]
    assert store.outcomes(P, [said.mine.id]) == {}
    assert store.opinions(P, [said.mine.id]) == {}
    assert store.turns(P, ["s-mine", "s-theirs"]).keys() == {"s-theirs"}
    assert store.sessions(P, ["s-mine", "s-theirs"]).keys() == {"s-theirs"}
    assert store.resolve(P, [Target("trace", TRACE), Target("external", "x-1")]) == {}
    assert store.aimed(P, [Target("trace", TRACE), Target("external", "nowhere")]) == []
    assert store.waiting(P, [Target("external", "nowhere")]) == []
    assert [one.user_id for one in store.opinions(P, [said.theirs.id])[said.theirs.id]] == ["stays"]
    removed = receipt.removed["hot"]
    assert (removed["inferences"], removed["feedback"], removed["users"], removed["cases"]) == (1, 5, 1, 1)
    assert receipt.finished == ["hot"]
    assert store.cursor(ERASED) == 1
    assert store.gone(P, receipt.id) == ([], [], [])


def test_what_they_said_of_others_no_longer_counts(store: HotStore, said: Said) -> None:
    before = store.outcomes(P, [said.theirs.id])[said.theirs.id]
    assert (before.vote, len(before.evidence)) == (0.5, 2)
    erased(store)
    after = store.outcomes(P, [said.theirs.id])[said.theirs.id]
    assert (after.vote, after.voter_id, len(after.evidence)) == (0.0, "stays", 1)
    alone = a.inference(user_id="stays")
    only = a.feedback(inference_id=alone.id, session_id=None, user_id="second")
    store.append([a.arrival(alone), a.arrival(only)])
    settled(store)
    assert store.outcomes(P, [alone.id]).keys() == {alone.id}
    erased(store, "second")
    assert store.outcomes(P, [alone.id]) == {}


def test_nothing_of_theirs_is_taken_in_again(store: HotStore, said: Said, reopen: Callable[[], HotStore]) -> None:
    erased(store)
    for anew in (False, True):
        opened = reopen() if anew else store
        flags = opened.append([a.arrival(one) for one in said.events])
        assert flags == [None, False, None, None, None, None, False, None]
        later = a.inference(user_id="gone")
        nameless = a.feedback(inference_id=said.mine.id, session_id=None)
        by_session = a.feedback(session_id="s-mine")
        shared = a.feedback(session_id="s-theirs")
        flags = opened.append([a.arrival(later), *map(a.arrival, (nameless, by_session, shared))])
        assert flags == [None, None, None, True]
        elsewhere = a.inference(user_id="gone")
        assert opened.append([a.arrival(elsewhere, "q")]) == [True]


def test_a_duplicate_beside_the_erased_is_still_told_by_its_place(store: HotStore, said: Said) -> None:
    erased(store)
    fresh = a.inference(user_id="stays")
    sent: list[Inference | Feedback] = [said.mine, fresh, said.theirs, fresh, said.vote]
    assert store.append([a.arrival(one) for one in sent]) == [None, True, False, False, None]


def test_what_was_made_from_it_meanwhile_is_not_written(store: HotStore, said: Said) -> None:
    erased(store)
    late = Writes(
        opinions=[
            a.opinion(said.review, said.mine),
            a.opinion(said.on_theirs, said.theirs),
            a.opinion(a.feedback(user_id="new"), said.theirs),
        ],
        outcomes=[a.outcome(said.mine), a.outcome(said.theirs, voter_id="gone")],
        joined=[(said.vote.id, said.mine.id)],
        targets=[(Target("trace", TRACE), said.mine.id)],
        votes=[Vote("late", "gone", NOW)],
        audits=[a.audit_item(said.mine)],
        cases=[a.sealed(a.case(feedback_id=said.review.id))],
        sessions=[("s-mine", NOW)],
        backfills=[Backfill(P, "user", "gone", NOW)],
    )
    before = store.outcomes(P, [said.theirs.id])
    store.commit({P: late}, cursors={"late": 7})
    assert store.opinions(P, [said.mine.id]) == {}
    assert {each.user_id for each in store.opinions(P, [said.theirs.id])[said.theirs.id]} == {"stays", "new"}
    assert store.outcomes(P, [said.mine.id, said.theirs.id]) == before
    assert store.joined(P, [said.vote.id]) == {}
    assert store.resolve(P, [Target("trace", TRACE)]) == {}
    assert store.votes("late", ["gone"]) == {}
    assert store.audits(P, Query()).rows == []
    assert store.cases(P, "answer") == []
    assert store.sessions(P, ["s-mine"]) == {}
    assert store.backfills(10) == []
    assert store.cursor("late") == 7


def test_a_user_or_a_version_that_would_bring_them_back_is_refused(store: HotStore, said: Said) -> None:
    erased(store)
    with pytest.raises(ErasedPerson, match="was erased"):
        store.commit({P: Writes(users=[a.sealed(a.user(id="gone"))])})
    exemplar = Exemplar(id="x", input="i", output="o", source_feedback_id=said.review.id)
    version = a.sealed(a.version(exemplars=[exemplar]))
    taught = a.sealed(a.version(knowledge=[Knowledge(id="k", text="t", source_feedback_id=said.vote.id)]))
    for writes in (Writes(versions=[version]), Writes(rewritten=[version]), Writes(versions=[taught])):
        with pytest.raises(Conflict, match="make it anew"):
            store.commit({P: writes})


def test_a_monitor_forgets_who_voted(store: HotStore, said: Said) -> None:
    marks = {"5": {"at": NOW.isoformat(), "first": None, "users": ["stays", "gone"]}}
    monitor = Monitor(
        id=derived_id("m"), feature="answer", version_id="v", reference_kind="learning", created_at=NOW, onsets=marks
    )
    store.commit({P: Writes(monitors=[monitor])})
    erased(store)
    assert store.monitors(P, "answer")[0].onsets["5"]["users"] == ["stays"]
    store.commit({P: Writes(monitors=[msgspec.structs.replace(monitor, votes=9)])})
    held = store.monitors(P, "answer")[0]
    assert (held.votes, held.onsets["5"]["users"]) == (9, ["stays"])


def test_asked_twice_it_is_one_erasure_until_it_is_done(store: HotStore, said: Said) -> None:
    first = store.bury(P, erasure(), ["gone"])
    assert store.bury(P, erasure(), ["gone"]) == first
    other = store.bury(P, erasure("else"), ["else"])
    assert [row.record.id for row in store.working_erasures(10)] == [first.id, other.id]
    assert [row.record.id for row in store.working_erasures(1)] == [first.id]
    done = msgspec.structs.replace(first, state="done", finished_at=NOW + SECOND, notes=["n"], removed={"a": {"b": 1}})
    store.commit({P: Writes(erasures=[done])})
    assert store.erasure(P, first.id) == done
    assert store.bury(P, erasure(), ["gone"]).id != first.id
    assert [row.record.id for row in store.erasures(P, Query(limit=2)).rows][1] == other.id
    assert store.erasure("q", first.id) is None
    assert store.erasures("q", Query()).rows == []


def test_asked_while_the_disk_is_being_cleared_it_is_another_erasure(store: HotStore, said: Said) -> None:
    """Its list would come back to one that looks at no list any more, and name the person for ever."""
    first = store.bury(P, erasure(), ["gone"])
    store.collect(P, first.id)
    store.close_erasure(P, store.erase(P, first))
    second = store.bury(P, erasure(), ["gone"])
    assert second.id != first.id
    assert store.gone(P, first.id) == ([], [], [])
    assert store.gone(P, second.id).users == ["gone"]
    assert store.bury(P, erasure(), ["gone"]) == second


def test_every_step_may_be_done_twice_and_counts_once(store: HotStore, said: Said) -> None:
    asked = store.bury(P, erasure(), ["gone"])
    listed = store.collect(P, asked.id)
    assert store.collect(P, asked.id) == listed
    once = store.erase(P, asked)
    again = store.collect(P, asked.id)
    assert again == listed
    assert store.erase(P, once).removed == once.removed


def test_what_another_place_found_is_removed_and_refused_too(store: HotStore) -> None:
    purged, word = new_id(NOW), a.feedback(user_id="other", inference_id=None)
    store.append([a.arrival(word)])
    asked = store.bury(P, erasure(), ["gone"])
    gone = store.collect(P, asked.id, inferences=[purged], feedback=[word.id])
    assert (gone.inferences, gone.feedback) == ([purged], [word.id])
    store.erase(P, asked)
    assert left(store) == set()
    about = a.feedback(inference_id=purged, session_id=None)
    assert store.append([a.arrival(word), a.arrival(about)]) == [None, None]


def test_many_rows_of_a_person_go_as_one_does(store: HotStore) -> None:
    mine = [a.inference(user_id="gone", session_id="s") for _ in range(1300)]
    said = [a.feedback(inference_id=one.id, session_id=None, user_id="gone") for one in mine]
    store.append([*map(a.arrival, mine), *map(a.arrival, said)])
    settled(store)
    removed = erased(store).removed["hot"]
    assert (removed["inferences"], removed["feedback"], removed["outcomes"]) == (1300, 1300, 1300)
    assert left(store) == set()
    flags = store.append([*map(a.arrival, mine), *map(a.arrival, said)])
    assert set(flags) == {None}


def test_no_row_slips_in_while_the_tombstone_is_written(store: HotStore, reopen: Any) -> None:
    """Whoever appends at the very moment is refused, or found by what follows."""
    rounds, lots = 12, 40
    for number in range(rounds):
        user = f"gone-{number}"
        start = threading.Barrier(3)

        def append(user: str = user, start: threading.Barrier = start) -> None:
            start.wait()
            for _ in range(lots):
                store.append([a.arrival(a.inference(user_id=user))])

        writers = [threading.Thread(target=append) for _ in range(2)]
        for writer in writers:
            writer.start()
        start.wait()
        asked = store.bury(P, erasure(user), [user])
        store.collect(P, asked.id)
        store.erase(P, asked)
        for writer in writers:
            writer.join()
    assert [row.record.user_id for row in store.inferences_after(0, 10_000)] == []


def test_the_review_queue_forgets_a_person_who_asked_and_one_who_judged(store: HotStore, said: Said) -> None:
    other = new_id(NOW)
    judged = a.review_item(inference_id=said.theirs.id, state="done", verdict="bad", reserved_by="gone")
    named = a.review_item(inference_id=other, asked_of="gone")
    shared = a.review_theme(inference_id=other, members=[other, said.mine.id], size=2, words=["mine", "other"])
    apart, own = a.review_theme(inference_id=other), a.review_theme(inference_id=said.mine.id)
    links = [a.review_link(inference_id=said.mine.id), a.review_link(reviewer="gone"), a.review_link()]
    mine = a.review_item(inference_id=said.mine.id)
    writes = Writes(
        reviews=[judged, named, mine],
        review_themes=[shared, apart, own],
        review_links=[a.sealed(link) for link in links],
    )
    store.commit({P: writes})
    receipt = erased(store)
    for _ in range(2):  # what is written again afterwards comes back no more than it was
        items = {row.record.id: row.record for row in store.reviews(P, Query()).rows}
        assert items.keys() == {judged.id, named.id}
        assert (items[judged.id].reserved_by, items[judged.id].verdict) == (None, "bad")
        assert items[named.id].asked_of is None
        themes = {row.record.id: row.record for row in store.review_themes(P, Query()).rows}
        assert themes == {apart.id: apart, shared.id: themes[shared.id]}
        assert (themes[shared.id].words, themes[shared.id].members, themes[shared.id].size) == ([], [other], 1)
        assert [link.id for link in links if store.review_link(link.sha256)] == [links[2].id]
        again = a.review_theme(id=shared.id, inference_id=other, members=[other, said.mine.id], size=2)
        held = a.sealed(msgspec.structs.replace(mine, state="reserved", reserved_by="stays"))
        late = Writes(
            reviews=writes.reviews, reviewed=[held], review_themes=[again, own], review_links=writes.review_links
        )
        store.commit({P: late})
    assert (receipt.removed["hot"]["themes"], receipt.removed["hot"]["reviewers"]) == (2, 3)


def test_looks_at_examples_go_with_the_words_that_made_them(store: HotStore, said: Said) -> None:
    looked = {"source": "example", "doubt_id": new_id(NOW)}
    because = a.review_item(exemplar_id="x_1", instead_id=said.review.id, **looked)
    made_of = a.review_item(exemplar_id=content_id("x", said.review.id.encode()), instead_id=said.own.id, **looked)
    other = a.review_item(exemplar_id="x_1", instead_id=said.own.id, **looked)
    links = [a.review_link(item_id=each.id) for each in (because, made_of, other)]
    writes = Writes(reviews=[because, made_of, other], review_links=[a.sealed(link) for link in links])
    store.commit({P: writes})
    receipt = erased(store)
    assert receipt.removed["hot"]["reviews"] == 2
    assert [item.id for item in store.review_looks(P, "answer", NOW)] == [other.id]
    assert [link.id for link in links if store.review_link(link.sha256)] == [links[2].id]
    store.commit({P: Writes(reviews=[because])})
    assert store.review(P, because.id) is None


def test_a_theme_that_comes_late_has_no_words_of_theirs(store: HotStore, said: Said) -> None:
    erased(store)
    theme = a.review_theme(members=[new_id(NOW), said.mine.id], size=2, words=["mine"])
    store.commit({P: Writes(review_themes=[theme])})
    [row] = store.review_themes(P, Query()).rows
    assert (row.record.words, row.record.size, row.record.members) == ([], 1, theme.members[:1])
