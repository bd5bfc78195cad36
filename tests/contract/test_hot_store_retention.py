"""The contract of what leaves by age: what goes with what, what has to stay, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from trimtab.ids import new_id
from trimtab.records import Feedback, Inference
from trimtab.store.ports import (
    Arrival,
    Due,
    HotSpan,
    HotStore,
    Keep,
    PurgedKind,
    PurgeLot,
    PurgeMark,
    PurgeWalk,
    Query,
    Session,
    Target,
    Turn,
    Vote,
    Writes,
)

DAY = timedelta(days=1)
OLD, NOW = a.NOW, a.NOW + 40 * DAY
KINDS: tuple[PurgedKind, ...] = ("inferences", "feedback", "outcomes")
ALL: Mapping[PurgedKind, int] = dict.fromkeys(KINDS, 1 << 62)
BEFORE: Mapping[PurgedKind, datetime] = dict.fromkeys(KINDS, NOW - 30 * DAY)
TRACE, SPAN = "0" * 31 + "1", "0" * 15 + "1"


def stored(store: HotStore, *events: Inference | Feedback, at: datetime = OLD, project_id: str = P) -> None:
    sealed: list[Any] = [a.sealed(event) for event in events]
    assert all(store.append([Arrival(project_id, event, at) for event in sealed]))


def due(**fields: Any) -> Due:
    return Due(**{"before": BEFORE, "upto": ALL, **fields})


def walked(store: HotStore, walk: PurgeWalk, what: Due | None = None) -> PurgeLot:
    """Let everything go that one walk finds."""
    lot = store.purgeable(walk, what or due(), after=0, limit=1000)
    assert lot.ended
    store.purge(lot)
    return lot


def inferences(store: HotStore) -> list[str]:
    return [row.record.id for row in store.inferences_after(0, 1000)]


def feedback(store: HotStore) -> list[str]:
    return [row.record.id for row in store.feedback_after(0, 1000)]


def test_an_answer_goes_with_what_was_said_about_it_and_with_every_name_it_had(store: HotStore) -> None:
    about = a.inference(external_id="e", trace_id=TRACE, span_id=SPAN, session_id="s-1")
    word, young = a.feedback(trace_id=TRACE, span_id=SPAN), a.inference(session_id="s-2")
    stored(store, about, word)
    stored(store, young, at=NOW - DAY)
    names = [Target("external", "e"), Target("trace", TRACE), Target("span", f"{TRACE}/{SPAN}")]
    store.commit(
        {
            P: Writes(
                joined=[(word.id, about.id)],
                aims=[(word.id, names[2])],
                targets=[(name, about.id) for name in names],
                turns=[Turn("s-1", about.created_at, about.id, "answer"), Turn("s-2", OLD, young.id, "answer")],
            )
        }
    )
    lot = walked(store, "inferences")
    assert lot.vectors == {(P, "inference"): [about.id], (P, "feedback"): [word.id]}
    assert (inferences(store), feedback(store)) == ([young.id], [])
    assert store.resolve(P, [*names, Target("inference", about.id)]) == {}
    assert store.aimed(P, names) == []
    assert store.joined(P, [word.id]) == {}
    assert list(store.turns(P, ["s-1", "s-2"])) == ["s-2"]


def test_a_name_that_a_younger_answer_has_taken_stays_its_own(store: HotStore) -> None:
    old, young = a.inference(external_id="e"), a.inference(external_id="e", created_at=NOW - DAY)
    stored(store, old)
    stored(store, young, at=NOW - DAY)
    name = Target("external", "e")
    store.commit({P: Writes(targets=[(name, old.id), (name, young.id)])})
    walked(store, "inferences")
    assert store.resolve(P, [name]) == {name: young.id}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_lots_are_bounded_and_go_on_where_they_ended(store: HotStore, limit: int) -> None:
    served = [a.inference() for _ in range(7)]
    stored(store, *served)
    place, seen = 0, []
    while True:
        lot = store.purgeable("inferences", due(), after=place, limit=limit)
        assert lot.looked <= limit
        seen += [row.id for row in lot.rows]
        store.purge(lot)
        place = lot.reached
        if lot.ended:
            break
    assert len(seen) == len(set(seen)) == 7
    assert inferences(store) == []


def test_what_is_young_or_not_shipped_or_of_a_kind_that_stays_is_not_touched(store: HotStore) -> None:
    first, second, third = (a.inference() for _ in range(3))
    stored(store, first, second)
    stored(store, third, at=NOW - 29 * DAY)
    place = store.inferences_after(0, 1)[0].seq
    walked(store, "inferences", due(before={"feedback": NOW}))
    walked(store, "inferences", due(upto={"inferences": 0}))
    assert inferences(store) == [first.id, second.id, third.id]
    walked(store, "inferences", due(upto={**ALL, "inferences": place}))
    assert inferences(store) == [second.id, third.id]
    walked(store, "inferences")
    assert inferences(store) == [third.id]


def test_an_answer_waits_for_the_youngest_word_on_it(store: HotStore) -> None:
    about, early, late = a.inference(), a.feedback(), a.feedback()
    stored(store, about, early)
    stored(store, late, at=NOW - DAY)
    store.commit({P: Writes(joined=[(early.id, about.id), (late.id, about.id)])})
    walked(store, "inferences")
    walked(store, "feedback")
    assert (inferences(store), feedback(store)) == ([about.id], [early.id, late.id])
    walked(store, "inferences", due(before=dict.fromkeys(KINDS, NOW)))
    assert (inferences(store), feedback(store)) == ([], [])


def test_an_answer_waits_until_its_outcome_was_read(store: HotStore) -> None:
    about = a.inference()
    stored(store, about)
    store.commit({P: Writes(outcomes=[a.outcome(about)])})
    place = store.outcomes_after(0, 1)[0].seq
    walked(store, "inferences", due(upto={**ALL, "outcomes": place - 1}))
    assert inferences(store) == [about.id]
    walked(store, "inferences", due(upto={**ALL, "outcomes": place}))
    assert inferences(store) == []


def test_what_is_to_be_kept_stays(store: HotStore) -> None:
    early, late, other = a.inference(created_at=OLD - DAY), a.inference(), a.inference(feature="other")
    named, made, word, orphan = a.inference(feature="x"), a.inference(feature="x"), a.feedback(), a.feedback()
    stored(store, early, late, other, named, made, word, orphan)
    store.commit({P: Writes(joined=[(word.id, made.id)])})
    keep = Keep(since={"answer": OLD}, inferences=frozenset([named.id]), feedback=frozenset([word.id, orphan.id]))
    walked(store, "inferences", due(keep={P: keep}))
    walked(store, "feedback", due(keep={P: keep}))
    assert inferences(store) == [late.id, named.id, made.id]
    assert feedback(store) == [word.id, orphan.id]


def test_an_answer_drawn_for_an_audit_waits_for_a_reviewer(store: HotStore) -> None:
    judged, voted = a.inference(), a.inference()
    stored(store, judged, voted)
    said = [a.opinion(a.feedback(source=source), about) for source, about in (("reviewer", judged), ("user", voted))]
    store.commit({P: Writes(audits=[a.audit_item(judged), a.audit_item(voted)], opinions=said)})
    walked(store, "inferences")
    assert inferences(store) == [voted.id]


def test_orphans_go_when_their_time_is_over_and_leave_nothing_behind(store: HotStore) -> None:
    word, young = a.feedback(), a.feedback()
    stored(store, word)
    stored(store, young, at=NOW)
    store.commit({P: Writes(orphans=[(each.id, a.SESSION) for each in (word, young)], aims=[(word.id, a.SESSION)])})
    lot = walked(store, "feedback")
    assert lot.vectors == {(P, "feedback"): [word.id]}
    assert [row.record.id for row in store.orphans(P, Query()).rows] == [young.id]
    assert store.aimed(P, [a.SESSION]) == []
    assert feedback(store) == [young.id]


def test_judgements_go_when_their_answer_has_gone(store: HotStore) -> None:
    gone, here, remarked = a.inference(), a.inference(), a.inference()
    stored(store, here)
    said = [a.opinion(a.feedback(), gone), a.opinion(a.feedback(kind="comment", text="so"), remarked)]
    store.commit({P: Writes(outcomes=[a.outcome(gone), a.outcome(here)], opinions=said)})
    ids = [gone.id, here.id, remarked.id]
    walked(store, "opinions")
    assert list(store.opinions(P, ids)) == [gone.id]
    walked(store, "outcomes", due(before={**BEFORE, "outcomes": OLD}))
    assert len(store.outcomes(P, ids)) == 2
    walked(store, "outcomes")
    assert list(store.outcomes(P, ids)) == [here.id]
    assert store.opinions(P, ids) == {}


def test_a_session_goes_after_its_last_answer_and_never_while_it_is_open(store: HotStore) -> None:
    about = a.inference(session_id="full")
    stored(store, about)
    names = ("full", "empty", "open", "young")
    times = dict.fromkeys(names, OLD) | {"young": NOW}
    closed = [Session(P, name, times[name], closed=True) for name in names if name != "open"]
    store.commit({P: Writes(sessions=list(times.items()), turns=[Turn("full", OLD, about.id, "answer")])})
    store.commit({P: Writes(closed=closed)})
    walked(store, "sessions")
    assert set(store.sessions(P, names)) == {"full", "open", "young"}
    walked(store, "inferences")
    walked(store, "sessions")
    assert set(store.sessions(P, names)) == {"open", "young"}


def test_who_was_counted_long_ago_is_forgotten_except_where_something_is_open(store: HotStore) -> None:
    for project in ("p", "q"):
        counted = [Vote(f"m-{project}", f"u{n}", OLD if n < 5 else NOW) for n in range(7)]
        store.commit({project: Writes(votes=counted)})
    place: tuple[str, str] | None = ("", "")
    rounds = 0
    while place is not None:
        place = store.purge_votes(NOW - DAY, ["q"], after=place, limit=3)
        rounds += 1
    assert rounds == 5
    users = [f"u{n}" for n in range(7)]
    assert sorted(store.votes("m-p", users)) == ["u5", "u6"]
    assert sorted(store.votes("m-q", users)) == users


def test_what_went_is_counted_and_its_time_is_known_after_reopening(reopen: Any) -> None:
    store = reopen()
    assert store.purged_until("inferences") is None
    served = [a.inference() for _ in range(3)]
    stored(store, *served[:2])
    stored(store, served[2], at=OLD + DAY)
    store.mark_safe("inferences", safe=1, noted=2, at=NOW)
    walked(store, "inferences")
    for again in (False, True):
        each = reopen() if again else store
        assert each.purged_until("inferences") == OLD + DAY
        assert each.purged_until("feedback") is None
        assert each.purge_marks()["inferences"] == PurgeMark(3, OLD + DAY, 1, 2, NOW)


def test_a_lot_that_could_not_be_removed_is_found_again(store: HotStore) -> None:
    stored(store, a.inference())
    first = store.purgeable("inferences", due(), after=0, limit=10)
    again = store.purgeable("inferences", due(), after=0, limit=10)
    assert first == again
    assert store.purge(first) == {"inferences": 1}
    assert store.purgeable("inferences", due(), after=0, limit=10).rows == []


def test_places_are_never_used_again(store: HotStore) -> None:
    stored(store, a.inference(), a.inference())
    last = store.inferences_after(0, 10)[-1].seq
    walked(store, "inferences")
    assert store.inferences_after(0, 10) == []
    stored(store, a.inference())
    assert store.inferences_after(last, 10)[0].seq > last


def test_what_is_held_is_counted_with_the_time_of_its_oldest_row(store: HotStore) -> None:
    assert store.hot_span("feedback") == HotSpan(0, None)
    about = a.inference()
    stored(store, about, at=OLD)
    stored(store, a.inference(id=new_id(NOW)), at=NOW)
    store.commit({P: Writes(outcomes=[a.outcome(about)])})
    assert store.hot_span("inferences") == HotSpan(2, OLD)
    assert store.hot_span("inferences", count=False) == HotSpan(0, OLD)
    assert store.hot_span("outcomes") == HotSpan(1, a.NOW)


def test_no_project_loses_what_is_another_ones(store: HotStore) -> None:
    about = a.inference(external_id="e", session_id="s")
    for project in ("p", "q"):
        stored(store, about, project_id=project, at=OLD if project == "p" else NOW)
        turn = Turn("s", OLD, about.id, "answer")
        named = [(Target("external", "e"), about.id)]
        store.commit({project: Writes(targets=named, turns=[turn], outcomes=[a.outcome(about)])})
    for walk in ("inferences", "outcomes"):
        walked(store, walk)
    assert [row.project_id for row in store.inferences_after(0, 10)] == ["q"]
    assert [row.project_id for row in store.outcomes_after(0, 10)] == ["q"]
    assert store.resolve("q", [Target("external", "e")])
    assert store.turns("q", ["s"])


def test_exposures_stay_when_their_answers_go(store: HotStore) -> None:
    stored(store, a.inference(), a.inference())
    counted: Sequence[Any] = store.exposures(P, "answer", OLD - DAY, OLD + DAY)
    walked(store, "inferences")
    assert store.exposures(P, "answer", OLD - DAY, OLD + DAY) == counted
    assert sum(each.inferences for each in counted) == 2
