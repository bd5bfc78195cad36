"""Declared watches over a real store."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from trimtab.config import Settings, WatchRule
from trimtab.detect.rules.sampling import OTHER
from trimtab.detect.rules.stage import RulesStage
from trimtab.errors import ConfigError, Unavailable
from trimtab.ids import derived_id, new_id
from trimtab.records import Incident, Inference, Monitor, MonitorRule, Outcome, Project, Redacted, Silence
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Query, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURE = "support"
SLOW = WatchRule(metric="latency", limit=1000, reference_rate=0.05, keep_firing_hours=1, cooldown_hours=1, min_users=1)


class World:
    """A store, a clock of its own, and the stage."""

    def __init__(self, folder: Path, **monitors: WatchRule) -> None:
        self.store: HotStore = open_sqlite(folder / "trimtab.db")
        self.store.commit({"p": Writes(projects=[Project(id="p", created_at=START)])})
        self.now = START
        self.settings = Settings(monitors=monitors)
        self.stage = RulesStage(self.store, self.settings)
        self.chance = random.Random(4)
        self.answer(1)
        self.tick()  # a watch hears from here on

    def tick(self) -> None:
        while self.stage.tick(self.now):
            pass

    def answer(self, count: int, *, slow: float = 0.0, step: timedelta = timedelta(seconds=20), **told: Any) -> None:
        """Serve answers, a share of them slow, and let the watches hear them."""
        for _ in range(count):
            self.now += step
            late = self.chance.random() < slow
            one = Inference(
                **{
                    "id": new_id(self.now),
                    "feature": FEATURE,
                    "created_at": self.now,
                    "input": "q",
                    "latency_ms": 4000.0 if late else 200.0,
                    "user_id": f"u{self.chance.randrange(10_000)}",
                    "version_id": "v1",
                    **told,
                }
            )
            self.store.append([Arrival("p", Redacted(one, "test"), self.now)])

    def vote(self, count: int, *, bad: float, **told: Any) -> None:
        outcomes = []
        for _ in range(count):
            self.now += timedelta(seconds=20)
            said = float(self.chance.random() < bad)
            who = f"u{self.chance.randrange(100_000)}"
            fields = {"version_id": "v1", "segments": {}, **told}
            outcomes.append(
                Outcome(
                    inference_id=new_id(self.now),
                    feature=FEATURE,
                    created_at=self.now,
                    judged_at=self.now,
                    p_bad=said,
                    confidence=1.0,
                    tier="A",
                    evidence=[],
                    vote=said,
                    voter_id=who,
                    voted_at=self.now,
                    **fields,
                )
            )
        self.store.commit({"p": Writes(outcomes=outcomes)})

    @property
    def incidents(self) -> list[Incident]:
        return [row.record for row in self.store.incidents("p", Query(newest=False)).rows]

    def monitors(self, rule: str) -> list[Monitor]:
        return self.store.monitors("p", None, rule)


def test_slow_answers_open_an_incident_that_recovers_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(500, slow=0.03)
    world.tick()
    assert world.incidents == []
    world.answer(200, slow=0.5)
    world.tick()
    [found] = world.incidents
    assert (found.state, found.kind, found.metric, found.rule) == ("firing", "rate", "latency", "slow")
    assert found.version_id == "v1"
    assert found.held
    world.answer(400, slow=0.02)
    world.tick()
    [over] = world.incidents
    assert (over.state, over.resolution) == ("resolved", "verified")


def test_groups_are_watched_each_for_itself(tmp_path: Path) -> None:
    by_plan = WatchRule(metric="vote", group_by=("plan",), reference_rate=0.1)
    world = World(tmp_path, plans=by_plan)
    for _ in range(10):
        world.vote(40, bad=0.08, segments={"plan": "free"})
        world.vote(20, bad=0.6, segments={"plan": "gold"})
        world.tick()
    [found] = world.incidents
    assert found.segment == {"plan": "gold"}
    assert found.version_id == "any"
    assert {monitor.segment["plan"] for monitor in world.monitors("plans")} == {"free", "gold"}


def test_groups_beyond_the_most_share_one(tmp_path: Path) -> None:
    world = World(tmp_path, plans=WatchRule(metric="vote", group_by=("plan",), reference_rate=0.1, max_groups=3))
    for place in range(10):
        world.vote(2, bad=0.1, segments={"plan": f"plan-{place}"})
    world.tick()
    found = {monitor.segment["plan"]: monitor.votes for monitor in world.monitors("plans")}
    assert found == {"plan-0": 2, "plan-1": 2, "plan-2": 2, OTHER: 14}


def test_alarm_that_does_not_hold_opens_nothing(tmp_path: Path) -> None:
    patient = WatchRule(metric="latency", limit=1000, reference_rate=0.05, for_minutes=60, min_users=1)
    world = World(tmp_path, slow=patient)
    world.answer(40, slow=1.0)
    world.tick()
    [monitor] = world.monitors("slow")
    assert monitor.life["pending"]
    world.answer(300, slow=0.0)
    world.tick()
    assert world.incidents == []
    assert not world.monitors("slow")[0].life["pending"]


def test_threshold_fires_over_its_line_and_recovers_below_the_other(tmp_path: Path) -> None:
    line = WatchRule(
        metric="error", kind="threshold", above=0.2, recover_below=0.1, window_minutes=10, keep_firing_hours=0
    )
    world = World(tmp_path, errors=line)
    world.answer(60)
    world.answer(30, error="timeout")
    world.tick()
    [found] = world.incidents
    assert (found.kind, found.state) == ("threshold", "firing")
    world.answer(100)
    world.tick()
    assert world.incidents[0].state == "resolved"


def test_silence_of_a_group_is_told_and_over_when_it_speaks_again(tmp_path: Path) -> None:
    world = World(tmp_path, errors=WatchRule(metric="error", reference_rate=0.1, no_data_hours=2))
    world.answer(5)
    world.tick()
    world.now += 3 * HOUR
    world.tick()
    [found] = world.incidents
    assert (found.kind, found.state) == ("no_data", "firing")
    world.answer(1)
    world.tick()
    assert world.incidents[0].state == "resolved"


def test_silenced_watch_opens_nothing_and_speaks_when_the_silence_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    until = world.now + 4 * HOUR
    quiet = Silence(id=derived_id("s"), rule="slow", until=until, created_at=world.now)
    world.store.commit({"p": Writes(silences=[Redacted(quiet, "test")])})
    world.answer(60, slow=1.0)
    world.tick()
    assert world.incidents == []
    world.now = until
    world.answer(60, slow=1.0)
    world.tick()
    assert [found.state for found in world.incidents] == ["firing"]


def test_wider_watch_that_fires_mutes_the_narrower(tmp_path: Path) -> None:
    narrow = WatchRule(metric="vote", group_by=("plan",), reference_rate=0.1, inhibited_by=("all",))
    world = World(tmp_path, all=WatchRule(metric="vote", group_by=(), reference_rate=0.1), plans=narrow)
    world.vote(100, bad=0.9, segments={"plan": "gold"})
    world.tick()
    assert [found.rule for found in world.incidents] == ["all"]


def test_signal_is_counted_when_its_answer_had_its_time(tmp_path: Path) -> None:
    world = World(tmp_path, again=WatchRule(metric="feedback.regenerate", reference_rate=0.1, maturity_hours=1))
    world.answer(10)
    world.tick()
    assert world.monitors("again") == []
    world.now += HOUR
    world.tick()
    [monitor] = world.monitors("again")
    assert (monitor.votes, monitor.negatives) == (10, 0.0)


def test_incident_closed_by_hand_lets_its_group_go_on(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(60, slow=1.0)
    world.tick()
    closed = msgspec.structs.replace(world.incidents[0], state="resolved", resolution="manual", resolved_at=world.now)
    world.store.commit({"p": Writes(incidents=[closed])})
    world.now += 2 * HOUR
    world.answer(100, slow=1.0)
    world.tick()
    assert [found.state for found in world.incidents] == ["resolved", "firing"]


def test_restart_goes_on_where_the_watch_stood(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(200, slow=0.05)
    world.tick()
    before = world.monitors("slow")
    world.stage = RulesStage(world.store, world.settings)
    world.tick()
    assert world.monitors("slow") == before
    world.answer(60, slow=1.0)
    world.tick()
    assert len(world.incidents) == 1


class _Failing:
    """The store, but for one verb, which cannot reach the database until `away` is lifted."""

    def __init__(self, store: HotStore, away: str) -> None:
        self._store = store
        self.away = away

    def __getattr__(self, name: str) -> Any:
        if name == self.away:
            raise Unavailable("the database is away")
        return getattr(self._store, name)


def test_database_that_is_away_at_the_start_costs_nothing_that_was_learned(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(200, slow=0.05)
    world.tick()
    store = _Failing(world.store, "monitors")
    world.stage = RulesStage(cast("HotStore", store), world.settings)
    with pytest.raises(Unavailable):
        world.tick()
    store.away = ""
    world.answer(1)
    world.tick()
    assert [monitor.votes for monitor in world.monitors("slow")] == [201]


def test_alarm_in_a_moment_without_the_database_is_raised_when_it_is_back(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(200, slow=0.0)
    world.tick()
    store = _Failing(world.store, "list_inferences")  # asked where an incident is, when it opens
    world.stage = RulesStage(cast("HotStore", store), world.settings)
    world.answer(60, slow=1.0)
    with pytest.raises(Unavailable):
        world.tick()
    store.away = ""
    world.tick()
    assert len(world.incidents) == 1
    assert [monitor.votes for monitor in world.monitors("slow")] == [260]


def test_rule_declared_through_the_api_is_heard_within_seconds(tmp_path: Path) -> None:
    world = World(tmp_path)
    rule = MonitorRule(name="slow", updated_at=world.now, spec={"metric": "latency", "limit": 1000, "min_users": 1})
    world.store.commit({"p": Writes(rules=[rule])})
    world.now += timedelta(seconds=10)
    world.tick()
    world.answer(30)
    world.tick()
    assert [monitor.votes for monitor in world.monitors("slow")] == [30]


def test_watch_that_cannot_be_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a limit"):
        World(tmp_path, slow=WatchRule(metric="latency"))


def test_alarm_tells_how_the_evidence_grew_and_where_the_bad_ones_are(tmp_path: Path) -> None:
    world = World(tmp_path, all=WatchRule(metric="vote", group_by=(), reference_rate=0.1, horizon_events=5000))
    world.vote(300, bad=0.05, segments={"plan": "free"})
    for _ in range(12):
        world.vote(6, bad=0.9, segments={"plan": "gold"})
        world.vote(6, bad=0.1, segments={"plan": "free"})
    world.tick()
    [found] = world.incidents
    curve, segments = found.detail["curve"], found.detail["segments"]
    assert len(curve) <= 100
    assert curve[-1][1] == pytest.approx(found.log_evidence, abs=1e-3)
    assert [n for n, _ in curve] == sorted({n for n, _ in curve})
    assert (segments[0]["group"], segments[0]["value"]) == ("plan", "gold")
    assert segments[0]["lift"] > 1.5


def test_slow_answers_are_told_apart_by_their_tags(tmp_path: Path) -> None:
    world = World(tmp_path, slow=msgspec.structs.replace(SLOW, group_by=()))
    for _ in range(10):
        world.answer(8, tags={"region": "eu"})
        world.answer(4, slow=1.0, tags={"region": "us"})
    world.tick()
    assert world.incidents[0].detail["segments"][0]["value"] == "us"


def test_answers_of_nobody_count_each_for_itself(tmp_path: Path) -> None:
    world = World(tmp_path, errors=WatchRule(metric="error", reference_rate=0.05))
    world.answer(40, error="timeout", user_id=None)
    world.tick()
    [found] = world.incidents
    assert found.users >= 5


def test_rule_that_asks_another_question_begins_anew_and_supersedes_what_it_found(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(60, slow=1.0)
    world.tick()
    world.settings = Settings(monitors={"slow": msgspec.structs.replace(SLOW, limit=9000)})
    world.stage = RulesStage(world.store, world.settings)
    world.tick()
    assert [(found.state, found.resolution) for found in world.incidents] == [("resolved", "superseded")]
    [monitor] = world.monitors("slow")
    assert (monitor.votes, monitor.detector["n"]) == (0, 0)
    world.answer(60, slow=1.0)
    world.tick()
    assert len(world.incidents) == 1


def test_what_was_learned_stays_when_only_care_changes(tmp_path: Path) -> None:
    learning = WatchRule(metric="error", baseline_events=50)
    world = World(tmp_path, errors=learning)
    world.answer(80)
    world.tick()
    [before] = world.monitors("errors")
    world.settings = Settings(monitors={"errors": msgspec.structs.replace(learning, horizon_events=9000)})
    world.stage = RulesStage(world.store, world.settings)
    world.tick()
    [after] = world.monitors("errors")
    assert after.reference == before.reference
    assert (after.detector["horizon"], after.detector["n"]) == (9000, 0)


@pytest.mark.parametrize("gone", [{}, {"slow": msgspec.structs.replace(SLOW, enabled=False)}])
def test_incident_of_a_watch_that_is_gone_or_off_is_superseded(tmp_path: Path, gone: dict[str, WatchRule]) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(60, slow=1.0)
    world.tick()
    world.stage = RulesStage(world.store, Settings(monitors=gone))
    world.tick()
    assert [found.resolution for found in world.incidents] == ["superseded"]


def test_groups_of_another_grouping_are_watched_no_more(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(60, slow=1.0)
    world.tick()
    world.stage = RulesStage(world.store, Settings(monitors={"slow": msgspec.structs.replace(SLOW, group_by=())}))
    world.tick()
    assert [found.resolution for found in world.incidents] == ["superseded"]


def test_watch_declared_again_hears_nothing_of_the_time_between(tmp_path: Path) -> None:
    world = World(tmp_path, slow=SLOW)
    world.answer(10)
    world.tick()
    world.stage = RulesStage(world.store, Settings())
    world.answer(100, slow=1.0)
    world.tick()
    world.stage = RulesStage(world.store, world.settings)
    world.answer(10)
    world.tick()
    assert [monitor.votes for monitor in world.monitors("slow")] == [20]


def test_group_that_said_nothing_is_told_of_once_and_need_not_rest_when_it_speaks(tmp_path: Path) -> None:
    silent = WatchRule(metric="error", reference_rate=0.1, no_data_hours=2, cooldown_hours=24)
    world = World(tmp_path, errors=silent)
    world.answer(5)
    world.tick()
    world.now += 3 * HOUR
    world.tick()
    closed = {"state": "resolved", "resolution": "manual", "resolved_at": world.now}
    world.store.commit({"p": Writes(incidents=[msgspec.structs.replace(world.incidents[0], **closed)])})
    for _ in range(3):
        world.now += HOUR
        world.tick()
    assert len(world.incidents) == 1
    world.answer(60, error="timeout")
    world.tick()
    assert [found.kind for found in world.incidents] == ["no_data", "rate"]


def test_engine_that_was_down_calls_nobody_silent(tmp_path: Path) -> None:
    world = World(tmp_path, errors=WatchRule(metric="error", reference_rate=0.1, no_data_hours=2))
    world.answer(5)
    world.tick()
    world.now += 9 * HOUR
    world.stage = RulesStage(world.store, world.settings)
    world.tick()
    assert world.incidents == []


def test_votes_change_nothing_by_themselves_while_voting_has_moved(tmp_path: Path) -> None:
    world = World(tmp_path, all=WatchRule(metric="vote", group_by=(), reference_rate=0.1, act=True))
    moved = Incident(
        id=derived_id("moved"), feature=FEATURE, version_id="any", monitor_id=derived_id("m"), state="firing",
        onset_at=START, first_signal_at=START, detected_at=START, reference=0.1, observed=0.5, events=9, negatives=9,
        users=0, log_evidence=9.0, log_threshold=8.0, kind="propensity", rule="propensity", held="more people vote",
    )  # fmt: skip
    world.store.commit({"p": Writes(incidents=[moved])})
    world.vote(60, bad=0.9)
    world.tick()
    assert [found.held for found in world.incidents if found.rule == "all"] == ["more people vote"]


def test_retention_waits_for_what_is_heard_alone(tmp_path: Path) -> None:
    late = WatchRule(metric="feedback.regenerate", reference_rate=0.1, maturity_hours=72)
    world = World(tmp_path, again=late, votes_too=WatchRule(enabled=False))
    assert world.stage.waits_for("inferences") == (["watch.mature"], timedelta(hours=73))
    assert world.stage.waits_for("outcomes") == ([], timedelta(hours=73))
    assert world.stage.waits_for("feedback") == ([], timedelta(0))
