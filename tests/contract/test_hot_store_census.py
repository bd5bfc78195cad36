"""The contract of the census: every stream counted at one moment, what has left, and what nothing shows of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Project
from trimtab.store.census import Astray, Census, Missing
from trimtab.store.ports import Aside, Due, HotStore, Target, Writes

SAID = ("thumb", "correction")
ENRICHED = "enrich.feedback"


def taken(store: HotStore, *, inferences: int = 0) -> Census:
    return store.census(said=SAID, enriched=ENRICHED, upto={"inferences": inferences})


def filled(store: HotStore) -> tuple[list[Inference], list[Feedback]]:
    """Store five answers and a thumb, a comment and a lost word on the first three."""
    store.commit({P: Writes(projects=[Project(id=P, created_at=a.NOW)])})
    answers = [a.inference(id=derived_id("answer", str(number))) for number in range(5)]
    words = [
        a.feedback(id=derived_id("thumb"), inference_id=answers[0].id, user_id="u-1"),
        a.feedback(id=derived_id("comment"), kind="comment", value=None, text="no", inference_id=answers[1].id),
        a.feedback(id=derived_id("lost"), inference_id=derived_id("nowhere")),
    ]
    store.append([a.arrival(each, P) for each in answers])
    store.append([a.arrival(each, P) for each in words])
    return answers, words


def enriched(store: HotStore, answers: list[Inference], words: list[Feedback]) -> None:
    place = store.feedback_after(0, 10)[-1].seq
    writes = Writes(
        joined=[(words[0].id, answers[0].id), (words[1].id, answers[1].id)],
        orphans=[(words[2].id, Target("inference", derived_id("nowhere")))],
        opinions=[a.opinion(words[0], answers[0])],
        outcomes=[a.outcome(answers[0], p_bad=0.9)],
    )
    store.commit({P: writes}, cursors={ENRICHED: place})


def test_an_empty_store_has_nothing_of_anything(store: HotStore) -> None:
    found = taken(store)
    assert dict(found.held) == dict(found.counted) == {"inferences": 0, "feedback": 0, "outcomes": 0}
    assert store.last_places() == {"inferences": 0, "feedback": 0, "outcomes": 0}
    assert (found.joined, found.waiting, found.unread, found.astray) == (0, 0, 0, Missing(0, []))


def test_what_came_in_is_counted_before_and_after_it_is_read(reopen: Callable[[], HotStore]) -> None:
    store = reopen()
    answers, words = filled(store)
    fresh = taken(store)
    assert dict(fresh.held) == {"inferences": 5, "feedback": 3, "outcomes": 0}
    assert fresh.counted == fresh.held
    assert (fresh.joined, fresh.waiting, fresh.unread, fresh.astray.rows) == (0, 0, 3, [])
    enriched(store, answers, words)
    store = reopen()
    found = taken(store, inferences=store.inferences_after(0, 3)[-1].seq)
    assert dict(found.counted) == dict(found.held) == {"inferences": 5, "feedback": 3, "outcomes": 1}
    assert (found.joined, found.waiting, found.unread, found.astray) == (2, 1, 0, Missing(0, []))
    assert (found.spoken, found.unjudged, found.worded, found.negative) == (1, Missing(0, []), 1, 1)
    assert dict(found.read) == {"inferences": 3, "feedback": 0, "outcomes": 0}
    assert dict(found.last) == store.last_places()
    assert found.cursors[ENRICHED] == found.last["feedback"]


def test_what_nothing_shows_of_is_named_unless_it_is_set_aside(store: HotStore) -> None:
    answers, words = filled(store)
    writes = Writes(opinions=[a.opinion(words[0], answers[0])], joined=[(words[0].id, answers[0].id)])
    store.commit({P: writes}, cursors={ENRICHED: store.feedback_after(0, 10)[-1].seq})
    found = taken(store)
    assert set(found.astray.rows) == {Astray(P, words[1].id), Astray(P, words[2].id)}
    assert found.unjudged == Missing(0, [Astray(P, answers[0].id)])
    aside = [
        Aside(P, "enrich", "feedback", words[1].id, "ValueError", a.NOW),
        Aside(P, "enrich", "outcome", answers[0].id, "ValueError", a.NOW),
    ]
    store.commit({P: Writes(aside=aside)})
    found = taken(store)
    assert found.astray == Missing(1, [Astray(P, words[2].id)])
    assert found.unjudged == Missing(1, [])


def test_rows_that_left_by_age_stay_counted_and_are_counted_once(store: HotStore) -> None:
    answers, words = filled(store)
    enriched(store, answers, words)
    last = store.last_places()
    late = a.NOW + timedelta(days=1)
    due = Due(before=dict.fromkeys(last, late), upto=last)
    lot = store.purgeable("inferences", due, after=0, limit=100)
    gone = store.purge(lot)
    assert gone["inferences"] == 5
    store.purge(lot)  # a second time: a kill came before it was known that the first had been done
    found = taken(store)
    assert dict(found.counted)["inferences"] == 5
    for kind in ("inferences", "feedback"):
        assert found.held[kind] + found.purged[kind] == found.counted[kind]


def test_counts_of_what_is_not_stored_add_up(reopen: Callable[[], HotStore]) -> None:
    store = reopen()
    store.receive({("duplicate", ""): 2, ("refused", "time_in_future"): 1})
    store.receive({("refused", "time_in_future"): 4, ("refused", "invalid_field"): 0})
    store.receive({})
    store = reopen()
    assert taken(store).received == {("duplicate", ""): 2, ("refused", "time_in_future"): 5}


def test_open_sessions_that_are_quiet_are_counted(store: HotStore) -> None:
    filled(store)
    store.commit({P: Writes(sessions=[("early", a.NOW), ("late", a.NOW + a.SECOND)])})
    assert [store.count_quiet(a.NOW + a.SECOND * each) for each in (0, 1, 2)] == [0, 1, 2]
    [quiet, _] = store.quiet_sessions(a.NOW + a.SECOND * 2, 10)
    store.commit({P: Writes(closed=[quiet._replace(closed=True)])})
    assert store.count_quiet(a.NOW + a.SECOND * 2) == 1
