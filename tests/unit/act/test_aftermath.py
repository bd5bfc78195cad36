"""What happens after a proof: the same trouble again, a version that made it worse, a fix that is lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, LoopWorld
from trimtab.act.aftermath import is_worse, kept, recurs, undone
from trimtab.act.order import Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.recheck import RecheckStage
from trimtab.clock import EPOCH
from trimtab.config import Gate
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import (
    Case,
    CaseResult,
    Change,
    Exemplar,
    Feature,
    GateReport,
    Incident,
    Inference,
    Payload,
    Rollout,
    Run,
    RunStep,
    Version,
)
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import Arrival, Query, Switch, Writes

DAY = timedelta(days=1)
_count = itertools.count()


def incident(version_id: str = "v_1", *, at: datetime = EPOCH, negatives: int = 30, **more: Any) -> Incident:
    told: dict[str, Any] = {"state": "firing", **more}
    return Incident(
        id=derived_id("incident", str(next(_count))), feature=FEATURE, version_id=version_id,
        monitor_id=derived_id("monitor", version_id), onset_at=at, first_signal_at=at, detected_at=at, reference=0.1,
        observed=negatives / 100, events=100, negatives=negatives, users=50, log_evidence=9.0, log_threshold=8.0,
        **told,
    )  # fmt: skip


def solved(at: datetime, **more: Any) -> Incident:
    return incident(state="resolved", resolution="verified", resolved_at=at, **more)


def test_the_same_group_within_thirty_days_of_the_proof_is_a_recurrence() -> None:
    before = solved(EPOCH)
    assert recurs(incident("v_2", at=EPOCH + 29 * DAY), [before]) == before
    assert recurs(incident("v_2", at=EPOCH + 31 * DAY), [before]) is None
    assert recurs(incident("v_2", at=EPOCH - DAY), [before]) is None
    assert recurs(incident("v_2", at=EPOCH + DAY, metric="error"), [before]) is None
    assert recurs(incident("v_2", at=EPOCH + DAY, segment={"plan": "free"}), [before]) is None
    by_version = solved(EPOCH, segment={"version": "v_1"})
    assert recurs(incident("v_2", at=EPOCH + DAY, segment={"version": "v_2"}), [by_version]) == by_version
    by_hand = msgspec.structs.replace(before, resolution="manual")
    assert recurs(incident("v_2", at=EPOCH + DAY), [by_hand]) is None


def test_worse_must_be_proven_not_only_seen() -> None:
    assert is_worse(incident(negatives=60), incident(negatives=30))
    assert not is_worse(incident(negatives=38), incident(negatives=30))


def fix(passed: int, of: int = 5) -> Change:
    results = [
        CaseResult(case_id=derived_id("case", str(place)), target=True, stable_passed=False,
                   candidate_passed=place < passed)
        for place in range(of)
    ]  # fmt: skip
    report = GateReport(
        verdict="pass", reason="", cases=of, broken=0, fixed=passed, targets=of, targets_fixed=passed,
        must_pass_broken=0, lower_bound=0.0, margin=0.05, rules_out=0.1, smoke=True, results=results,
    )  # fmt: skip
    return Change(
        id=derived_id("fix"), feature=FEATURE, kind="exemplar", state="verified", created_at=EPOCH,
        base_version_id="v_1", incident_id=derived_id("was"), gate=report,
    )  # fmt: skip


def now_passes(*passing: int, of: int = 5) -> dict[str, bool]:
    return {derived_id("case", str(place)): place in passing for place in range(of)}


def test_fix_is_lost_when_half_of_the_cases_it_passed_fail() -> None:
    lost = undone([fix(4)], now_passes(0, 1))
    assert lost is not None
    assert (lost.failing, lost.cases) == (2, 4)
    assert undone([fix(4)], now_passes(0, 1, 2)) is None
    assert undone([fix(2)], now_passes()) is None, "two cases are too few to say"
    assert undone([fix(5)], {}) is None, "what was not asked says nothing"


def test_what_is_lost_already_no_candidate_forgets() -> None:
    def results(*, stable: bool) -> list[CaseResult]:
        return [
            CaseResult(case_id=derived_id("case", str(place)), target=False, stable_passed=stable,
                       candidate_passed=False)
            for place in range(5)
        ]  # fmt: skip

    assert undone([fix(4)], kept(results(stable=True))) is not None
    assert undone([fix(4)], kept(results(stable=False))) is None


class Street:
    """A feature whose fix of an incident was proven and is served: `old` before, `new` now."""

    def __init__(self, folder: Path) -> None:
        self.world = LoopWorld(folder, settings=msgspec.structs.replace(
            SETTINGS, canary=msgspec.structs.replace(SETTINGS.canary, max_error_rate=0.2)
        ))  # fmt: skip
        self.store = self.world.store
        self.old = self.world.launch()
        new = seal(self.world.redactor, Version(feature=FEATURE, created_at=self.now, model="next"))
        self.new = new.record
        self.first = solved(self.now, version_id=self.old.id)
        self.change = Change(
            id=derived_id("change"), feature=FEATURE, kind="manual", state="verified", created_at=self.now,
            base_version_id=self.old.id, candidate_version_id=self.new.id, incident_id=self.first.id,
            exposed_at=self.now, promoted_at=self.now, verified_at=self.now,
        )  # fmt: skip
        held = self.rollout
        switch = Switch(msgspec.structs.replace(held, stable_version_id=self.new.id, revision=2), held.revision)
        writes = Writes(versions=[new], switches=[switch], incidents=[self.first], changes=[self.change])
        self.store.commit({PROJECT: writes})

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    @property
    def rollout(self) -> Rollout:
        held = self.store.rollout(PROJECT, FEATURE)
        assert held is not None
        return held

    def read(self) -> tuple[Change, Incident]:
        change, first = self.store.change(PROJECT, self.change.id), self.store.incident(PROJECT, self.first.id)
        assert change is not None
        assert first is not None
        return change, first

    def again(self, negatives: int) -> Incident:
        self.world.clock.advance(3 * DAY)
        found = incident(self.new.id, at=self.now, negatives=negatives)
        self.store.commit({PROJECT: Writes(incidents=[found])})
        self.world.stages[2].tick(self.now)
        self.world.stages[2].tick(self.now)
        after = self.store.incident(PROJECT, found.id)
        assert after is not None
        return after


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    made = Street(tmp_path)
    yield made
    made.world.close()


def test_recurrence_is_linked_and_the_loop_goes_on(street: Street) -> None:
    found = street.again(negatives=33)
    assert found.detail["recurrence_of"] == street.first.id
    assert found.state == "firing"
    change, first = street.read()
    assert (change.state, first.state) == ("verified", "resolved")
    assert street.rollout.stable_version_id == street.new.id


def test_version_that_made_it_worse_is_taken_back_and_the_first_incident_is_open_again(street: Street) -> None:
    found = street.again(negatives=70)
    change, first = street.read()
    assert street.rollout.stable_version_id == street.old.id
    assert change.state == "rolled_back"
    assert change.canary["stopped_by"] == "recurrence"
    assert "back and worse: 70 of 100 say no, 30 of 100 did" in change.reason
    assert (first.state, first.resolution, first.resolved_at) == ("firing", None, None)
    assert first.detail["rolled_back_by"] == "recurrence"
    assert (found.state, found.resolution) == ("resolved", "superseded")
    assert street.store.incidents(PROJECT, Query(), states=("firing",)).rows[0].record.id == first.id


def test_guardrail_that_fails_after_the_proof_takes_the_version_back_by_its_name(street: Street) -> None:
    street.world.clock.advance(DAY)
    rows = [
        Inference(
            id=derived_id("answer", str(place)), feature=FEATURE, created_at=street.now, input="?", error="timeout",
            version_id=street.new.id, arm="stable", user_id=f"user-{place}",
        )
        for place in range(60)
    ]  # fmt: skip
    sealed = seal_all(street.world.redactor, rows)
    street.store.append([Arrival(PROJECT, row, street.now) for row in sealed])
    street.world.tick()
    change, first = street.read()
    assert street.rollout.stable_version_id == street.old.id
    assert (change.state, change.canary["stopped_by"]) == ("rolled_back", "error")
    assert first.state == "firing"
    assert first.detail["rolled_back_by"] == "error"


def knowing(*places: int) -> Version:
    """Return a version with the right answer to these of five questions."""
    shown = [Exemplar(id=f"x{place}", input=f"question {place}", output=f"answer {place}") for place in places]
    return Version(feature=FEATURE, created_at=EPOCH, exemplars=shown)


class Proven:
    """A feature with one proven fix of five golden cases, and a stage that asks about it."""

    def __init__(self, folder: Path) -> None:
        self.world = LoopWorld(folder)
        self.store = self.world.store
        self.fixed = self.world.launch(knowing(0, 1, 2, 3, 4))
        self.first = solved(self.now, version_id="v_0")
        held = fix(5)
        assert held.gate is not None
        self.cases = [
            Case(id=result.case_id, feature=FEATURE, created_at=EPOCH, input=f"question {place}",
                 expected=f"answer {place}", incident_id=self.first.id)
            for place, result in enumerate(held.gate.results)
        ]  # fmt: skip
        self.fix = msgspec.structs.replace(
            held, incident_id=self.first.id, candidate_version_id=self.fixed.id, gated_at=self.now, promoted_at=self.now
        )
        writes = Writes(incidents=[self.first], changes=[self.fix], cases=seal_all(self.world.redactor, self.cases))
        self.store.commit({PROJECT: writes})
        exams = self.world.playbook.exams
        self.recheck = RecheckStage(self.store, SETTINGS, exams, turn=threading.RLock(), inline=True)

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    @property
    def rollout(self) -> Rollout:
        held = self.store.rollout(PROJECT, FEATURE)
        assert held is not None
        return held

    def serve(self, version: Version, change: Change | None = None) -> Version:
        made = seal(self.world.redactor, version)
        held = self.rollout
        after = msgspec.structs.replace(held, stable_version_id=made.record.id, revision=held.revision + 1)
        changes = [msgspec.structs.replace(change, candidate_version_id=made.record.id)] if change else []
        self.store.commit({PROJECT: Writes(versions=[made], switches=[Switch(after, held.revision)], changes=changes)})
        return made.record

    def look(self, days: float = 1) -> Incident:
        self.world.clock.advance(days * DAY)
        self.recheck.tick(self.now)
        found = self.store.incident(PROJECT, self.first.id)
        assert found is not None
        return found


@pytest.fixture
def proven(tmp_path: Path) -> Iterator[Proven]:
    made = Proven(tmp_path)
    yield made
    made.world.close()


def test_version_made_by_hand_that_forgets_a_fix_opens_its_incident_again(proven: Proven) -> None:
    assert proven.look().state == "resolved"
    served = proven.serve(knowing(0, 1))
    after = proven.look()
    assert (after.state, after.resolved_at, after.version_id) == ("firing", None, served.id)
    assert "3 of 5 cases" in after.detail["reopened"]
    assert proven.rollout.stable_version_id == served.id


def test_cases_that_are_retired_are_no_lost_fix(proven: Proven) -> None:
    wrong = [case.id for case in proven.cases[2:4]]
    proven.store.commit({PROJECT: Writes(retired=[(case_id, proven.now) for case_id in wrong])})
    served = proven.serve(knowing(0, 1))  # fails three of five, one of the three that are left
    assert proven.look().state == "resolved"
    proven.store.commit({PROJECT: Writes(retired=[(case_id, None) for case_id in wrong])})
    assert (proven.look(days=8).state, proven.rollout.stable_version_id) == ("firing", served.id)


def test_change_that_forgets_a_fix_is_taken_back_by_itself(proven: Proven) -> None:
    later = msgspec.structs.replace(
        fix(0), id=derived_id("later"), state="promoted", gate=None, base_version_id=proven.fixed.id,
        incident_id=None, promoted_at=proven.now,
    )  # fmt: skip
    proven.serve(knowing(0), later)
    assert proven.look().state == "resolved"
    assert proven.rollout.stable_version_id == proven.fixed.id
    taken = proven.store.change(PROJECT, later.id)
    assert taken is not None
    assert (taken.state, taken.canary["stopped_by"]) == ("rolled_back", "forgetting")
    assert taken.reason.startswith("forgets: 4 of 5 cases")


def test_fix_that_holds_stays_and_is_asked_again_after_a_week_only(proven: Proven) -> None:
    asked = []
    answer = proven.world.runner.answer

    def counting(version: Version, inputs: Sequence[Payload]) -> list[str]:
        asked.append(len(inputs))
        return answer(version, inputs)

    proven.world.runner.answer = counting  # type: ignore[method-assign]
    assert proven.look(days=6).state == "resolved"
    assert asked == []
    assert proven.look(days=2).state == "resolved"
    assert asked == [5]
    assert proven.look(days=6).state == "resolved"
    assert asked == [5]


def test_feature_that_cannot_be_asked_keeps_no_other_from_being_asked(proven: Proven) -> None:
    away = "a-first"  # in the order of features it comes before
    made = seal(proven.world.redactor, msgspec.structs.replace(knowing(0), feature=away))
    held = msgspec.structs.replace(
        proven.rollout, feature=away, stable_version_id=made.record.id, id=derived_id(away), revision=1
    )
    assert proven.fix.gate is not None
    results = [
        msgspec.structs.replace(each, case_id=derived_id(away, each.case_id)) for each in proven.fix.gate.results
    ]
    gate = msgspec.structs.replace(proven.fix.gate, results=results)
    told = {"feature": away, "candidate_version_id": made.record.id, "id": derived_id(away), "gate": gate}
    feature = seal(proven.world.redactor, Feature(name=away, created_at=EPOCH))
    also = msgspec.structs.replace(proven.fix, **told)
    case = msgspec.structs.replace(proven.cases[0], feature=away, id=results[0].case_id)
    proven.store.commit({PROJECT: Writes(features=[feature], versions=[made], switches=[Switch(held, 0)])})
    proven.store.commit({PROJECT: Writes(changes=[also], cases=[seal(proven.world.redactor, case)])})
    answer = proven.world.runner.answer

    def sometimes(version: Version, inputs: Sequence[Payload]) -> list[str]:
        if version.feature == away:
            raise Unavailable("its model is away")
        return answer(version, inputs)

    proven.world.runner.answer = sometimes  # type: ignore[method-assign]
    proven.serve(knowing(0, 1))
    proven.look(days=8)
    assert proven.look(days=0.1).state == "firing"


def test_gate_fails_a_candidate_that_undoes_a_proven_fix(proven: Proven) -> None:
    world = proven.world
    told = msgspec.structs.replace(incident(proven.fixed.id, at=proven.now), id=derived_id("next"))
    order = Order(
        project_id=PROJECT, run_id=derived_id("run"), feature=FEATURE, incident_id=told.id, now=proven.now,
        action="exemplar",
    )  # fmt: skip
    candidate = seal(world.redactor, knowing(0, 1))
    change = Change(
        id=derived_id("change", order.run_id), feature=FEATURE, kind="exemplar", state="building",
        created_at=proven.now, base_version_id=proven.fixed.id, candidate_version_id=candidate.record.id,
        run_id=order.run_id, incident_id=told.id,
    )  # fmt: skip
    run = Run(
        id=order.run_id, playbook="exemplar", feature=FEATURE, state="running", started_at=proven.now,
        incident_id=told.id,
    )  # fmt: skip
    built = RunStep(name="build", started_at=proven.now, ended_at=proven.now, detail={"change": change.id})
    writes = Writes(
        incidents=[told], changes=[change], versions=[candidate], runs=[run], steps=[(order.run_id, built)],
    )  # fmt: skip
    proven.store.commit({PROJECT: writes})
    settings = msgspec.structs.replace(SETTINGS, gate=Gate(margin=0.9))  # the drop alone would not stop it
    playbook = IncidentPlaybook(proven.store, world.redactor, settings, world.runner)
    assert playbook.gate(order)["verdict"] == "fail"
    blocked = proven.store.change(PROJECT, change.id)
    assert blocked is not None
    assert blocked.state == "blocked"
    assert "forgets: 3 of 5 cases" in blocked.reason
