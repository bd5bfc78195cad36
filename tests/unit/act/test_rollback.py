"""The rollback action: what it takes back, what it leaves alone, and that it happens once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.port import Situation
from trimtab.act.actions.rollback import RollbackEffect
from trimtab.act.decisions import Decisions
from trimtab.act.evidence import Evidence
from trimtab.act.order import NOTICE
from trimtab.act.playbook import IncidentPlaybook
from trimtab.config import Playbook, Settings
from trimtab.errors import Conflict
from trimtab.ids import derived_id
from trimtab.records import Incident, Version
from trimtab.store.ports import Writes

DAY = timedelta(days=1)
ACTIONS = msgspec.structs.replace(SETTINGS, playbook=Playbook(actions=("rollback", "exemplar")))


class Desk:
    """A feature that served `first` for a month, then `second`, which a person released."""

    def __init__(self, folder: Path, settings: Settings = ACTIONS) -> None:
        self.world = LoopWorld(folder)
        self.store = self.world.store
        self.effect = RollbackEffect(self.store, settings)
        actions = [ExemplarAction(Evidence(self.store, settings))]
        self.playbook = IncidentPlaybook(
            self.store, self.world.redactor, settings, self.world.runner, actions=actions, effects=[self.effect]
        )
        self.decisions = Decisions(self.store, self.world.redactor, settings.canary)
        self.first = self.world.launch(Version(feature=FEATURE, created_at=START, model="first")).id
        self.released = START + 30 * DAY
        self.second = self.serve("second", self.released)

    def serve(self, model: str, at: datetime, **told: Any) -> str:
        version = Version(feature=FEATURE, created_at=at, model=model, **told)
        return self.decisions.serve(PROJECT, version, at).stable_version_id

    def served(self) -> str:
        rollout = self.store.rollout(PROJECT, FEATURE)
        assert rollout is not None
        return rollout.stable_version_id

    def incident(self, version_id: str, onset: datetime, **told: Any) -> Incident:
        fields: dict[str, Any] = {
            "id": derived_id("incident", version_id), "feature": FEATURE, "version_id": version_id,
            "monitor_id": derived_id("m", version_id), "state": "firing", "onset_at": onset, "first_signal_at": onset,
            "detected_at": onset + timedelta(hours=1), "reference": 0.1, "observed": 0.4, "events": 50, "negatives": 20,
            "users": 15, "log_evidence": 5.0, "log_threshold": 3.0,
        }  # fmt: skip
        found = Incident(**{**fields, **told})
        self.store.commit({PROJECT: Writes(incidents=[found])})
        return found

    def situation(self, incident: Incident) -> Situation:
        base = self.store.version(PROJECT, FEATURE, self.served())
        assert base is not None
        return Situation(PROJECT, incident, base, incident.detected_at, derived_id("run"))

    def why_not(self, incident: Incident) -> str:
        plan = self.effect.plan(self.situation(incident))
        return "" if plan.possible else plan.reason


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.world.close()


def test_a_bad_release_gives_way_to_what_it_replaced_once(desk: Desk) -> None:
    incident = desk.incident(desk.second, desk.released + timedelta(hours=1))
    order = desk.playbook.next_order(PROJECT, incident, [], incident.detected_at)
    assert order is not None
    assert (order.action, order.effects) == (NOTICE, ("rollback",))  # nothing is built on a version that goes
    for _ in range(2):  # as after a crash
        for _, step in desk.playbook.steps(order):
            step(order)
    assert desk.served() == desk.first
    assert len(desk.store.rollout_history(PROJECT, FEATURE)) == 3
    run = desk.store.run(PROJECT, order.run_id)
    assert run is not None
    assert (run.state, run.steps[0].detail) == ("done", {"from": desk.second, "to": desk.first})


def test_what_was_taken_back_can_be_served_again(desk: Desk) -> None:
    incident = desk.incident(desk.second, desk.released)
    situation = desk.situation(incident)
    writes, done = desk.effect.apply(situation)
    desk.store.commit({PROJECT: writes})
    assert desk.served() == desk.first
    desk.store.commit({PROJECT: desk.effect.revert(situation, done)})
    assert desk.served() == desk.second
    with pytest.raises(Conflict):  # a switch in between is never overwritten
        desk.store.commit({PROJECT: writes})


def test_it_does_not_swing_back_to_what_was_taken_back(desk: Desk) -> None:
    desk.incident(desk.second, desk.released)
    desk.decisions.restore(PROJECT, FEATURE, desk.first, desk.released + DAY)
    again = desk.incident(desk.first, desk.released + 2 * DAY)
    assert desk.why_not(again) == "nothing was served before it"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"held": "voting has moved"}, "voting has moved"),
        ({"version_id": "any"}, "not about the version that everyone is served"),
        ({"onset_at": START + 38 * DAY}, "was good for more than 168 hours"),
    ],
)
def test_what_is_not_the_releases_fault_is_left_alone(desk: Desk, told: dict[str, Any], said: str) -> None:
    incident = desk.incident(desk.second, desk.released)
    assert said in desk.why_not(msgspec.structs.replace(incident, **told))


def test_nothing_worse_is_served_instead(desk: Desk) -> None:
    desk.incident(desk.first, desk.released - DAY, state="resolved", resolution="superseded")
    incident = desk.incident(desk.second, desk.released)
    assert "had an incident that nobody has resolved" in desk.why_not(incident)


def test_what_came_of_a_change_is_its_own_trials_to_take_back(desk: Desk) -> None:
    third = desk.serve("third", desk.released + DAY, change_id=derived_id("change"))
    assert "came of a change" in desk.why_not(desk.incident(third, desk.released + DAY))


def test_where_a_person_is_to_be_asked_nothing_is_switched(tmp_path: Path) -> None:
    asking = msgspec.structs.replace(ACTIONS, playbook=Playbook(actions=("rollback",), ask=("rollback",)))
    desk = Desk(tmp_path, asking)
    incident = desk.incident(desk.second, desk.released)
    now = incident.detected_at
    assert desk.playbook.next_order(PROJECT, incident, [], now) is None
    [plan] = desk.playbook.plans(PROJECT, incident, now)
    assert (plan.policy, plan.possible) == ("ask", True)
    by_hand = desk.playbook.next_order(PROJECT, incident, [], now, by_hand=True)
    assert by_hand is not None
    assert by_hand.effects == ("rollback",)
    desk.world.close()
