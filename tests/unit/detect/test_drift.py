"""Watches on what people ask, over a real store."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.act.actions.port import Situation
from trimtab.act.actions.review import ReviewEffect
from trimtab.act.wording import worded
from trimtab.config import Reviewing, Settings, WatchRule
from trimtab.detect.rules.replay import replay
from trimtab.detect.rules.rule import MOST_DRIFT_GROUPS, Rule, checked
from trimtab.detect.rules.stage import RulesStage
from trimtab.errors import InvalidField
from trimtab.ids import new_id
from trimtab.records import Delivery, Incident, Inference, Monitor, Project, Redacted, Version
from trimtab.redact.project import Redactors
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Query, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
WATCH = WatchRule(kind="drift", baseline_hours=0, baseline_events=300, keep_firing_hours=0, cooldown_hours=0)
THINGS = ("parcel", "invoice", "refund", "address", "voucher", "account", "password", "delivery", "colour", "size")
FRAMES = ("where is my {}", "I have a question about the {}", "can you change my {}", "the {} is wrong", "{} please")
NEWS = ("the app crashes when I open the camera", "my camera shows a black picture", "crash of the app at start")


class World:
    """A store, a clock of its own, and the stage; nobody asks twice a day unless told."""

    def __init__(self, folder: Path, watch: WatchRule = WATCH) -> None:
        self.store: HotStore = open_sqlite(folder / "trimtab.db")
        self.store.commit({"p": Writes(projects=[Project(id="p", created_at=START)])})
        self.now, self.people = START, 0
        self.settings = Settings(monitors={"asked": watch})
        self.stage = RulesStage(self.store, self.settings)
        self.chance = random.Random(4)
        self.ask(1)
        self.tick()  # a watch hears from here on

    def tick(self) -> None:
        while self.stage.tick(self.now):
            pass

    def ask(self, count: int, *, new: float = 0.0, who: Callable[[], str] | None = None, **told: Any) -> list[str]:
        """Let people ask, a share of them for something new; return the ids of those."""
        fresh = []
        for _ in range(count):
            self.now += timedelta(seconds=20)
            self.people += 1
            is_new = self.chance.random() < new
            usual = self.chance.choice(FRAMES).format(self.chance.choice(THINGS))
            one = Inference(
                id=new_id(self.now),
                feature="support",
                created_at=self.now,
                input=self.chance.choice(NEWS) if is_new else usual,
                user_id=who() if who else f"u{self.people}",
                **{"version_id": "v1", **told},
            )
            self.store.append([Arrival("p", Redacted(one, "test"), self.now)])
            if is_new:
                fresh.append(one.id)
        self.tick()
        return fresh

    @property
    def incidents(self) -> list[Incident]:
        return [row.record for row in self.store.incidents("p", Query(limit=100, newest=False)).rows]

    @property
    def monitor(self) -> Monitor:
        [monitor] = self.store.monitors("p", None, "asked")
        return monitor


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_nobody_asked_before_opens_an_incident_that_says_what_is_new(world: World) -> None:
    world.ask(1000)
    assert world.incidents == []
    fresh = world.ask(200, new=0.2)
    [incident] = world.incidents
    assert (incident.kind, incident.metric, incident.rule, incident.version_id) == ("drift", "input", "asked", "any")
    assert incident.users >= 5
    assert incident.observed > 5 * incident.reference
    told = incident.detail["drift"]
    assert {"camera", "app"} & {each["word"] for each in told["words"][:4]}
    assert all(each["lift"] > 1 for each in told["words"])
    assert told["samples"]
    assert set(told["samples"]) <= set(fresh)
    assert incident.log_evidence >= incident.log_threshold


def test_an_incident_of_drift_is_for_people(world: World) -> None:
    world.ask(320)
    world.ask(200, new=0.4)
    [incident] = world.incidents
    assert "for people" in incident.held
    with pytest.raises(InvalidField, match="act = true is not for kind 'drift'"):
        checked("asked", {"kind": "drift", "act": True})


def test_one_person_who_asks_for_the_new_all_day_is_one_input(world: World) -> None:
    world.ask(320)
    world.ask(300, new=1.0, who=lambda: "insistent")
    assert world.incidents == []
    assert world.monitor.votes == 321


def test_a_few_people_who_ask_for_the_new_day_after_day_are_too_few(world: World) -> None:
    world.ask(320)
    for _ in range(30):
        world.ask(4, new=1.0, who=lambda: f"fan-{world.people % 4}")
        world.ask(6)
        world.now += timedelta(days=1)
    assert world.incidents == []


def test_a_new_version_changes_nothing_about_what_is_normal(world: World) -> None:
    world.ask(320)
    world.ask(300, version_id="v2")
    assert world.monitor.version_id == "any"
    assert world.incidents == []


def test_what_is_asked_is_over_when_people_ask_as_before(world: World) -> None:
    world.ask(320)
    world.ask(100, new=0.4)
    [incident] = world.incidents
    assert incident.state == "firing"
    world.ask(1000)
    [incident] = world.incidents
    assert (incident.state, incident.resolution) == ("resolved", "verified")


def test_closed_by_hand_the_new_is_learned_as_normal(world: World) -> None:
    world.ask(320)
    world.ask(100, new=0.4)
    [incident] = world.incidents
    closed = msgspec.structs.replace(incident, state="resolved", resolution="manual", resolved_at=world.now)
    world.store.commit({"p": Writes(incidents=[closed])})
    world.ask(2000, new=0.4)
    assert len(world.incidents) == 1
    assert world.monitor.reference_kind == "baseline"


def test_the_reference_takes_its_hours(tmp_path: Path) -> None:
    world = World(tmp_path, msgspec.structs.replace(WATCH, baseline_hours=24))
    world.ask(900)
    assert world.monitor.reference_kind == "learning"
    world.now += timedelta(days=1)
    world.ask(1)
    assert (world.monitor.reference_kind, world.monitor.learned_votes) == ("baseline", 901)


def test_a_restart_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    world.ask(420)
    before = world.monitor
    world.stage = RulesStage(world.store, world.settings)
    world.tick()
    world.ask(1)
    after = world.monitor
    assert after.life["normal"] == before.life["normal"]
    assert after.votes == before.votes + 1
    assert len(msgspec.json.encode(after)) < 30_000


def test_groups_are_watched_each_for_itself_and_bounded(tmp_path: Path) -> None:
    assert checked("asked", {"kind": "drift", "max_groups": 5000}).max_groups == MOST_DRIFT_GROUPS
    world = World(tmp_path, msgspec.structs.replace(WATCH, group_by=("tags.region",), max_groups=3))
    for region in ("eu", "us", "asia", "africa", "eu"):
        world.ask(60, tags={"region": region})
    groups = {monitor.segment["tags.region"]: monitor.votes for monitor in world.store.monitors("p", None, "asked")}
    assert groups == {"eu": 120, "us": 60, "asia": 60, "(other)": 60}


def test_history_is_replayed_with_the_same_eyes(world: World) -> None:
    world.ask(900)
    world.ask(200, new=0.3)
    found = replay(world.store, "p", Rule("replay", checked("replay", WATCH), "api"), world.settings, START, world.now)
    assert [each.kind for each in found.incidents] == ["drift"]
    assert (found.rows, found.complete) == (1100, True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"metric": "input"}, "metric 'input' needs kind 'drift'"),
        ({"kind": "drift", "metric": "error"}, "kind 'drift' watches metric 'input'"),
        ({"kind": "drift", "group_by": ["plan"]}, "expected group_by of 'input'"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidField, match=said):
        checked("asked", spec)


def test_inputs_without_words_are_heard_without_harm(world: World) -> None:
    for _ in range(500):
        world.now += timedelta(seconds=20)
        one = Inference(id=new_id(world.now), feature="support", created_at=world.now, input="?!", version_id="v1")
        world.store.append([Arrival("p", Redacted(one, "test"), world.now)])
    world.tick()
    assert world.incidents == []


def test_people_are_asked_about_samples_and_told_of_it_in_its_own_words(world: World) -> None:
    world.ask(320)
    fresh = world.ask(200, new=0.4)
    [incident] = world.incidents
    effect = ReviewEffect(world.store, Redactors(key=bytes(32), read=lambda _project: ()), Reviewing(incident_items=4))
    base = Version(feature="support", created_at=START)
    writes, done = effect.apply(Situation("p", incident, base, world.now, new_id(world.now)))
    assert len(done["items"]) == 4
    assert {item.inference_id for item in writes.reviews} <= set(fresh)
    body = {"incident": {name: getattr(incident, name) for name in incident.__struct_fields__}}
    told = worded(
        Delivery(
            id=incident.id,
            target="ops",
            kind="incident.opened",
            state="waiting",
            created_at=world.now,
            next_at=world.now,
            feature="support",
            body=body,
        )
    )
    assert "of inputs hold what is new" in told.text


def test_new_inputs_with_nothing_in_common_are_heard_together(world: World) -> None:
    world.ask(700)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for _ in range(200):
        world.now += timedelta(seconds=20)
        world.people += 1
        words = ["".join(world.chance.choices(letters, k=7)) for _ in range(5)]
        text = " ".join(words) if world.chance.random() < 0.4 else "where is my parcel"
        one = Inference(
            id=new_id(world.now), feature="support", created_at=world.now, input=text, user_id=f"v{world.people}"
        )
        world.store.append([Arrival("p", Redacted(one, "test"), world.now)])
    world.tick()
    [incident] = world.incidents
    assert incident.detail["drift"]["sign"] == "unheard words"
    assert incident.users >= 5
    assert incident.onset_at > START + timedelta(seconds=20 * 600)
