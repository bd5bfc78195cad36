"""Whether votes can open an incident yet is said in words, and what is said is so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.config import FeatureOverride, Monitoring, Settings, Topics, WatchRule
from trimtab.detect.stage import DetectStage
from trimtab.detect.watching import Watched, watched
from trimtab.ids import new_id
from trimtab.records import Feature, MonitorRule, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query, Switch, Writes

QUIET = Topics(every_hours=0)
FRESH = Settings(topics=QUIET)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    feature = a.sealed(Feature(name="answer", created_at=a.NOW))
    opened.commit({a.P: Writes(projects=[Project(id=a.P, created_at=a.NOW)], features=[feature])})
    yield opened
    opened.close()


def vote(store: HotStore, settings: Settings, *, votes: int, bad: int, version_id: str | None = "v1") -> None:
    """Let so many people vote on answers of a version, and the watch hear them."""
    outcomes = []
    for place in range(votes):
        served = a.inference(version_id=version_id)
        said = float(place % votes < bad)
        outcomes.append(a.outcome(served, vote=said, voter_id=new_id(a.NOW), voted_at=a.NOW, version_id=version_id))
    store.commit({a.P: Writes(outcomes=outcomes)})
    stage = DetectStage(store, settings.monitoring, settings.features)
    while stage.tick(a.NOW + timedelta(hours=1)):
        pass


def told(store: HotStore, settings: Settings = FRESH) -> Watched:
    [found] = watched(store, settings, a.P)
    return found


def test_a_newcomer_is_told_that_votes_are_still_learned_from_and_what_to_set(store: HotStore) -> None:
    vote(store, FRESH, votes=60, bad=40)
    assert store.incidents(a.P, Query()).rows == []
    found = told(store)
    assert (found.state, found.votes, found.negatives, found.needed) == ("learning", 60, 40, 500)
    assert found.told == (
        "still learning what is usual: 60 of 500 votes, 40 of them bad; until then nothing can open an incident"
    )
    assert found.mend.endswith("reference_rate = 0.1 under [features.answer]")


def test_what_it_says_to_set_opens_the_incident_with_the_votes_that_come_next(store: HotStore) -> None:
    vote(store, FRESH, votes=60, bad=40)
    settings = Settings(topics=QUIET, features={"answer": FeatureOverride(reference_rate=0.1)})
    found = told(store, settings)
    assert (found.state, found.mend) == ("watching", "")
    assert found.told == "votes are watched: up to 10.0% bad is usual, as it was set"
    vote(store, settings, votes=60, bad=40)
    assert len(store.incidents(a.P, Query()).rows) == 1


def test_once_it_is_learned_it_says_what_is_usual(store: HotStore) -> None:
    settings = Settings(topics=QUIET, monitoring=Monitoring(baseline_votes=50))
    vote(store, settings, votes=60, bad=3)
    found = told(store, settings)
    assert (found.state, found.votes) == ("watching", 50)
    assert found.reference is not None
    assert found.told == f"votes are watched: up to {found.reference:.1%} bad is usual, as its first votes were"


def test_a_feature_that_nobody_voted_on_is_learned_from_nothing(store: HotStore) -> None:
    assert told(store).told.startswith("still learning what is usual: 0 of 500 votes; until then")


@pytest.mark.parametrize(
    ("spec", "opens"),
    [
        (WatchRule(metric="error", reference_rate=0.05), True),
        (WatchRule(metric="error", kind="threshold", above=0.2), True),
        (WatchRule(metric="error", no_data_hours=2), True),
        (WatchRule(metric="error"), False),
        (WatchRule(metric="error", reference_rate=0.05, feature="search"), False),
        (WatchRule(metric="error", reference_rate=0.05, enabled=False), False),
    ],
)
def test_meanwhile_are_the_watches_that_need_not_learn(store: HotStore, spec: WatchRule, opens: bool) -> None:
    found = told(store, Settings(topics=QUIET, monitors={"errors": spec}))
    assert found.meanwhile == (["the watch 'errors'"] if opens else [])
    assert ("only the watch 'errors' can open an incident" in found.told) == opens


def test_meanwhile_are_watches_that_have_learned_topics_and_what_the_api_declared(store: HotStore) -> None:
    groups: list[dict[str, Any]] = [{"rule": "errors", "metric": "error"}, {"rule": "propensity", "metric": "vote"}]
    learned = [a.monitor(id=new_id(a.NOW), reference=0.1, reference_kind="baseline", **each) for each in groups]
    declared = [
        MonitorRule(name="errors", updated_at=a.NOW, spec={"metric": "error"}),
        MonitorRule(name="slow", updated_at=a.NOW, spec={"metric": "latency", "limit": 9, "reference_rate": 0.1}),
    ]
    store.commit({a.P: Writes(rules=declared, monitors=learned)})
    found = told(store, Settings())
    assert found.meanwhile == [
        "the watch 'errors'",
        "the watch 'slow'",
        "a change in how many people vote",
        "a topic that more people than usual bring up",
    ]
    assert "only the watch 'errors', the watch 'slow', a change in how many people vote and a topic" in found.told


def test_the_watch_that_counts_is_that_on_what_is_served_now(store: HotStore) -> None:
    settings = Settings(topics=QUIET, monitoring=Monitoring(baseline_votes=50))
    old, new = (a.version(parameters={"n": n}) for n in (1, 2))
    sealed = [a.sealed(each) for each in (old, new)]
    store.commit({a.P: Writes(versions=sealed, switches=[Switch(a.rollout(1, stable_version_id=old.id), 0)])})
    vote(store, settings, votes=50, bad=2, version_id=old.id)
    store.commit({a.P: Writes(switches=[Switch(a.rollout(2, stable_version_id=new.id), 1)])})
    assert told(store, settings).state == "watching"
    vote(store, settings, votes=10, bad=2, version_id=new.id)  # made by hand: it has no parent to inherit from
    assert (told(store, settings).state, told(store, settings).votes) == ("learning", 10)


def test_a_version_that_only_the_app_knows_is_served(store: HotStore) -> None:
    vote(store, FRESH, votes=7, bad=1, version_id=None)
    assert told(store).votes == 7


def test_a_name_that_needs_quotes_in_toml_has_them(store: HotStore) -> None:
    store.commit({a.P: Writes(features=[a.sealed(Feature(name="a.b/c", created_at=a.NOW))])})
    assert '[features."a.b/c"]' in watched(store, FRESH, a.P)[0].mend
