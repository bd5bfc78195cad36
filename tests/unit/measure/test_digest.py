"""What changed is found, named once and told without a word of people; chance is not told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.ids import derived_id
from trimtab.measure.digest import digest
from trimtab.measure.digest_lines import lines_of
from trimtab.records import Feature, Project, TopicSurvey
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, TopicPlace, Writes

P = a.P
WEEK = timedelta(days=7)
UNTIL = a.NOW
SINCE = UNTIL - WEEK


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    features = [a.sealed(Feature(name=name, created_at=SINCE - 5 * WEEK)) for name in ("answer", "search")]
    opened.commit({P: Writes(projects=[Project(id=P, created_at=SINCE - 5 * WEEK)], features=features)})
    yield opened
    opened.close()


class Votes:
    """Writes votes of many people, each on one answer, at a random moment of a span."""

    def __init__(self, store: HotStore, seed: int = 0) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.people = 0

    def add(self, n: int, rate: float, *, now: bool, feature: str = "answer", **fields: Any) -> list[str]:
        """Add exactly `rate` bad of n votes; return the ids of the bad answers."""
        begin, span = (SINCE, WEEK) if now else (SINCE - 4 * WEEK, 4 * WEEK)
        bad, outcomes = round(n * rate), []
        for place in range(n):
            self.people += 1
            moment = begin + span * self.random.random()
            about = a.inference(
                id=derived_id("i", str(self.people)), feature=feature, created_at=moment,
                version_id=fields.get("version_id", "v1"),
            )  # fmt: skip
            said = {"vote": 1.0 if place < bad else 0.0, "voter_id": fields.get("voter", f"u{self.people}")}
            outcomes.append(a.outcome(about, **said, voted_at=moment, segments=fields.get("segments", {})))
        self.store.commit({P: Writes(outcomes=outcomes)})
        return [each.inference_id for each in outcomes[:bad]]


def test_a_group_that_got_worse_is_told_once_by_its_own_name(store: HotStore) -> None:
    votes = Votes(store)
    for plan, rate in (("pro", 0.4), ("free", 0.1), ("team", 0.1)):
        votes.add(400, 0.1, now=False, segments={"plan": plan, "locale": "de"})
        votes.add(200, rate, now=True, segments={"plan": plan, "locale": "de"})
    found = digest(store, P, since=SINCE, until=UNTIL)
    assert [(each.feature, each.segment, each.direction) for each in found.findings] == [
        ("answer", {"plan": "pro"}, "worse")
    ]
    (told,) = found.findings
    assert (told.now.count, told.now.n, told.before.count, told.before.n) == (80, 200, 40, 400)
    assert told.difference == pytest.approx(0.3)
    assert 0 < told.size == told.low < told.difference < told.high
    assert (told.against, found.complete, found.votes, found.votes_before) == ("itself", True, 600, 1200)


def test_a_new_version_is_compared_with_what_was_served_before_it(store: HotStore) -> None:
    votes = Votes(store)
    votes.add(600, 0.3, now=False)
    votes.add(300, 0.3, now=True)
    votes.add(300, 0.05, now=True, version_id="v2")
    (told,) = digest(store, P, since=SINCE, until=UNTIL).findings
    assert (told.version_id, told.direction, told.against) == ("v2", "better", "others")
    assert told.evidence.startswith("/v1/inbox?feature=answer&version_id=v2&negative=true&since=2026-02-22")


def test_a_topic_is_told_beside_the_group_it_explains_and_its_words_stay_out_of_messages(store: HotStore) -> None:
    votes = Votes(store)
    votes.add(400, 0.1, now=False)
    votes.add(100, 0.1, now=True)
    late = votes.add(100, 1.0, now=True)
    topic = a.topic(feature="answer", name="Late parcels of Ada")
    place = TopicPlace(topic.id, "answer", topic.space, b"", [], late)
    survey = TopicSurvey(space=topic.space, said=9, texts=9, topics=1, outliers=0, outlier_share=0.0, feature="answer")
    run = a.topic_run(state="done", started_at=UNTIL, surveys=[survey])
    store.commit({P: Writes(topics=[a.sealed(topic)], topic_places=[place], topic_runs=[run])})
    found = digest(store, P, since=SINCE, until=UNTIL)
    assert {(each.topic_id, each.topic, each.now.count, each.now.n) for each in found.findings} == {
        (None, "", 110, 200),
        (topic.id, "Late parcels of Ada", 100, 200),
    }
    told = "\n".join(lines_of(found))
    assert topic.id in told
    assert "Ada" not in told


def test_one_person_counts_once_in_each_group(store: HotStore) -> None:
    votes = Votes(store)
    votes.add(400, 0.1, now=False)
    votes.add(200, 0.1, now=True)
    votes.add(300, 1.0, now=True, voter="angry", segments={"plan": "pro"})
    found = digest(store, P, since=SINCE, until=UNTIL)
    assert found.votes == 500
    assert found.findings == []


def test_a_quiet_week_is_told_in_numbers_and_an_empty_one_not_at_all(store: HotStore) -> None:
    assert lines_of(digest(store, P, since=SINCE, until=UNTIL)) == []
    Votes(store).add(100, 0.1, now=True)
    lines = lines_of(digest(store, P, since=SINCE, until=UNTIL))
    assert lines[0].endswith("against the 4 weeks before; 100 votes")
    assert lines[-1] == "nothing changed that 0 comparisons can tell from chance"


def test_only_the_features_asked_for_count(store: HotStore) -> None:
    votes = Votes(store)
    for name in ("answer", "search"):
        votes.add(400, 0.1, now=False, feature=name)
        votes.add(200, 0.5, now=True, feature=name)
    found = digest(store, P, since=SINCE, until=UNTIL, features=["search"])
    assert (found.feature, [each.feature for each in found.findings], found.votes) == ("search", ["search"], 200)


def test_chance_is_told_in_few_weeks(store: HotStore, tmp_path: Path) -> None:
    told = 0
    for seed in range(40):
        world = open_sqlite(tmp_path / f"{seed}.db")
        feature = a.sealed(Feature(name="answer", created_at=SINCE))
        world.commit({P: Writes(projects=[Project(id=P, created_at=SINCE)], features=[feature])})
        draw = random.Random(seed)
        votes = Votes(world, seed)
        for plan in range(12):
            for now, n in ((False, 200), (True, 60)):
                bad = sum(draw.random() < 0.1 for _ in range(n))
                votes.add(n, bad / n, now=now, segments={"plan": str(plan)})
        told += bool(digest(world, P, since=SINCE, until=UNTIL).findings)
        world.close()
    assert told <= 2


def test_of_too_many_votes_whole_weeks_are_read_and_it_is_said(
    store: HotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.measure.digest._MOST_BALLOTS", 1200)  # 600 for each of two features
    votes = Votes(store)
    votes.add(1000, 0.1, now=False)  # some 250 a week
    votes.add(100, 0.1, now=True)
    found = digest(store, P, since=SINCE, until=UNTIL)
    assert not found.complete
    fits = [len(store.ballots(P, "answer", SINCE - weeks * WEEK, SINCE, 5000)) for weeks in (1, 2, 3)]
    assert found.votes_before == max(size for size in fits if size < 600)
