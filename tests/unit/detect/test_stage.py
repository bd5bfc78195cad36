"""The detect stage over a real store, fed with outcomes as the enrich stage leaves them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.config import FeatureOverride, Monitoring
from trimtab.detect.stage import UNVERSIONED, DetectStage
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor, Outcome, Project, Rollout, Version
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.stats.interval import clopper_pearson_upper
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query, Switch, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TARGET = Monitoring(reference_rate=0.1, horizon_votes=1000)
LEARNING = Monitoring(baseline_votes=50, horizon_votes=1000)
FEATURE = "support"
REDACTOR = Redactor(key=bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    made = open_sqlite(tmp_path / "trimtab.db")
    made.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    yield made
    made.close()


def serve(store: HotStore, note: str, parent: str | None = None) -> str:
    """Store a version and serve it to everyone; return its id."""
    version = Version(feature=FEATURE, created_at=NOW, parameters={"note": note}, parent_id=parent)
    sealed = seal(REDACTOR, version)
    held = store.rollout("p", FEATURE)
    revision = held.revision if held else 0
    rollout = Rollout(
        feature=FEATURE, stable_version_id=sealed.record.id, updated_at=NOW, id=derived_id("r"), revision=revision + 1
    )
    store.commit({"p": Writes(versions=[sealed], switches=[Switch(rollout, revision)])})
    return sealed.record.id


def vote(place: int, said: float, version_id: str | None, **more: Any) -> Outcome:
    at = more.pop("at", NOW + timedelta(minutes=place))
    told: dict[str, Any] = {"user_id": f"user-{place}", "voter_id": f"user-{place}", **more}
    return Outcome(
        inference_id=derived_id("inference", str(place), str(version_id)),
        feature=FEATURE,
        created_at=at,
        judged_at=NOW,
        p_bad=said,
        confidence=1.0,
        tier="A",
        evidence=[],
        version_id=version_id,
        **{"vote": said, "voted_at": at, **told},
    )


def tell(store: HotStore, outcomes: Sequence[Outcome], project_id: str = "p") -> None:
    store.commit({project_id: Writes(outcomes=list(outcomes))})


def watch(store: HotStore, settings: Monitoring = TARGET, *, rows: int = 5000, **features: FeatureOverride) -> None:
    stage = DetectStage(store, settings, features, batch_rows=rows)
    while stage.tick(NOW + timedelta(days=30)):
        pass


def incidents(store: HotStore, project_id: str = "p") -> list[Incident]:
    return [row.record for row in store.incidents(project_id, Query(newest=False)).rows]


def monitor(store: HotStore, version_id: str) -> Monitor:
    return next(held for held in store.monitors("p", FEATURE) if held.version_id == version_id)


def test_burst_of_one_user_never_alarms_and_the_same_votes_of_many_do(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, 1.0, version_id, voter_id="ada") for place in range(200)])
    watch(store)
    assert not incidents(store)
    assert monitor(store, version_id).votes == 1

    tell(store, [vote(place, 1.0, version_id) for place in range(200, 400)])
    watch(store)
    assert len(incidents(store)) == 1


def test_person_counts_again_after_the_window(store: HotStore) -> None:
    version_id = serve(store, "first")
    hours = [0, 23, 24, 30, 49]
    tell(store, [vote(place, 1.0, version_id, voter_id="ada", at=NOW + timedelta(hours=place)) for place in hours])
    watch(store, rows=1)
    assert monitor(store, version_id).votes == 3  # at 0, 24 and 49 hours


def test_outcome_written_again_is_not_counted_again(store: HotStore) -> None:
    version_id = serve(store, "first")
    said = vote(0, 1.0, version_id)
    tell(store, [said])
    watch(store)
    tell(store, [msgspec.structs.replace(said, judged_at=NOW + timedelta(days=9))])
    watch(store)
    assert monitor(store, version_id).votes == 1


def test_a_vote_taken_back_is_counted_by_no_monitor(store: HotStore) -> None:
    tell(store, [msgspec.structs.replace(vote(0, 1.0, None), withdrawn=True)])
    watch(store)
    assert store.monitors("p", "support") == []


def test_few_people_are_too_few_however_strong_the_evidence(store: HotStore) -> None:
    version_id = serve(store, "first")
    days = [(day, person) for day in range(40) for person in range(4)]
    votes = [
        vote(place, 1.0, version_id, voter_id=f"user-{person}", at=NOW + timedelta(days=day))
        for place, (day, person) in enumerate(days)
    ]
    tell(store, votes)
    watch(store)
    assert monitor(store, version_id).votes == 160
    assert not incidents(store)
    tell(store, [vote(1000, 1.0, version_id)])
    watch(store)
    assert incidents(store)[0].users == 5


def test_more_people_than_are_kept_by_name_can_be_asked_for(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, 1.0, version_id) for place in range(90)])
    watch(store, msgspec.structs.replace(TARGET, min_users=80))
    assert incidents(store)[0].users == 80


def test_normal_rate_is_learned_and_its_upper_bound_becomes_the_reference(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, float(place % 10 == 0), version_id) for place in range(49)])
    watch(store, LEARNING)
    assert monitor(store, version_id).reference_kind == "learning"
    assert monitor(store, version_id).reference is None
    tell(store, [vote(49, 0.0, version_id)])
    watch(store, LEARNING)
    learned = monitor(store, version_id)
    assert learned.reference_kind == "baseline"
    assert learned.reference == pytest.approx(clopper_pearson_upper(5, 50, 0.8))


def test_new_version_inherits_through_versions_nobody_voted_on(store: HotStore) -> None:
    first = serve(store, "first")
    tell(store, [vote(place, 0.0, first) for place in range(50)])
    watch(store, LEARNING)
    second = serve(store, "second", first)
    third = serve(store, "third", second)
    fourth = serve(store, "fourth", third)
    tell(store, [vote(60, 1.0, fourth)])
    watch(store, LEARNING)
    held = monitor(store, fourth)
    assert (held.reference_kind, held.reference) == ("inherited", monitor(store, first).reference)


def test_parent_that_learned_in_the_same_tick_is_inherited_from(store: HotStore) -> None:
    first = serve(store, "first")
    second = serve(store, "second", first)
    tell(store, [*(vote(place, 0.0, first) for place in range(50)), vote(60, 1.0, second)])
    watch(store, LEARNING)
    assert monitor(store, second).reference_kind == "inherited"


def test_target_of_the_feature_counts_before_the_one_of_all(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(0, 0.0, version_id)])
    watch(store, TARGET, support=FeatureOverride(reference_rate=0.3))
    held = monitor(store, version_id)
    assert (held.reference_kind, held.reference) == ("target", 0.3)


def test_target_set_later_is_watched_from_then_on(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, 1.0, version_id) for place in range(10)])
    watch(store, LEARNING)
    tell(store, [vote(place, 1.0, version_id) for place in range(10, 60)])
    watch(store, TARGET)
    held = monitor(store, version_id)
    assert (held.reference_kind, held.reference, held.votes) == ("target", 0.1, 60)
    assert len(incidents(store)) == 1


@pytest.mark.parametrize("arm", ["candidate", "holdback"])
def test_votes_on_a_candidate_or_a_holdback_are_not_counted(store: HotStore, arm: str) -> None:
    serve(store, "first")
    tell(store, [vote(place, 1.0, "v_candidate", arm=arm) for place in range(100)])
    watch(store)
    assert not store.monitors("p", FEATURE)


def test_what_people_did_not_say_is_not_counted(store: HotStore) -> None:
    version_id = serve(store, "first")
    said = vote(0, 1.0, version_id)
    tell(store, [msgspec.structs.replace(said, vote=None, voter_id=None, voted_at=None)])
    watch(store)
    assert not store.monitors("p", FEATURE)


def test_monitor_has_one_open_incident_at_most(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, 1.0, version_id) for place in range(300)])
    watch(store)
    (first,) = incidents(store)
    assert monitor(store, version_id).alarms > 1
    closed = msgspec.structs.replace(first, state="resolved", resolution="manual", resolved_at=NOW)
    store.commit({"p": Writes(incidents=[closed])})
    tell(store, [vote(place, 1.0, version_id) for place in range(300, 400)])
    watch(store)
    assert [held.state for held in incidents(store)] == ["resolved", "firing"]


def test_version_no_longer_served_opens_nothing(store: HotStore) -> None:
    first = serve(store, "first")
    serve(store, "second", first)
    tell(store, [vote(place, 1.0, first) for place in range(300)])
    watch(store)
    assert not incidents(store)


@pytest.mark.parametrize("version_id", [None, "prompt-2026-03"])
def test_version_of_the_apps_own_is_watched_too(store: HotStore, version_id: str | None) -> None:
    serve(store, "first")
    tell(store, [vote(place, 1.0, version_id) for place in range(50)])
    watch(store)
    assert [held.version_id for held in incidents(store)] == [version_id or UNVERSIONED]


def test_times_of_an_incident_are_in_order_whatever_the_clocks_of_voters(store: HotStore) -> None:
    version_id = serve(store, "first")
    generator = random.Random(5)
    late = NOW + timedelta(days=31)
    votes = [
        vote(place, generator.choice([0.4, 1.0]), version_id, at=late - timedelta(hours=generator.randrange(100)))
        for place in range(100)
    ]
    tell(store, votes)
    watch(store)
    (found,) = incidents(store)
    assert found.onset_at <= found.first_signal_at <= found.detected_at == NOW + timedelta(days=30)


def test_onset_is_where_votes_turned_bad(store: HotStore) -> None:
    version_id = serve(store, "first")
    tell(store, [vote(place, float(place % 20 == 0), version_id) for place in range(200)])
    tell(store, [vote(place, float(place % 2), version_id) for place in range(200, 300)])
    watch(store)
    (found,) = incidents(store)
    assert NOW + timedelta(minutes=195) <= found.onset_at <= NOW + timedelta(minutes=215)
    assert found.log_evidence >= found.log_threshold
    assert found.observed > found.reference


def test_projects_do_not_see_each_other(store: HotStore) -> None:
    store.commit({"q": Writes(projects=[Project(id="q", created_at=NOW)])})
    votes = [vote(place, 1.0, None) for place in range(60)]
    tell(store, votes[:8])
    tell(store, votes[8:], "q")
    watch(store)
    assert not incidents(store)
    assert len(incidents(store, "q")) == 1
    assert store.monitors("p", FEATURE)[0].votes == 8


class FailsOnce:
    """A store that dies in one commit, before anything is written."""

    def __init__(self, store: HotStore, at: int) -> None:
        self._store, self._left = store, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, *told: Any, **more: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise Unavailable("the disk is full")
        self._store.commit(*told, **more)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_restart_in_the_middle_equals_a_straight_run(tmp_path: Path, rows: int) -> None:
    generator = random.Random(rows)
    ends = []
    for split in (False, True):
        folder = tmp_path / str(split)
        store = open_sqlite(folder / "trimtab.db")
        store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
        first = serve(store, "first")
        second = serve(store, "second", first)
        generator.seed(rows)
        votes = []
        for place in range(260):
            chosen = first if generator.random() < 1.6 - place / 100 else second
            person = f"user-{generator.randrange(90)}"
            bad = float(generator.random() < (0.05 if chosen == first else 0.8))
            votes.append(vote(place, bad, chosen, voter_id=person, at=NOW + timedelta(hours=place)))
        tell(store, votes)
        if split:
            with pytest.raises(Unavailable):
                watch(FailsOnce(store, at=5), LEARNING, rows=rows)
            store.close()
            store = open_sqlite(folder / "trimtab.db")
        watch(store, LEARNING, rows=rows if split else 5000)
        ends.append((store.monitors("p", FEATURE), incidents(store)))
        store.close()
    assert ends[0][1]
    assert ends[0] == ends[1]


def test_scores_trigger_nothing_calibrated_or_not(store: HotStore) -> None:
    version_id = serve(store, "first")
    scored = [
        vote(place, 1.0, version_id, vote=None, voter_id=None, estimate=0.99, log_odds=4.6, calibrated=place % 2 == 0)
        for place in range(500)
    ]
    tell(store, scored)
    watch(store)
    assert incidents(store) == []
    assert [held.votes for held in store.monitors("p", FEATURE)] in ([], [0])
