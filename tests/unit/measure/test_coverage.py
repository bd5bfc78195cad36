"""Coverage beside what the property test draws: a sample of many answers, and incidents about topics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract import hot_store_sample as a
from trimtab.measure.velocity import velocity
from trimtab.records import Feature, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, TopicPlace, Writes

DAY = timedelta(days=1)
BEGIN = a.NOW - 40 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    features = [a.sealed(Feature(name=name, created_at=BEGIN)) for name in ("answer", "search", "quiet")]
    opened.commit({a.P: Writes(projects=[Project(id=a.P, created_at=BEGIN)], features=features)})
    yield opened
    opened.close()


def judge(store: HotStore, n: int, *, feature: str, reviewed: int) -> None:
    """Write n answers over 30 days, the later ones ever denser, a third of them bad; each `reviewed`-th bad one was
    closed by a reviewer a day later.
    """
    writes = Writes()
    for place in range(n):
        moment = BEGIN + 30 * DAY * (1 - (1 - place / n) ** 2)
        served = a.inference(feature=feature, created_at=moment, version_id="v1")
        writes.outcomes.append(a.outcome(served, p_bad=0.9 if place % 3 == 0 else 0.1))
        if place % (3 * reviewed) == 0:
            done = {"state": "done", "verdict": "good", "closed_at": moment + DAY}
            writes.reviews.append(a.review_item(inference_id=served.id, feature=feature, **done))
    store.commit({a.P: writes})


def test_of_many_answers_an_even_sample_tells_nearly_the_truth(
    store: HotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(store, 6000, feature="answer", reviewed=4)
    judge(store, 3000, feature="search", reviewed=4)
    whole = velocity(store, a.P, since=BEGIN, until=a.NOW).signal_coverage
    assert (whole.sampled, whole.linked.n, whole.by_review) == (False, 3000, 750)
    monkeypatch.setattr("trimtab.measure.coverage._MOST", 1500)
    monkeypatch.setattr("trimtab.measure.coverage._LOT", 30)
    found = velocity(store, a.P, since=BEGIN, until=a.NOW).signal_coverage
    assert found.sampled
    assert found.signals == 3000
    assert 300 <= found.linked.n <= 500
    assert found.linked.value == pytest.approx(0.25, abs=0.08)


def test_an_incident_about_a_topic_takes_up_the_answers_of_the_topic_alone(store: HotStore) -> None:
    said, other = (a.inference(created_at=BEGIN) for _ in range(2))
    topic = a.topic(feature="answer")
    about = a.incident(
        kind="topic", metric="topics", rule="topics", version_id="any", monitor_id=topic.id, onset_at=BEGIN,
        first_signal_at=BEGIN, detected_at=BEGIN + DAY,
    )  # fmt: skip
    place = TopicPlace(topic.id, "answer", topic.space, b"", [], [said.id])
    outcomes = [a.outcome(each) for each in (said, other)]
    store.commit({
        a.P: Writes(outcomes=outcomes, incidents=[about], topics=[a.sealed(topic)], topic_places=[place])
    })  # fmt: skip
    found = velocity(store, a.P, since=BEGIN, until=a.NOW).signal_coverage
    assert (found.by_incident, found.linked.n) == (1, 2)


def test_what_a_case_had_taken_up_stays_so_when_it_is_retired(store: HotStore) -> None:
    served = a.inference(created_at=BEGIN)
    said = a.correction(served, created_at=BEGIN)
    case = a.case(feedback_id=said.id, created_at=BEGIN + DAY)
    store.append([a.arrival(served), a.arrival(said)])
    store.commit({
        a.P: Writes(outcomes=[a.outcome(served, p_bad=0.9)], joined=[(said.id, served.id)], cases=[a.sealed(case)])
    })  # fmt: skip
    store.commit({a.P: Writes(retired=[(case.id, a.NOW)])})
    assert velocity(store, a.P, since=BEGIN, until=a.NOW).signal_coverage.by_case == 1
