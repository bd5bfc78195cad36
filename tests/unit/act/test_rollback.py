"""Going back after a bad release: when it is proposed, what it writes, and what votes say of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Self

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.decisions import Decisions
from trimtab.act.playbook import IncidentPlaybook
from trimtab.config import Canary, Settings
from trimtab.errors import Conflict
from trimtab.records import Change, Exemplar, Incident, Version
from trimtab.store.ports import Query

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}
SHOWN = [Exemplar(id=f"x{place}", input=ask, output=TRUTH[ask]) for place, ask in enumerate(sorted(TRUTH))]
GOOD = Version(feature=FEATURE, created_at=START, exemplars=SHOWN)
BAD = Version(feature=FEATURE, created_at=START, exemplars=SHOWN[8:], note="a careless release")


class World:
    """A feature that does well, and a person who releases something."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        self.loop = LoopWorld(folder, settings=settings)
        self.good = self.loop.launch(GOOD).id
        self.decisions = Decisions(self.loop.store, self.loop.redactor, settings.canary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.close()

    def release(self, version: Version) -> str:
        self.decisions.serve(PROJECT, version, self.loop.clock.now())
        return self.served

    @property
    def served(self) -> str:
        rollout = self.loop.store.rollout(PROJECT, FEATURE)
        assert rollout is not None
        return rollout.stable_version_id

    def changes(self) -> list[Change]:
        return [row.record for row in self.loop.store.changes(PROJECT, Query()).rows]

    def incidents(self) -> list[Incident]:
        return [row.record for row in self.loop.store.incidents(PROJECT, Query()).rows]

    def days(self, most: int) -> Iterator[int]:
        for day in range(most):
            self.loop.day(TRUTH)
            yield day


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def test_bad_release_is_taken_back_with_nobody_at_the_keyboard_and_votes_verify_it(world: World) -> None:
    for _ in world.days(3):
        pass
    bad = world.release(BAD)
    assert any(world.served == world.good for _ in world.days(10))
    assert any(world.changes()[0].state == "verified" for _ in world.days(20))
    [change] = world.changes()
    assert (change.kind, change.base_version_id, change.candidate_version_id) == ("rollback", bad, world.good)
    [incident] = world.incidents()
    assert (incident.state, incident.resolution, incident.version_id) == ("resolved", "verified", bad)


@pytest.mark.parametrize(("hours", "reason"), [(24.0, "after the release"), (168.0, "did well at first")])
def test_release_is_not_blamed_for_what_began_long_after_it(tmp_path: Path, hours: float, reason: str) -> None:
    off = msgspec.structs.replace(SETTINGS.playbook, mode="off", rollback_hours=hours)
    settings = msgspec.structs.replace(SETTINGS, playbook=off)
    moved = {ask: f"No longer: {place}" for place, ask in enumerate(sorted(TRUTH))}
    with World(tmp_path, settings) as world:
        for _ in world.days(2):
            pass
        world.release(msgspec.structs.replace(GOOD, exemplars=SHOWN[::-1]))
        for _ in world.days(3):
            pass
        assert world.incidents() == []
        while not world.incidents():
            world.loop.day(moved)
        plan = world.loop.playbook.planning.plans(PROJECT, world.incidents()[0], world.loop.clock.now())[0]
    assert (plan.action, plan.possible) == ("rollback", False)
    assert reason in plan.reason


def test_version_before_that_was_as_bad_is_not_served_again(tmp_path: Path) -> None:
    off = msgspec.structs.replace(SETTINGS.playbook, mode="off")
    moved = {ask: f"No longer: {place}" for place, ask in enumerate(sorted(TRUTH))}
    with World(tmp_path, msgspec.structs.replace(SETTINGS, playbook=off)) as world:
        world.loop.day(moved)
        world.release(msgspec.structs.replace(GOOD, exemplars=SHOWN[::-1]))
        for _ in range(3):
            world.loop.day(moved)
        incident = next(each for each in world.incidents() if each.state == "firing")
        playbook = IncidentPlaybook(world.loop.store, world.loop.redactor, SETTINGS, world.loop.runner)
        plan = playbook.planning.plans(PROJECT, incident, world.loop.clock.now())[0]
    assert not plan.possible
    assert "no better" in plan.reason


def test_where_the_policy_is_ask_a_person_decides_and_approval_serves_it_at_once(tmp_path: Path) -> None:
    asked = msgspec.structs.replace(SETTINGS.playbook, ask=("rollback",))
    with World(tmp_path, msgspec.structs.replace(SETTINGS, playbook=asked)) as world:
        for _ in world.days(3):
            pass
        bad = world.release(BAD)
        assert any(world.changes() for _ in world.days(10))
        [change] = world.changes()
        assert (change.kind, change.state, world.served) == ("rollback", "awaiting", bad)
        approved = world.decisions.approve(PROJECT, change.id, world.loop.clock.now())
        assert (approved.state, world.served) == ("promoted", world.good)
        assert world.incidents()[0].state == "recovering"


def test_nobody_is_held_back_with_the_bad_version(tmp_path: Path) -> None:
    held = msgspec.structs.replace(
        SETTINGS, canary=Canary(steps=(0.2, 0.5), step_hours=1, step_exposures=20, holdback=0.05)
    )
    with World(tmp_path, held) as world:
        for _ in world.days(3):
            pass
        bad = world.release(BAD)
        assert any(world.served == world.good for _ in world.days(10))
        rollout = world.loop.store.rollout(PROJECT, FEATURE)
        assert rollout is not None
        assert bad not in (rollout.holdback_version_id, rollout.candidate_version_id)


def test_going_back_by_hand_holds_nobody_back_with_what_is_left(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        bad = world.release(BAD)
        canary = msgspec.structs.replace(SETTINGS.canary, holdback=0.1)
        decisions = Decisions(world.loop.store, world.loop.redactor, canary)  # it was just turned on
        now = world.loop.clock.now()
        assert decisions.restore(PROJECT, FEATURE, world.good, now).holdback_version_id is None
        assert decisions.serve(PROJECT, BAD, now).holdback_version_id == world.good
        assert decisions.reset_holdback(PROJECT, FEATURE, now).holdback_version_id == bad
        left = decisions.restore(PROJECT, FEATURE, world.good, now)
    assert (left.holdback_version_id, left.holdback_share) == (None, 0.0)


def test_going_back_keeps_a_holdback_with_an_earlier_version(tmp_path: Path) -> None:
    canary = msgspec.structs.replace(SETTINGS.canary, holdback=0.1)
    with World(tmp_path, msgspec.structs.replace(SETTINGS, canary=canary)) as world:
        world.release(BAD)
        better = world.release(msgspec.structs.replace(GOOD, note="another"))
        world.release(msgspec.structs.replace(BAD, note="bad again"))
        kept = world.decisions.restore(PROJECT, FEATURE, better, world.loop.clock.now())
        assert (kept.holdback_version_id, kept.holdback_share) == (world.good, 0.1)


def test_release_by_hand_can_be_shown_to_a_few_whose_votes_take_it_back(world: World) -> None:
    for _ in world.days(3):
        pass
    change, rollout = world.decisions.try_out(PROJECT, BAD, world.loop.clock.now())
    assert (change.kind, change.state, rollout.share) == ("manual", "canary", 0.2)
    assert rollout.stable_version_id == world.good
    with pytest.raises(Conflict, match="already tries"):
        world.decisions.try_out(PROJECT, msgspec.structs.replace(BAD, exemplars=[]), world.loop.clock.now())
    assert any(world.changes()[0].state == "rolled_back" for _ in world.days(10))
    assert world.served == world.good
    after = world.loop.store.rollout(PROJECT, FEATURE)
    assert after is not None
    assert after.candidate_version_id is None


def test_release_by_hand_that_does_as_well_is_served_to_everyone(world: World) -> None:
    for _ in world.days(3):
        pass
    change, _ = world.decisions.try_out(
        PROJECT, msgspec.structs.replace(GOOD, exemplars=SHOWN[::-1]), world.loop.clock.now()
    )
    with pytest.raises(Conflict, match="this very version"):
        world.decisions.try_out(PROJECT, GOOD, world.loop.clock.now() + timedelta(seconds=1))
    states = [world.changes()[0].state for _ in world.days(12)]
    assert states[-1] in ("canary", "paused", "promoted"), states
    assert change.id == world.changes()[0].id
    assert world.served in (world.good, change.candidate_version_id)
