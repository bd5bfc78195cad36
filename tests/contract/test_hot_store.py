"""The contract of events and judgements in the hot store, sentence by sentence, on every backend."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import SESSION, P, ids
from trimtab.errors import WallBreach
from trimtab.ids import new_id
from trimtab.records import Chunk, Feedback, Inference
from trimtab.store.ports import Arrival, Exposure, HotStore, Query, Target, Writes


def full_inference() -> Inference:
    return a.inference(
        input=[{"role": "user", "content": "hé\u0000 'quoted' 😀"}],
        output={"answer": [1, 2.5, None, True]},
        version_id="v1",
        arm="candidate",
        model="m/1",
        session_id="s-1",
        user_id="u-1",
        external_id="x-1",
        trace_id="0" * 31 + "1",
        span_id="0" * 16,
        context=[Chunk(id="c1", text="t", score=0.5)],
        tags={"lang": "en"},
        latency_ms=12.5,
        input_tokens=3,
        output_tokens=4,
        cost_usd=0.001,
        error="none",
    )


# ---------------------------------------------------------------- events


def test_events_come_back_as_they_were_given(store: HotStore) -> None:
    served, said = full_inference(), a.feedback(kind="rating", value=2.0, best=5.0, user_id="u", label="l", text="t")
    store.append([a.arrival(served), a.arrival(said)])
    assert store.inferences(P, [served.id]) == {served.id: served}
    assert store.feedback(P, [said.id]) == {said.id: said}


def test_times_come_back_in_utc_to_the_microsecond(store: HotStore) -> None:
    east = a.NOW.astimezone(timezone(timedelta(hours=5)))
    served = a.inference(created_at=east)
    store.append([a.arrival(served)])
    back = store.inferences(P, [served.id])[served.id].created_at
    assert back == east
    assert back.utcoffset() == timedelta(0)


def test_duplicates_are_told_by_position_even_inside_one_call(store: HotStore) -> None:
    one, two, said = a.inference(), a.inference(), a.feedback()
    assert store.append([a.arrival(one)]) == [True]
    arrivals = [a.arrival(item) for item in (two, one, said, two, said)]
    assert store.append(arrivals) == [True, False, True, False, False]
    assert store.append(arrivals) == [False] * 5


def test_first_content_of_an_id_stays(store: HotStore) -> None:
    first = a.inference(input="first")
    second = msgspec.structs.replace(first, input="second")
    third = msgspec.structs.replace(first, input="third")
    store.append([a.arrival(first), a.arrival(second)])
    store.append([a.arrival(third)])
    assert store.inferences(P, [first.id])[first.id].input == "first"


def test_an_empty_append_is_no_error(store: HotStore) -> None:
    assert store.append([]) == []


def test_same_id_in_two_projects_is_two_events(store: HotStore) -> None:
    served = a.inference()
    assert store.append([a.arrival(served, "p"), a.arrival(served, "q")]) == [True, True]


def test_what_did_not_come_from_the_redactor_is_refused_and_nothing_stored(store: HotStore) -> None:
    raw: Any = a.inference()
    with pytest.raises(WallBreach):
        store.append([a.arrival(a.inference()), Arrival(P, raw, a.NOW)])
    wrong: Any = a.sealed(a.feature())
    with pytest.raises(WallBreach):
        store.append([a.arrival(a.inference()), Arrival(P, wrong, a.NOW)])
    assert store.inferences_after(0, 10) == []


def test_an_append_that_raises_half_way_stores_nothing(store: HotStore) -> None:
    too_big = a.inference(input_tokens=2**70)
    with pytest.raises(OverflowError):
        store.append([a.arrival(a.inference()), a.arrival(too_big), a.arrival(a.feedback())])
    assert store.inferences_after(0, 10) == []
    assert store.feedback_after(0, 10) == []
    assert store.exposures(P, "answer", a.NOW, a.NOW + a.SECOND) == []
    assert store.append([a.arrival(a.inference())]) == [True]


def test_stage_reads_events_of_all_projects_in_order_of_arrival(store: HotStore) -> None:
    served = [a.inference() for _ in range(6)]
    for place, item in enumerate(served):
        store.append([a.arrival(item, "pq"[place % 2])])
    first = store.inferences_after(0, 4)
    rest = store.inferences_after(first[-1].seq, 4)
    assert [row.record for row in first + rest] == served
    assert [row.project_id for row in first + rest] == list("pqpqpq")
    assert all(row.seq > 0 for row in first)


def test_concurrent_appends_lose_and_double_nothing(store: HotStore) -> None:
    shared = [a.arrival(a.inference()) for _ in range(50)]

    def send(_: int) -> int:
        own = [a.arrival(a.inference()) for _ in range(20)]
        return sum(store.append(shared[lot * 10 : lot * 10 + 10] + own[lot::5]).count(True) for lot in range(5))

    with ThreadPoolExecutor(8) as pool:
        new = sum(pool.map(send, range(8)))
    rows = store.inferences_after(0, 10_000)
    assert new == len(rows) == len({row.record.id for row in rows}) == 50 + 8 * 20
    assert sum(count.inferences for count in store.exposures(P, "answer", a.NOW, a.NOW + a.SECOND)) == 210


def test_readers_never_skip_a_row_while_others_append(store: HotStore) -> None:
    appended = threading.Semaphore(0)
    seen: list[str] = []

    def send(own: list[Inference]) -> None:
        for item in own:
            store.append([a.arrival(item)])
            appended.release()

    def follow() -> None:
        place, left = 0, 120
        while True:
            if left:
                assert appended.acquire(timeout=60)
                left -= 1
            rows = store.inferences_after(place, 7)
            seen.extend(row.record.id for row in rows)
            place = rows[-1].seq if rows else place
            if not left and not rows:
                break

    sent = [[a.inference() for _ in range(30)] for _ in range(4)]
    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(follow)
        list(pool.map(send, sent))
        reader.result()
    assert sorted(seen) == sorted(item.id for own in sent for item in own)


def test_unknown_and_malformed_ids_name_nothing(store: HotStore) -> None:
    assert store.inferences(P, ["nonsense", new_id(a.NOW)]) == {}
    assert store.incident(P, "nonsense") is None
    assert store.change(P, new_id(a.NOW)) is None
    assert store.run(P, "nonsense") is None


def test_more_ids_than_one_statement_takes_are_found(store: HotStore) -> None:
    served = [a.inference() for _ in range(1_203)]
    store.append([a.arrival(item) for item in served])
    assert len(store.inferences(P, [item.id for item in served])) == 1_203


def test_exposures_count_what_was_really_inserted_by_version_and_arm(store: HotStore) -> None:
    stable, candidate, bare = (
        a.inference(version_id="v1", arm="stable"),
        a.inference(version_id="v2", arm="candidate"),
        a.inference(),
    )
    late = a.inference(version_id="v1", arm="stable", created_at=a.NOW + timedelta(minutes=1))
    for _ in range(2):
        store.append([a.arrival(item) for item in (stable, stable, candidate, bare, late)])
    minute = a.NOW.replace(second=0, microsecond=0)
    first = store.exposures(P, "answer", minute, minute + timedelta(minutes=1))
    assert first == [Exposure(None, None, 1), Exposure("v1", "stable", 1), Exposure("v2", "candidate", 1)]
    both = store.exposures(P, "answer", a.NOW, a.NOW + timedelta(minutes=1))
    assert Exposure("v1", "stable", 2) in both
    assert store.exposures("q", "answer", minute, minute + timedelta(hours=1)) == []


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize("newest", [True, False])
def test_pages_have_no_gap_and_no_double_while_rows_arrive(store: HotStore, *, newest: bool) -> None:
    before = [a.inference() for _ in range(25)]
    store.append([a.arrival(item) for item in before])
    found: list[str] = []
    after = None
    while True:
        page = store.list_inferences(P, Query(limit=4, after=after, newest=newest))
        found.extend(ids(page))
        if page.next is None or len(found) > 100:
            break
        after = page.next
        if len(found) < 25:
            store.append([a.arrival(a.inference())])
    wanted = [item.id for item in before]
    assert len(found) == len(set(found))
    assert [item for item in found if item in wanted] == (wanted[::-1] if newest else wanted)


def test_a_last_page_that_is_full_has_no_next(store: HotStore) -> None:
    store.append([a.arrival(a.inference()) for _ in range(4)])
    assert store.list_inferences(P, Query(limit=4)).next is None


def test_a_page_of_no_rows_is_refused(store: HotStore) -> None:
    with pytest.raises(ValueError, match="limit"):
        store.list_inferences(P, Query(limit=0))


def test_inferences_are_listed_by_feature_version_and_half_open_time(store: HotStore) -> None:
    times = [a.NOW + place * a.SECOND for place in range(4)]
    served = [a.inference(created_at=at, version_id=f"v{place % 2}") for place, at in enumerate(times)]
    store.append([a.arrival(item) for item in [*served, a.inference(feature="other", created_at=times[1])]])
    query = Query(feature="answer", since=times[1], until=times[3], newest=False)
    assert ids(store.list_inferences(P, query)) == [served[1].id, served[2].id]
    assert ids(store.list_inferences(P, Query(version_id="v1", newest=False))) == [served[1].id, served[3].id]


def test_feedback_is_listed_by_its_own_or_its_inference_s_feature(store: HotStore) -> None:
    served = a.inference(version_id="v1")
    own, joined, neither = a.feedback(feature="answer"), a.feedback(), a.feedback()
    store.append([a.arrival(item) for item in (served, own, joined, neither)])
    store.commit({P: Writes(joined=[(joined.id, served.id)])})
    assert ids(store.list_feedback(P, Query(feature="answer", newest=False))) == [own.id, joined.id]
    assert ids(store.list_feedback(P, Query(version_id="v1"))) == [joined.id]


# ---------------------------------------------------------------- judgements


def test_targets_resolve_to_the_latest_inference_whatever_was_written_first(store: HotStore) -> None:
    old, new = a.inference(), a.inference(created_at=a.NOW + a.SECOND)
    store.append([a.arrival(old), a.arrival(new)])
    store.commit({P: Writes(targets=[(SESSION, new.id)])})
    store.commit({P: Writes(targets=[(SESSION, old.id), (Target("external", "s-1"), old.id)])})
    wanted = [SESSION, Target("external", "s-1"), Target("trace", "s-1"), Target("inference", old.id)]
    assert store.resolve(P, wanted) == {
        SESSION: new.id,
        Target("external", "s-1"): old.id,
        Target("inference", old.id): old.id,
    }
    assert store.resolve("q", wanted) == {}


def test_orphans_wait_in_order_of_arrival_until_they_are_joined(store: HotStore) -> None:
    served, said = a.inference(), [a.feedback() for _ in range(3)]
    store.append([a.arrival(item) for item in said])
    waits = Target("inference", served.id)
    store.commit({P: Writes(orphans=[(item.id, SESSION) for item in reversed(said)] + [(said[0].id, waits)])})
    assert store.waiting(P, [SESSION]) == [(SESSION, item) for item in said]
    assert store.waiting(P, [waits, SESSION])[0] == (waits, said[0])
    assert ids(store.orphans(P, Query(newest=False))) == [item.id for item in said]
    store.commit({P: Writes(joined=[(said[0].id, served.id)])})
    store.commit({P: Writes(orphans=[(said[0].id, SESSION)])})
    assert store.waiting(P, [waits, SESSION]) == [(SESSION, item) for item in said[1:]]
    assert ids(store.orphans(P, Query(limit=1))) == [said[2].id]


def test_an_opinion_is_the_latest_word_whatever_the_order_of_writing(store: HotStore) -> None:
    served = a.inference()
    words = [a.opinion(a.feedback(user_id="u", created_at=a.NOW + at * a.SECOND), served) for at in range(3)]
    other = a.opinion(a.feedback(user_id=None), served)
    retracted = a.opinion(a.feedback(user_id="w", kind="comment", value=None, retracted=True), served)
    store.commit({P: Writes(opinions=[words[1], words[2], words[0], other])})
    store.commit({P: Writes(opinions=[words[0], other, retracted])})
    assert store.opinions(P, [served.id]) == {served.id: [other, retracted, words[2]]}


def test_an_outcome_rewritten_moves_to_the_end(store: HotStore) -> None:
    served = [a.inference() for _ in range(3)]
    store.commit({P: Writes(outcomes=[a.outcome(item) for item in served])})
    seen = store.outcomes_after(0, 10)
    again = a.outcome(served[2], p_bad=0.25)
    for _ in range(2):
        place = store.outcomes_after(0, 10)[-1].seq
        store.commit({P: Writes(outcomes=[a.outcome(served[2]), again])})
        assert [row.record for row in store.outcomes_after(place, 10)] == [again]
    assert len(store.outcomes_after(0, 10)) == len(seen)
    assert store.outcomes(P, [served[2].id]) == {served[2].id: again}
    assert [row.record.inference_id for row in store.list_outcomes(P, Query(limit=1)).rows] == [served[2].id]


def test_corrections_are_the_latest_joined_and_not_retracted(store: HotStore) -> None:
    served = a.inference(version_id="v1", user_id="asker")
    first = a.correction(served, user_id="u", text="first")
    last = a.correction(served, user_id="u", text="last", created_at=a.NOW + a.SECOND)
    review = a.correction(served, source="reviewer", text="reviewed", created_at=a.NOW + 2 * a.SECOND)
    taken = a.correction(served, user_id="w")
    lost = a.correction(a.inference(), user_id="x")
    store.append([a.arrival(item) for item in (served, first, last, review, taken, lost)])
    opinions = [a.opinion(item, served) for item in (first, last, review)]
    store.commit({P: Writes(opinions=[*opinions, a.opinion(taken, served, retracted=True)])})
    rows = [row.record for row in store.corrections(P, Query(newest=False)).rows]
    assert [(row.corrected, row.author_id, row.source) for row in rows] == [
        ("last", "u", "user"),
        ("reviewed", None, "reviewer"),
    ]
    assert (rows[0].input, rows[0].rejected, rows[0].user_id) == (served.input, served.output, "asker")
    assert (rows[0].feedback_id, rows[0].inference_id, rows[0].version_id) == (last.id, served.id, "v1")
    late = store.corrections(P, Query(feature="answer", since=a.NOW + 2 * a.SECOND))
    assert [row.record.corrected for row in late.rows] == ["reviewed"]
    assert store.corrections(P, Query(until=a.NOW + a.SECOND)).rows == []
    assert store.corrections(P, Query(version_id="v2")).rows == []


def test_feedback_of_every_kind_is_kept(store: HotStore) -> None:
    said = [
        a.feedback(kind="label", label="wrong tone", value=None),
        a.feedback(kind="comment", text="no", value=None),
        a.feedback(kind="edit", value=0.25, text="kept"),
        a.feedback(kind="dwell", value=3.5),
        a.feedback(kind="outcome", value=1),
        a.feedback(kind="accept", value=None),
        a.feedback(kind="thumb", value=None, retracted=True),
    ]
    store.append([a.arrival(item) for item in said])
    rows: list[Feedback] = [row.record for row in store.feedback_after(0, 10)]
    assert rows == said
