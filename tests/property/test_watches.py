"""Declared watches against their reference form, their promise, their replay, and the life of what they find."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.config import Monitoring, Settings, WatchRule
from trimtab.detect.rules.replay import replay
from trimtab.detect.rules.rule import Rule
from trimtab.detect.rules.stage import RulesStage
from trimtab.ids import new_id
from trimtab.records import Incident, Inference, MonitorRule, Outcome, Project, Redacted, Silence
from trimtab.stats.budget import share_of_budget
from trimtab.stats.detector import RateMonitor
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Query, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


class Reference:
    """Mixture Shiryaev-Roberts with a head start, written down once more, in linear arithmetic."""

    def __init__(self, p0: float, horizon: int, alpha: float) -> None:
        self.p0, self.horizon, self.limit = p0, horizon, 2 * horizon / alpha
        odds = p0 / (1 - p0)
        self.bets = [rho * odds / (1 + rho * odds) for rho in (1.25, 1.5, 2, 3, 5)]
        self.alarms = 0
        self.values = [float(horizon)] * 5

    def update(self, x: float) -> None:
        likely = [(p1 / self.p0) if x else (1 - p1) / (1 - self.p0) for p1 in self.bets]
        self.values = [(value + 1) * one for value, one in zip(self.values, likely, strict=True)]
        if sum(self.values) / 5 >= self.limit:
            self.alarms += 1
            self.values = [float(self.horizon)] * 5


def open_store(folder: Path) -> HotStore:
    store = open_sqlite(folder / "trimtab.db")
    store.commit({"p": Writes(projects=[Project(id="p", created_at=START)])})
    return store


def vote(who: str, bad: bool, at: datetime, plan: str = "free") -> Outcome:
    said: dict[str, Any] = {"vote": float(bad), "voter_id": who, "voted_at": at, "p_bad": float(bad)}
    judged: dict[str, Any] = {"judged_at": at, "confidence": 1.0, "tier": "A", "evidence": []}
    told: dict[str, Any] = {"version_id": "v1", "segments": {"plan": plan}}
    return Outcome(inference_id=new_id(at), feature="support", created_at=at, **said, **judged, **told)


def votes_of(dice: random.Random, count: int) -> list[Outcome]:
    """Return votes of people who come again within the window, and a spell in which it is worse."""
    at, found = START, []
    worse = dice.randrange(count)
    for place in range(count):
        at += timedelta(minutes=dice.choice([1, 5, 30]))
        bad = dice.random() < (0.5 if worse <= place < worse + 60 else 0.1)
        found.append(vote(f"u{dice.randrange(60)}", bad, at, dice.choice(["free", "gold"])))
    return found


def capped(votes: Sequence[Outcome], window: timedelta) -> list[float]:
    last: dict[str, datetime] = {}
    heard = []
    for each in votes:
        assert each.voter_id is not None
        assert each.voted_at is not None
        assert each.vote is not None
        before = last.get(each.voter_id)
        if before is None or each.voted_at >= before + window:
            last[each.voter_id] = each.voted_at
            heard.append(each.vote)
    return heard


@pytest.mark.parametrize("seed", range(6))
def test_watch_is_its_reference_form_in_any_batches_and_restarts(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    usual: dict[str, Any] = {"group_by": (), "min_users": 1, "min_events": 1, "horizon_events": 300}
    rule = WatchRule(reference_rate=dice.choice([0.05, 0.1, 0.3]), window_hours=12, **usual)
    settings = Settings(monitors={"all": rule})
    store, votes = open_store(tmp_path), votes_of(dice, 500)
    stage, rest = RulesStage(store, settings), votes
    while rest:
        size = dice.choice([1, 2, 7, 50])
        lot, rest = rest[:size], rest[size:]
        store.commit({"p": Writes(outcomes=lot)})
        stage.tick(lot[-1].created_at)
        if dice.random() < 0.2:
            stage = RulesStage(store, settings)
    assert rule.reference_rate is not None
    reference = Reference(rule.reference_rate, 300, share_of_budget(1.0, 1))
    heard = capped(votes, timedelta(hours=12))
    for x in heard:
        reference.update(x)
    [monitor] = store.monitors("p", None, "all")
    assert monitor.votes == len(heard)
    assert monitor.alarms == reference.alarms
    assert monitor.detector["log_r"] == pytest.approx([math.log(value) for value in reference.values], abs=1e-9)
    store.close()


@pytest.mark.parametrize("seed", range(20))
def test_places_together_never_expect_more_than_the_budget(seed: int) -> None:
    dice = random.Random(seed)
    budget, most = dice.choice([0.1, 1.0, 5.0]), dice.randrange(1, 20_000)
    alphas = [share_of_budget(budget, place) for place in range(1, most + 1)]
    assert sum(alpha / (1 - alpha) for alpha in alphas) <= budget


def test_many_groups_in_which_nothing_is_wrong_stay_within_the_budget() -> None:
    dice = random.Random(11)
    repeats, groups, horizon, alarms = 10, 60, 400, 0
    for _ in range(repeats):
        for place in range(1, groups + 1):
            monitor = RateMonitor(0.2, horizon=horizon, alpha=share_of_budget(1.0, place))
            for _ in range(horizon):
                if monitor.update(dice.random() < 0.2):
                    alarms += 1
                    monitor.reset()
    assert alarms <= repeats


def test_groups_keep_their_places_over_restarts_and_new_rules(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    later = WatchRule(group_by=("plan",), reference_rate=0.2)
    learning = {"zz": WatchRule(group_by=(), baseline_events=50)}
    now = START
    for monitors in (learning, {"aa": later, **learning}, {"aa": later, "bb": later, **learning}):
        stage = RulesStage(store, Settings(monitors=monitors))
        for place in range(60):
            now += timedelta(minutes=1)
            store.commit({"p": Writes(outcomes=[vote(f"{now}", place % 9 == 0, now, f"plan-{place % 4}")])})
        while stage.tick(now):
            pass
    found = [each for rule in ("aa", "bb", "zz") for each in store.monitors("p", None, rule)]
    assert sorted(each.life["place"] for each in found) == list(range(1, 10))
    for each in found:
        assert each.detector["alpha"] == share_of_budget(1.0, each.life["place"])
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_replay_finds_what_the_live_stage_found(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    spec = WatchRule(
        group_by=dice.choice([(), ("plan",), ("version",)]),
        kind=dice.choice(["rate", "rate", "threshold"]),
        reference_rate=dice.choice([0.1, None]),
        baseline_events=50,
        above=0.3,
        window_minutes=600,
        for_minutes=dice.choice([0, 0, 90]),
        keep_firing_hours=dice.choice([0, 5]),
        cooldown_hours=2,
        no_data_hours=dice.choice([0, 1]),
        window_hours=6,
        min_users=3,
    )
    settings = Settings(monitors={"watch": spec})
    store, votes = open_store(tmp_path), votes_of(dice, 600)
    stage = RulesStage(store, settings)
    stage.tick(START)
    for each in votes:
        store.commit({"p": Writes(outcomes=[each])})
        stage.tick(each.created_at)
    until = votes[-1].created_at + timedelta(minutes=1)
    stage.tick(until)
    live = [row.record for row in store.incidents("p", Query(newest=False)).rows]
    again = replay(store, "p", Rule("watch", spec, "settings"), settings, START, until)
    assert again.complete
    assert [bare(each) for each in again.incidents] == [bare(each) for each in live]
    store.close()


def bare(incident: Incident) -> Incident:
    """Leave out what is looked up when an incident really opens."""
    return msgspec.structs.replace(incident, detail={})


# ---------------------------------------------------------------- lives


class Lives:
    """A store and a stage to which things happen in any order."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = open_store(folder)
        self.now = START
        usual: dict[str, Any] = {"reference_rate": 0.1, "min_users": 1, "cooldown_hours": 1}
        quick: dict[str, Any] = {**usual, "keep_firing_hours": 1, "no_data_hours": 3}
        self.settings = Settings(
            monitoring=Monitoring(false_alarms_per_month=20),
            monitors={
                "slow": WatchRule(metric="error", **quick),
                "patient": WatchRule(metric="error", for_minutes=30, **quick),
                "line": WatchRule(metric="error", kind="threshold", above=0.3, recover_below=0.1, **quick),
            },
        )
        self.stage = RulesStage(self.store, self.settings)
        self.over: dict[str, Incident] = {}

    def answers(self) -> None:
        share, step = self.dice.choice([0.0, 0.0, 0.05, 0.6]), timedelta(seconds=self.dice.choice([5, 60]))
        rows = []
        for _ in range(self.dice.choice([1, 20, 80])):
            self.now += step
            wrong = "timeout" if self.dice.random() < share else None
            told: dict[str, Any] = {"version_id": self.dice.choice(["v1", "v2"]), "error": wrong}
            one = Inference(id=new_id(self.now), feature="support", created_at=self.now, input="q", **told)
            rows.append(Arrival("p", Redacted(one, "test"), self.now))
        self.store.append(rows)

    def quiet(self) -> None:
        self.now += timedelta(hours=self.dice.choice([1, 5]))

    def restart(self) -> None:
        self.stage = RulesStage(self.store, self.settings)

    def declare(self) -> None:
        above = self.dice.choice([0.05, 0.2])
        rule = MonitorRule(name="told", updated_at=self.now, spec={"metric": "error", "reference_rate": above})
        self.store.commit({"p": Writes(rules=[rule])})

    def withdraw(self) -> None:
        self.store.commit({"p": Writes(unruled=["told"])})

    def silence(self) -> None:
        quiet = Silence(id=new_id(self.now), rule="slow", until=self.now + timedelta(hours=2), created_at=self.now)
        self.store.commit({"p": Writes(silences=[Redacted(quiet, "test")])})

    def close(self) -> None:
        for each in self.incidents():
            if each.state != "resolved" and self.dice.random() < 0.5:
                over: dict[str, Any] = {"state": "resolved", "resolution": "manual", "resolved_at": self.now}
                self.store.commit({"p": Writes(incidents=[msgspec.structs.replace(each, **over)])})

    def incidents(self) -> list[Incident]:
        return [row.record for row in self.store.incidents("p", Query(limit=1000)).rows]

    def step(self) -> None:
        often = [self.answers] * 6
        self.dice.choice([*often, self.quiet, self.restart, self.declare, self.withdraw, self.silence, self.close])()
        self.now += timedelta(seconds=11)
        while self.stage.tick(self.now):
            pass

    def check(self) -> None:
        found = self.incidents()
        opened = [each.monitor_id for each in found if each.state != "resolved"]
        assert len(opened) == len(set(opened))
        watched = [
            each for name in ("slow", "patient", "line", "told") for each in self.store.monitors("p", None, name)
        ]
        told = {each.life["open"] for each in watched if each.life.get("open")}
        for each in found:
            if each.state == "resolved":
                assert each.resolution is not None
                assert each.resolved_at is not None
                assert self.over.setdefault(each.id, each) == each
            else:
                assert each.id in told
            assert each.onset_at <= each.first_signal_at <= each.detected_at
        assert self.over.keys() <= {each.id for each in found}


@pytest.mark.parametrize("seed", range(10))
def test_no_history_opens_two_incidents_of_a_group_or_moves_one_that_is_over(tmp_path: Path, seed: int) -> None:
    lives = Lives(tmp_path, seed)
    for _ in range(120):
        lives.step()
        lives.check()
    assert len(lives.over) > 3
    lives.store.close()
