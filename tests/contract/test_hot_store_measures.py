"""The contract of what measuring reads, on every backend."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P, arrival, ids
from trimtab.records import Inference, Outcome
from trimtab.store.ports import HotStore, Query, WorkSum, Writes

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def judged(**fields: Any) -> tuple[Inference, Outcome]:
    served = a.inference(created_at=fields.pop("created_at", a.NOW), version_id="v1")
    return served, a.outcome(served, **fields)


def test_ballots_are_the_newest_votes_of_known_people_in_the_span(store: HotStore) -> None:
    old, bad = judged(vote=1.0, voter_id="u1", voted_at=a.NOW, segments={"plan": "pro"})
    new, good = judged(vote=0.0, voter_id="u2", voted_at=a.NOW, created_at=a.NOW + HOUR)
    nobody, silent, gone = judged(vote=1.0)[1], judged()[1], judged(vote=1.0, voter_id="u3", withdrawn=True)[1]
    late = judged(vote=1.0, voter_id="u4", created_at=a.NOW + DAY)[1]
    store.commit({P: Writes(outcomes=[bad, good, nobody, silent, gone, late]), "q": Writes(outcomes=[judged()[1]])})
    found = store.ballots(P, "answer", a.NOW, a.NOW + DAY, 10)
    assert [(each.inference_id, each.voter_id, each.vote) for each in found] == [(new.id, "u2", 0), (old.id, "u1", 1)]
    assert (found[1].version_id, found[1].created_at, found[1].segments) == ("v1", a.NOW, {"plan": "pro"})
    assert [each.voter_id for each in store.ballots(P, "answer", a.NOW, a.NOW + DAY, 1)] == ["u2"]
    assert store.ballots(P, "other", a.NOW, a.NOW + DAY, 10) == []


def test_judged_outcomes_come_oldest_first_without_those_taken_back(store: HotStore) -> None:
    first, bad = judged(p_bad=0.9)
    second, good = judged(p_bad=0.1, created_at=a.NOW + HOUR, vote=0.0, voter_id="u", voted_at=a.NOW + DAY)
    store.commit({P: Writes(outcomes=[good, bad, judged(withdrawn=True)[1]])})
    found = store.judgements(P, "answer", a.NOW, a.NOW + DAY, 10)
    assert [(each.inference_id, each.p_bad, each.voted_at) for each in found] == [
        (first.id, 0.9, None),
        (second.id, 0.1, a.NOW + DAY),
    ]
    assert [each.inference_id for each in store.judgements(P, "answer", a.NOW, a.NOW + DAY, 1)] == [first.id]


def test_an_answer_was_reviewed_when_its_first_item_was_closed(store: HotStore) -> None:
    served, other = a.inference(), a.inference()
    items = [
        a.review_item(inference_id=served.id, state="done", verdict="good", closed_at=a.NOW + delay)
        for delay in (2 * HOUR, HOUR)
    ]
    waiting = a.review_item(inference_id=other.id)
    store.commit({P: Writes(reviews=[*items, waiting])})
    assert store.reviewed(P, [served.id, other.id, "nonsense"]) == {served.id: a.NOW + HOUR}
    assert store.reviewed("q", [served.id]) == {}


def test_correction_times_leave_out_what_was_taken_back_or_replaced(store: HotStore) -> None:
    served = a.inference()
    early, late = (a.correction(served, user_id=who, created_at=a.NOW + at) for who, at in (("u1", HOUR), ("u2", DAY)))
    replaced = a.correction(served, user_id="u1")
    vote = a.feedback(inference_id=served.id, user_id="u1")
    back = a.correction(served, user_id="u3")
    said: list[Any] = [replaced, early, late, vote, back]
    store.append([arrival(served), *(arrival(each) for each in said)])
    opinions = [a.opinion(each, served, **({"retracted": True} if each is back else {})) for each in said]
    store.commit({P: Writes(joined=[(each.id, served.id) for each in said], opinions=opinions)})
    found = store.correction_times(P, "answer", a.NOW, a.NOW + 2 * DAY, 10)
    assert found == [(late.id, a.NOW + DAY), (early.id, a.NOW + HOUR)]
    assert store.correction_times(P, "answer", a.NOW, a.NOW + 2 * DAY, 1) == found[:1]
    assert store.correction_times(P, "answer", a.NOW, a.NOW + DAY, 10) == found[1:]
    assert store.correction_times(P, "other", a.NOW, a.NOW + 2 * DAY, 10) == []


def test_work_is_summed_by_kind_and_source_and_written_again_it_is_replaced(store: HotStore) -> None:
    first = a.work(feature="answer", minutes=10.0)
    more = [a.work(minutes=2.5), a.work(kind="hotfix", source="assumed", minutes=60.0, feature="answer")]
    late = a.work(at=a.NOW + DAY)
    store.commit({P: Writes(work=[a.work(id=first.id, minutes=99.0)]), "q": Writes(work=[a.work()])})
    store.commit({P: Writes(work=[first, *more, late])})
    assert store.work_minutes(P, None, a.NOW, a.NOW + DAY) == [
        WorkSum("hotfix", "assumed", 1, 60.0),
        WorkSum("triage", "measured", 2, 12.5),
    ]
    assert store.work_minutes(P, "answer", a.NOW, a.NOW + DAY)[1] == ("triage", "measured", 1, 10.0)
    assert ids(store.work_log(P, Query(newest=False, until=a.NOW + DAY))) == [first.id, *(each.id for each in more)]
    assert ids(store.work_log(P, Query(feature="answer", newest=False))) == [first.id, more[1].id]
