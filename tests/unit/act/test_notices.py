"""Who is told what, and that each move is told once, whatever is repeated, killed or started again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS
from tests.unit.act.test_stage import Desk
from trimtab.act.actions.notify import NotifyEffect
from trimtab.act.actions.port import Situation
from trimtab.act.decisions import Decisions
from trimtab.act.notices import Notices
from trimtab.act.stage import ActStage
from trimtab.act.wording import worded
from trimtab.config import NotifyTarget, Settings
from trimtab.errors import Conflict
from trimtab.records import Delivery, DeliveryKind
from trimtab.store.ports import Query, Writes

EVERY: tuple[DeliveryKind, ...] = get_args(DeliveryKind)
TARGETS = {
    "all": NotifyTarget(url="https://a.example", on=EVERY),
    "ops": NotifyTarget(url="https://a.example", on=("incident.opened",), features=("other", FEATURE)),
    "others": NotifyTarget(url="https://a.example", on=EVERY, features=("other",)),
    "off": NotifyTarget(url="https://a.example", on=EVERY, enabled=False),
}


def desk_of(folder: Path, mode: Any = "auto") -> Desk:
    playbook = msgspec.structs.replace(SETTINGS.playbook, mode=mode)
    settings: Settings = msgspec.structs.replace(SETTINGS, notify=TARGETS, playbook=playbook)
    desk = Desk(folder, settings)
    turn = threading.RLock()
    notices = Notices(desk.store, TARGETS)
    desk.decisions = Decisions(desk.store, desk.world.redactor, settings.canary, turn=turn, notices=notices)
    return desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = desk_of(tmp_path)
    yield made
    made.world.close()


def told(desk: Desk) -> list[Delivery]:
    return [row.record for row in desk.store.deliveries(PROJECT, Query(limit=1000, newest=False)).rows]


def kinds(desk: Desk, target: str = "all") -> list[str]:
    return [each.kind for each in told(desk) if each.target == target]


def restarted(desk: Desk) -> None:
    """Put a new act stage in the old one's place, as a restart does."""
    settings = msgspec.structs.replace(SETTINGS, notify=TARGETS)
    desk.world.stages[2] = ActStage(desk.store, settings, desk.world.playbook, desk.world.runs)


def test_the_whole_way_of_a_change_is_told_once_to_those_who_want_it(desk: Desk) -> None:
    desk.until("verified")
    desk.tick()
    moves = kinds(desk)
    assert moves[:2] == ["incident.opened", "change.canary"]
    assert Counter(moves) == Counter(["incident.opened", "change.canary", "change.promoted", "incident.resolved"])
    assert kinds(desk, "ops") == ["incident.opened"]
    assert kinds(desk, "others") == kinds(desk, "off") == []
    opened = told(desk)[0]
    assert opened.body["incident"]["id"] == desk.incident.id
    assert opened.body["incident"]["negatives"] == desk.incident.negatives


def test_nothing_a_person_wrote_is_told(desk: Desk) -> None:
    desk.until("verified")
    sent = msgspec.json.encode([each.body for each in told(desk)]).decode()
    sent += "".join("".join(worded(each)) for each in told(desk))
    for words in ("How do I", "Like this", "user-"):
        assert words not in sent


def test_waiting_pausing_and_taking_back_by_hand_are_told(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "ask")
    desk.until("awaiting")
    change = desk.change.id
    for verb in ("approve", "pause", "resume", "pause", "roll_back"):
        desk.world.clock.advance(timedelta(minutes=1))
        getattr(desk.decisions, verb)(PROJECT, change, desk.now)
    found = [kind for kind in kinds(desk) if kind.startswith("change.")]
    assert found == [
        "change.awaiting",
        "change.canary",
        "change.paused",
        "change.paused",
        "change.rolled_back",
    ]
    desk.decisions.resolve(PROJECT, desk.incident.id, desk.now)
    assert kinds(desk)[-1] == "incident.resolved"
    desk.tick()
    assert kinds(desk).count("incident.resolved") == 1
    desk.world.close()


def test_a_restart_tells_nothing_again_and_forgets_nothing(desk: Desk) -> None:
    desk.until("canary")
    before = len(told(desk))
    restarted(desk)
    desk.world.stages[2].tick(desk.now)
    assert len(told(desk)) == before
    over = msgspec.structs.replace(desk.incident, state="resolved", resolution="manual", resolved_at=desk.now)
    desk.store.commit({PROJECT: Writes(incidents=[over])})  # by another stage, and nobody looked before the next start
    restarted(desk)
    for _ in range(3):
        desk.world.stages[2].tick(desk.now)
    assert kinds(desk).count("incident.resolved") == 1


def test_an_incident_that_another_stage_closes_is_told(desk: Desk) -> None:
    desk.until("canary")
    over = msgspec.structs.replace(desk.incident, state="resolved", resolution="verified", resolved_at=desk.now)
    desk.store.commit({PROJECT: Writes(incidents=[over])})
    for _ in range(3):
        desk.world.stages[2].tick(desk.now)
    assert kinds(desk).count("incident.resolved") == 1


def test_a_commit_that_is_refused_tells_nothing(desk: Desk) -> None:
    desk.until("canary")
    before = len(told(desk))
    commit = desk.store.commit

    def refused(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        raise Conflict("somebody was faster")

    setattr(desk.store, "commit", refused)  # noqa: B010  a method is replaced
    with pytest.raises(Conflict):
        desk.decisions.pause(PROJECT, desk.change.id, desk.now)
    setattr(desk.store, "commit", commit)  # noqa: B010
    assert len(told(desk)) == before


def test_the_notify_action_tells_targets_whatever_they_named_and_nobody_twice(desk: Desk) -> None:
    desk.until("canary")
    targets = {**TARGETS, "late": NotifyTarget(url="https://a.example", on=("digest",))}
    effect = NotifyEffect(desk.store, Notices(desk.store, targets))
    situation = Situation(PROJECT, desk.incident, desk.base, desk.now)
    plan = effect.plan(situation)
    assert (plan.possible, plan.detail) == (True, {"targets": ["all", "ops", "late"]})
    writes, done = effect.apply(situation)
    desk.store.commit({PROJECT: writes})
    assert Counter(each.target for each in told(desk) if each.kind == "incident.opened") == Counter(
        ["all", "ops", "late"]
    )
    desk.store.commit({PROJECT: effect.revert(situation, done)})
    assert {each.state for each in told(desk) if each.id in done["deliveries"]} == {"failed"}


def test_without_a_target_the_notify_action_says_so(desk: Desk) -> None:
    desk.until("canary")
    effect = NotifyEffect(desk.store, Notices(desk.store, {}))
    situation = Situation(PROJECT, desk.incident, desk.base, desk.now)
    assert not effect.plan(situation).possible
    assert effect.apply(situation)[0].deliveries == []
