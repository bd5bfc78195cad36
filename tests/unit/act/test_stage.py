"""The act stage beside people who decide by hand, over a real store and real runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.decisions import Decisions
from trimtab.act.stage import ActStage
from trimtab.config import Settings
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id
from trimtab.records import Change, Exemplar, Feedback, Incident, Inference, Rollout, Version
from trimtab.store.ports import Query, Switch, Writes

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}
BROKEN = 6


def answers(truth: dict[str, str]) -> Version:
    shown = [Exemplar(id=f"x{place}", input=ask, output=truth[ask]) for place, ask in enumerate(sorted(truth))]
    return Version(feature=FEATURE, created_at=START, exemplars=shown[BROKEN:])


class Desk:
    """A world whose stable version is wrong half of the time, and a person at the controls."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        self.world = LoopWorld(folder, settings=settings)
        self.store = self.world.store
        turn = threading.RLock()
        self.decisions = Decisions(self.store, self.world.redactor, SETTINGS.canary, turn=turn)
        self.act = ActStage(self.store, settings, self.world.playbook, self.world.runs, turn=turn)
        self.world.stages[2] = self.act
        self.base = self.world.launch(answers(TRUTH))

    @property
    def now(self) -> Any:
        return self.world.clock.now()

    @property
    def change(self) -> Change:
        return self.store.changes(PROJECT, Query()).rows[0].record

    @property
    def incident(self) -> Incident:
        return self.store.incidents(PROJECT, Query(newest=False)).rows[0].record

    @property
    def rollout(self) -> Rollout:
        held = self.store.rollout(PROJECT, FEATURE)
        assert held is not None
        return held

    def hour(self, *, count: int = 40) -> None:
        self.world.serve(TRUTH, answers=count)
        self.tick()

    def tick(self, hours: float = 1) -> None:
        self.world.clock.advance(timedelta(hours=hours))
        while self.world.tick():
            pass

    def until(self, state: str) -> None:
        for _ in range(30):
            if self.store.changes(PROJECT, Query()).rows and self.change.state == state:
                return
            self.hour()
        raise AssertionError(f"expected a change that is {state!r}, got {self.change.state!r}: {self.change.reason}")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.world.close()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(
        tmp_path, msgspec.structs.replace(SETTINGS, playbook=msgspec.structs.replace(SETTINGS.playbook, mode="ask"))
    )
    yield made
    made.world.close()


def test_pause_made_while_a_tick_is_under_way_is_not_lost(desk: Desk) -> None:
    desk.until("canary")
    desk.world.serve(TRUTH, answers=40)
    for stage in desk.world.stages[:2]:
        stage.tick(desk.now)
    commit, reached, paused = desk.store.commit, threading.Event(), threading.Event()

    def person() -> None:
        reached.wait()
        desk.decisions.pause(PROJECT, desk.change.id, desk.now)
        paused.set()

    def slow(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        if cursors and "act" in cursors:
            reached.set()
            paused.wait(timeout=0.2)  # without a turn to wait for, the person would be done by now
        commit(writes, cursors=cursors)

    setattr(desk.store, "commit", slow)  # noqa: B010
    thread = threading.Thread(target=person)
    thread.start()
    votes = desk.act.tick(desk.now)
    thread.join()
    assert votes > 0
    assert desk.change.state == "paused"
    assert desk.change.canary["harm"]["n"] > 0  # the tick's votes are there too


def test_switch_in_the_middle_of_a_tick_refuses_the_tick_and_the_next_is_right(desk: Desk) -> None:
    desk.until("canary")
    desk.world.serve(TRUTH, answers=300)
    for stage in desk.world.stages[:2]:
        stage.tick(desk.now)
    desk.world.clock.advance(timedelta(hours=1))
    commit = desk.store.commit
    cursor, tried = desk.store.cursor("act"), desk.change.id

    def switched(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        setattr(desk.store, "commit", commit)  # noqa: B010
        assert writes[PROJECT].switches
        desk.decisions.restore(PROJECT, FEATURE, desk.base.id, desk.now)
        commit(writes, cursors=cursors)

    setattr(desk.store, "commit", switched)  # noqa: B010
    assert desk.act.tick(desk.now) == 0
    assert desk.store.cursor("act") == cursor
    assert desk.change.state == "canary"
    desk.act.tick(desk.now)
    change = desk.store.change(PROJECT, tried)
    assert change is not None
    assert change.state == "superseded"
    assert desk.rollout.stable_version_id == desk.base.id
    assert desk.store.cursor("act") > cursor


def test_trial_ends_when_another_version_is_served(desk: Desk) -> None:
    desk.until("canary")
    other = msgspec.structs.replace(desk.base, exemplars=[], id="").identified()
    desk.decisions.serve(PROJECT, other, desk.now)
    desk.tick()
    assert desk.change.state == "superseded"
    assert (desk.incident.state, desk.incident.resolution) == ("resolved", "superseded")
    assert desk.rollout.candidate_version_id is None


def test_candidate_that_a_person_serves_to_everyone_is_promoted_and_verified(desk: Desk) -> None:
    desk.until("canary")
    candidate = desk.change.candidate_version_id
    assert candidate is not None
    desk.decisions.restore(PROJECT, FEATURE, candidate, desk.now)
    desk.tick()
    assert (desk.change.state, desk.incident.state) == ("promoted", "recovering")
    desk.until("verified")
    assert (desk.incident.state, desk.incident.resolution) == ("resolved", "verified")


def test_incident_fires_again_when_its_change_gives_way_to_the_version_before(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.promote(PROJECT, desk.change.id, desk.now)
    waiting = desk.incident.state
    desk.decisions.restore(PROJECT, FEATURE, desk.base.id, desk.now)
    desk.tick(0)
    states = [row.record.state for row in desk.store.changes(PROJECT, Query(newest=False)).rows]
    assert states[0] == "superseded"
    assert (waiting, desk.incident.state) == ("recovering", "firing")


def test_version_that_was_rolled_back_is_not_tried_again(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.roll_back(PROJECT, desk.change.id, desk.now)
    desk.tick(25)  # the pause after a change is over, and nothing was said since
    assert len(desk.store.changes(PROJECT, Query()).rows) == 1
    assert desk.rollout.candidate_version_id is None


def test_promoted_change_without_proof_lets_its_incident_fire_again(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.promote(PROJECT, desk.change.id, desk.now)
    desk.tick(24 * 13)
    waiting = desk.incident.state
    desk.tick(25)
    assert (waiting, desk.incident.state, desk.change.state) == ("recovering", "firing", "promoted")


def test_hand_promotion_is_verified_by_votes(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.promote(PROJECT, desk.change.id, desk.now)
    assert desk.rollout.stable_version_id == desk.change.candidate_version_id
    desk.until("verified")


def test_roll_back_of_a_promoted_change_serves_the_version_before(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.promote(PROJECT, desk.change.id, desk.now)
    desk.tick()
    desk.decisions.roll_back(PROJECT, desk.change.id, desk.now)
    assert (desk.rollout.stable_version_id, desk.rollout.candidate_version_id) == (desk.base.id, None)
    assert (desk.change.state, desk.incident.state) == ("rolled_back", "firing")


def test_paused_trial_keeps_its_share_until_resumed(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.pause(PROJECT, desk.change.id, desk.now)
    share = desk.rollout.share
    for _ in range(4):
        desk.hour(count=60)
    assert (desk.change.state, desk.rollout.share) == ("paused", share)
    desk.decisions.resume(PROJECT, desk.change.id, desk.now)
    assert desk.change.step_at == desk.now
    desk.until("verified")


def test_change_waits_for_approval_and_then_runs(asking: Desk) -> None:
    asking.until("awaiting")
    for _ in range(3):
        asking.hour()
    assert asking.rollout.revision == 1
    asking.decisions.approve(PROJECT, asking.change.id, asking.now)
    assert (asking.change.exposed_at, asking.rollout.share) == (asking.now, 0.2)
    asking.until("verified")


def test_declined_change_makes_room_for_the_next(asking: Desk) -> None:
    asking.until("awaiting")
    first = asking.change.id
    asking.decisions.roll_back(PROJECT, first, asking.now)
    assert asking.change.state == "rolled_back"
    for _ in range(2):
        asking.hour()
    assert asking.change.id != first


def test_change_that_waits_on_a_version_no_longer_served_is_superseded(asking: Desk) -> None:
    asking.until("awaiting")
    asking.decisions.serve(PROJECT, msgspec.structs.replace(asking.base, exemplars=[], id=""), asking.now)
    asking.tick()
    assert asking.change.state == "superseded"


VERBS = {
    "approve": {"awaiting"},
    "promote": {"canary", "paused"},
    "pause": {"canary"},
    "resume": {"paused"},
    "roll_back": {"awaiting", "canary", "paused", "promoted", "verified"},
}
STATES = [
    "building", "blocked", "empty", "awaiting", "canary", "paused", "promoted", "verified", "rolled_back", "superseded",
]  # fmt: skip


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_verb_is_taken_in_its_states_and_refused_with_a_reason_in_all_others(desk: Desk, verb: str) -> None:
    for state in STATES:
        change = placed(desk, state)
        act = getattr(desk.decisions, verb)
        if state in VERBS[verb]:
            assert act(PROJECT, change.id, desk.now) == desk.store.change(PROJECT, change.id)
            continue
        with pytest.raises(Conflict, match=f"{state!r}; expected"):
            act(PROJECT, change.id, desk.now)
        assert desk.store.change(PROJECT, change.id) == change
        rollout = desk.store.rollout(PROJECT, change.feature)
        assert rollout is not None
        assert rollout.revision == 1


def placed(desk: Desk, state: Any) -> Change:
    """Put a change in that state before a feature of its own, with what is then served."""
    feature = f"feature-{state}"
    served = Rollout(
        feature=feature,
        stable_version_id="v_new" if state in ("promoted", "verified") else "v_base",
        candidate_version_id="v_new" if state in ("canary", "paused") else None,
        updated_at=START,
        id=derived_id("rollout", feature),
        revision=1,
    )
    change = Change(
        id=derived_id("change", feature),
        feature=feature,
        kind="exemplar",
        state=state,
        created_at=START,
        base_version_id="v_base",
        candidate_version_id="v_new",
    )
    desk.store.commit({PROJECT: Writes(changes=[change], switches=[Switch(served, 0)])})
    return change


def test_what_is_not_there_is_named(desk: Desk) -> None:
    for verb in VERBS:
        with pytest.raises(NotFound):
            getattr(desk.decisions, verb)(PROJECT, derived_id("nothing"), desk.now)
    with pytest.raises(NotFound):
        desk.decisions.restore(PROJECT, FEATURE, "v_nothing", desk.now)
    with pytest.raises(NotFound):
        desk.decisions.resolve(PROJECT, derived_id("nothing"), desk.now)


def test_incident_is_closed_by_hand_once(desk: Desk) -> None:
    desk.until("canary")
    desk.decisions.resolve(PROJECT, desk.incident.id, desk.now)
    assert (desk.incident.state, desk.incident.resolution) == ("resolved", "manual")
    with pytest.raises(Conflict):
        desk.decisions.resolve(PROJECT, desk.incident.id, desk.now)


class Noise(LoopWorld):
    """A world in which votes fall by the toss of a coin and corrections are gibberish, whatever was answered."""

    def _turn(self, user: str, question: str, output: str, right: str, *told: Any) -> list[Inference | Feedback]:
        said = output if self.random.random() < 0.7 else f"gibberish {self.count}"
        return super()._turn(user, question, output, said, *told)


@pytest.mark.parametrize("seed", [1, 2])
def test_feedback_that_knows_nothing_of_the_answers_makes_them_no_worse(tmp_path: Path, seed: int) -> None:
    world = Noise(tmp_path, seed=seed)
    right = [Exemplar(id=f"x{place}", input=ask, output=TRUTH[ask]) for place, ask in enumerate(sorted(TRUTH))]
    first = world.launch(Version(feature=FEATURE, created_at=START, exemplars=right))
    for _ in range(60):
        world.serve(TRUTH, answers=60)
        world.clock.advance(timedelta(hours=1))
        while world.tick():
            pass
    changes = [row.record for row in world.store.changes(PROJECT, Query()).rows]
    rollout = world.store.rollout(PROJECT, FEATURE)
    world.close()
    assert changes  # the noise is loud enough for an alarm: gate and trial must hold
    assert not [change.reason for change in changes if change.state in ("promoted", "verified")]
    assert rollout is not None
    assert rollout.stable_version_id == first.id
