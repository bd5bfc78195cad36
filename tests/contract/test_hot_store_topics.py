"""The contract of what is kept of topics: the topics, where they lie, and the runs that look for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import SECOND, P, ids
from trimtab.errors import WallBreach
from trimtab.ids import new_id
from trimtab.records import Topic, TopicSurvey
from trimtab.store.ports import HotStore, Query, TopicPlace, Writes


def place(topic: Topic | None, feature: str | None = None, **fields: Any) -> TopicPlace:
    told = TopicPlace(
        topic_id=topic.id if topic else None,
        feature=topic.feature if topic else feature,
        space="lsa_1",
        centroid=np.arange(4, dtype="<f4").tobytes() if topic else b"",
        feedback_ids=[new_id(a.NOW), new_id(a.NOW)],
        inference_ids=[new_id(a.NOW)],
    )
    return told._replace(**fields)


def test_topics_are_those_of_their_feature_the_largest_first(store: HotStore) -> None:
    small, large = a.topic(size=3, name="Late parcels"), a.topic(size=30, state="gone")
    other = a.topic(feature="answer")
    store.commit({P: Writes(topics=[a.sealed(each) for each in (small, large, other)]), "q": Writes()})
    assert store.topics(P, None) == [large, small]
    assert store.topics(P, None, ["live"]) == [small]
    assert store.topics(P, "answer") == [other]
    assert store.topics("q", None) == []
    assert store.topic(P, small.id) == small
    assert store.topic("q", small.id) is None
    assert store.topic(P, "no id") is None
    assert store.topic_features(P) == [None, "answer"]


def test_a_topic_written_again_takes_the_place_of_the_first(store: HotStore) -> None:
    topic = a.topic()
    again = a.topic(id=topic.id, found_at=a.NOW + SECOND, size=20, name="Late parcels", emerging=True)
    store.commit({P: Writes(topics=[a.sealed(topic)])})
    store.commit({P: Writes(topics=[a.sealed(again)])})
    assert store.topics(P, None) == [again]


def test_a_topic_that_did_not_pass_the_redactor_is_refused(store: HotStore) -> None:
    run = a.topic_run()
    with pytest.raises(WallBreach):
        store.commit({P: Writes(topics=[a.topic()], topic_runs=[run])})  # type: ignore[list-item]
    assert store.topics(P, None) == []
    assert store.topic_run(P, run.id) is None


def test_places_come_back_as_they_were_written(store: HotStore, reopen: Callable[[], HotStore]) -> None:
    topic, other = a.topic(), a.topic(feature="answer")
    rest, first, second = place(None), place(topic), place(other)
    store.commit({P: Writes(topic_places=[first, rest, second, place(None, "answer")])})
    moved = place(topic, space="lsa_2", feedback_ids=[], inference_ids=[])
    store.commit({P: Writes(topic_places=[moved])})
    again = reopen()
    assert again.topic_places(P, None) == [rest, moved]
    assert again.topic_place(P, other) == second
    assert again.topic_place(P, a.topic()) is None
    assert again.topic_places("q", None) == []


def test_a_forgotten_topic_is_gone_with_its_place(store: HotStore) -> None:
    gone, kept = a.topic(), a.topic()
    held = [a.sealed(gone), a.sealed(kept)]
    store.commit({P: Writes(topics=held, topic_places=[place(gone), place(kept)]), "q": Writes(topics=held[:1])})
    store.commit({P: Writes(topics_forgotten=[gone.id])})
    assert store.topics(P, None) == [kept]
    assert [each.topic_id for each in store.topic_places(P, None)] == [kept.id]
    assert store.topics("q", None) == [gone]


def test_open_runs_come_in_the_order_in_which_they_were_asked_for(store: HotStore) -> None:
    first, second, done = a.topic_run(), a.topic_run(feature="answer"), a.topic_run(state="done")
    store.commit({P: Writes(topic_runs=[done, first])})
    store.commit({"q": Writes(topic_runs=[second])})
    assert [row.record for row in store.open_topic_runs(10)] == [first, second]
    assert [(row.project_id, row.record) for row in store.open_topic_runs(1)] == [(P, first)]
    survey = TopicSurvey(space="s", said=12, texts=10, topics=1, outliers=2, outlier_share=0.2, feature="answer")
    ended = a.topic_run(id=first.id, state="done", started_at=a.NOW, ended_at=a.NOW + SECOND, surveys=[survey])
    store.commit({P: Writes(topic_runs=[ended])})
    assert [row.record for row in store.open_topic_runs(10)] == [second]
    assert store.topic_run(P, first.id) == ended
    assert store.topic_run("q", first.id) is None


def test_runs_are_listed_by_state_feature_and_time(store: HotStore) -> None:
    old, new = a.topic_run(state="done"), a.topic_run(state="failed", feature="answer", asked_at=a.NOW + SECOND)
    store.commit({P: Writes(topic_runs=[old, new])})
    assert ids(store.topic_runs(P, Query())) == [new.id, old.id]
    assert ids(store.topic_runs(P, Query(), ["done"])) == [old.id]
    assert ids(store.topic_runs(P, Query(feature="answer"))) == [new.id]
    assert ids(store.topic_runs(P, Query(since=a.NOW + SECOND))) == [new.id]
    page = store.topic_runs(P, Query(limit=1))
    assert ids(store.topic_runs(P, Query(limit=1, after=page.next))) == [old.id]
