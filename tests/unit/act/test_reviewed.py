"""What reviewers said becomes a change: by a person's order, and by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.reviewed import ReviewedAction
from trimtab.act.decisions import Decisions
from trimtab.act.evidence import Evidence
from trimtab.act.learning import LearnDesk
from trimtab.act.order import REVIEWED, Order
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.review import verdict_id
from trimtab.act.runs import DbosRuns
from trimtab.act.stage import ActStage
from trimtab.config import Playbook, Reviewing, Settings
from trimtab.errors import Conflict, NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import (
    Case,
    Change,
    Exemplar,
    Feedback,
    Inference,
    Payload,
    ReviewItem,
    Run,
    Source,
    Version,
    text_of,
)
from trimtab.redact.wall import seal_all
from trimtab.store.ports import Arrival, Query, Writes

KNOWN = {f"question {number}": f"answer {number}" for number in range(40)}
NOW = START + timedelta(days=2)


class Desk(LoopWorld):
    """A product that knows its questions, and reviewers who say what is right of single answers."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        super().__init__(folder, settings=settings)
        self.runs.close()
        evidence = Evidence(self.store, settings)
        self.renewed: dict[str, tuple[str, str]] = {}
        reviewed = ReviewedAction(evidence, ExemplarAction(evidence), renewals=lambda *_: self.renewed)
        self.playbook = IncidentPlaybook(self.store, self.redactor, settings, self.runner, reviewed=reviewed)
        self.runs = DbosRuns(self.playbook, folder / "runs.db", inline=True)
        self.stages[2] = ActStage(self.store, settings, self.playbook, self.runs)
        self.learning = LearnDesk(self.store, settings, self.playbook, self.runs)
        exemplars = [
            Exemplar(id=content_id("e", text.encode()), input=text, output=said) for text, said in KNOWN.items()
        ]
        self.first = self.launch(Version(feature=FEATURE, created_at=START, exemplars=exemplars))
        cases = [
            Case(id=derived_id("golden", text), feature=FEATURE, created_at=START, input=text, expected=said)
            for text, said in KNOWN.items()
        ]
        self.store.commit({PROJECT: Writes(cases=seal_all(self.redactor, cases))})

    def say(
        self,
        question: str,
        right: str,
        *,
        source: Source = "reviewer",
        at: datetime | None = None,
        drawn: bool = False,
        answered: Payload = "?",
    ) -> str:
        """Let somebody judge an answer to the question; a reviewer's item was `drawn` at random, or is of the queue."""
        self.count += 1
        inference_id = derived_id("inference", str(self.count))
        at = at or START + timedelta(days=1, minutes=self.count)
        item = ReviewItem(
            id=derived_id("review", inference_id),
            feature=FEATURE,
            inference_id=inference_id,
            source="random" if drawn else "queue",
            state="done",
            reason="",
            priority=1.0,
            opened_at=at,
            closed_at=at,
            reserved_by="someone",
            verdict="good" if right == text_of(answered) else "bad",
        )
        vote = Feedback(
            id=verdict_id(item, "thumb"),
            kind="thumb",
            value=float(right == text_of(answered)),
            created_at=at,
            inference_id=inference_id,
            user_id="someone",
            source=source,
        )
        words = msgspec.structs.replace(
            vote, id=derived_id("right", str(self.count)), kind="correction", value=None, text=right
        )
        asked = Inference(id=inference_id, feature=FEATURE, created_at=at, input=question, output=answered, user_id="u")
        events: list[Inference | Feedback] = [asked, vote, *([words] if right != text_of(answered) else [])]
        self.store.append([Arrival(PROJECT, sealed, at) for sealed in seal_all(self.redactor, events)])
        if source == "reviewer":
            self.store.commit({PROJECT: Writes(reviewed=seal_all(self.redactor, [item]))})
        self.clock.set(max(at, NOW))
        while self.tick():
            pass
        return inference_id

    def learn(self) -> Change:
        """Order it, and return the change that came of it."""
        order = self.learning.order(PROJECT, FEATURE, self.clock.now())
        run = self.store.run(PROJECT, order.run_id)
        assert run is not None
        assert (run.playbook, run.incident_id, run.error) == (REVIEWED, None, "")
        return self.change(derived_id("change", order.run_id))

    def change(self, change_id: str) -> Change:
        found = self.store.change(PROJECT, change_id)
        assert found is not None
        return found

    def changes(self) -> list[Change]:
        return [row.record for row in self.store.changes(PROJECT, Query(feature=FEATURE)).rows]

    def tried(self, change: Change) -> Version:
        found = self.store.version(PROJECT, FEATURE, change.candidate_version_id or "")
        assert found is not None
        return found

    def promote(self, change: Change) -> None:
        Decisions(self.store, self.redactor, SETTINGS.canary).promote(PROJECT, change.id, self.clock.now())

    def pass_time(self, now: datetime) -> None:
        """Let it be that time, and the desk look at everything."""
        self.clock.set(now)
        while self.learning.tick(now):
            pass


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_what_a_reviewer_said_is_tried_at_once_and_without_an_incident(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    change = desk.learn()
    assert (change.state, change.kind, change.incident_id) == ("canary", "exemplar", None)
    rollout = desk.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.candidate_version_id == change.candidate_version_id
    assert desk.runner.answer(desk.tried(change), ["where is it", "question 3"]) == ["in the post", "answer 3"]


def test_words_of_users_wait_for_a_reviewer(desk: Desk) -> None:
    desk.say("where is it", "in the post", source="user")
    with pytest.raises(Conflict, match="nothing to learn for 'support': 0 answers corrected"):
        desk.learn()


def test_answers_drawn_at_random_become_cases_and_build_nothing(desk: Desk) -> None:
    desk.say("where is it", "in the post", drawn=True)
    desk.say("who are you", "trimtab", drawn=True, answered="trimtab")
    with pytest.raises(Conflict, match="0 answers corrected, 0 confirmed, 2 to judge by"):
        desk.learn()
    desk.say("what is new", "a lot")
    change = desk.learn()
    assert {item.input for item in desk.tried(change).exemplars} == {*KNOWN, "what is new"}
    made = {case.expected for case in desk.store.cases(PROJECT, FEATURE) if case.feedback_id}
    assert made == {"in the post", "trimtab"}
    assert change.gate is not None
    assert change.gate.cases == len(KNOWN) + 2


def test_what_judges_by_then_builds_nothing_for_an_incident_either(desk: Desk) -> None:
    desk.say("where is it", "in the post", drawn=True)
    desk.say("what is new", "a lot")
    evidence = Evidence(desk.store, SETTINGS)
    assert "in the post" in {word.corrected for word in evidence.build(PROJECT, desk.first, desk.clock.now())}
    desk.learn()
    assert "in the post" not in {word.corrected for word in evidence.build(PROJECT, desk.first, desk.clock.now())}


def test_confirmed_answers_become_examples_beside_what_was_corrected_but_call_for_no_change(desk: Desk) -> None:
    desk.say("who are you", "trimtab", answered="trimtab")
    with pytest.raises(Conflict, match="0 answers corrected, 1 confirmed"):
        desk.learn()
    desk.say("where is it", "in the post")
    change = desk.learn()
    assert desk.runner.answer(desk.tried(change), ["who are you", "where is it"]) == ["trimtab", "in the post"]
    desk.promote(change)
    assert desk.learning.plan(PROJECT, FEATURE, desk.clock.now()).detail["confirmed"] == 0


def test_answer_that_is_no_plain_text_can_be_confirmed(desk: Desk) -> None:
    desk.say("who are you", "trimtab", answered={"text": "trimtab", "score": 1})
    assert desk.learning.plan(PROJECT, FEATURE, NOW).detail == {
        "corrected": 0,
        "confirmed": 1,
        "judging": 0,
        "renewed": 0,
    }


def test_batch_that_breaks_what_was_right_reaches_nobody_and_is_not_tried_again(desk: Desk) -> None:
    for text in list(KNOWN)[:20]:
        desk.say(text, "poison")
    change = desk.learn()
    assert (change.state, change.exposed_at) == ("blocked", None)
    rollout = desk.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.candidate_version_id is None
    with pytest.raises(Conflict, match="0 answers corrected"):
        desk.learn()
    desk.say("where is it", "in the post")
    second = desk.learn()
    assert second.state == "canary"
    assert "poison" not in {item.output for item in desk.tried(second).exemplars}


def test_later_word_takes_the_place_of_the_earlier_one(desk: Desk) -> None:
    desk.say("Question 7", "another answer")
    desk.say("question 7", "another answer now")
    exemplars = desk.tried(desk.learn()).exemplars
    assert [item.output for item in exemplars if item.input.casefold() == "question 7"] == ["another answer now"]
    assert len(exemplars) == len(KNOWN)


def test_answer_found_out_of_date_changes_in_every_example_and_its_cases_do_not_speak_against_it(desk: Desk) -> None:
    desk.renewed = {derived_id("doubt"): ("answer 3", "answer 3 as of today")}
    change = desk.learn()
    assert change.gate is not None
    assert (change.gate.broken, change.gate.cases) == (0, len(KNOWN) - 1)
    assert desk.runner.answer(desk.tried(change), ["question 3", "question 4"]) == ["answer 3 as of today", "answer 4"]
    retired = [case for case in desk.store.cases(PROJECT, FEATURE, retired=True) if case.retired_at]
    assert [case.expected for case in retired] == ["answer 3"]
    Decisions(desk.store, desk.redactor, SETTINGS.canary).roll_back(PROJECT, change.id, desk.clock.now())
    with pytest.raises(Conflict, match="nothing to learn"):  # what users sent back is not tried again by itself
        desk.learn()


def test_case_that_must_pass_is_not_retired_by_what_reviewers_say(desk: Desk) -> None:
    [case] = [case for case in desk.store.cases(PROJECT, FEATURE) if case.expected == "answer 3"]
    must = msgspec.structs.replace(case, id=derived_id("must"), severity="must_pass")
    desk.store.commit({PROJECT: Writes(cases=seal_all(desk.redactor, [must]))})
    desk.renewed = {derived_id("doubt"): ("answer 3", "answer 3 as of today")}
    change = desk.learn()
    assert change.state == "blocked"
    assert "must" in change.reason


def test_one_change_of_a_feature_at_a_time(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    first = desk.learn()
    desk.say("who are you", "trimtab")
    with pytest.raises(Conflict, match="a run or a change of 'support' is under way"):
        desk.learn()
    desk.promote(first)
    assert desk.learn().base_version_id == first.candidate_version_id


def test_gate_asks_cases_of_batches_only_as_long_as_their_words_count(desk: Desk) -> None:
    desk.say("where is it", "in the post", drawn=True)
    desk.say("who are you", "trimtab")
    soon = desk.learn()
    assert soon.gate is not None
    assert soon.gate.cases == len(KNOWN) + 1
    desk.promote(soon)
    late = NOW + timedelta(days=SETTINGS.playbook.lookback_days)
    desk.say("what is new", "a lot", at=late)
    desk.clock.set(late + timedelta(hours=1))
    later = desk.learn()
    assert later.gate is not None
    assert later.gate.cases == len(KNOWN)


def test_reviewers_of_two_minds_teach_nothing_until_one_says_what_is_right(desk: Desk) -> None:
    answer = desk.say("who are you", "trimtab", answered="trimtab")
    other = ReviewItem(
        id=derived_id("review", answer, "2"),
        feature=FEATURE,
        inference_id=answer,
        source="queue",
        state="done",
        reason="",
        priority=1.0,
        opened_at=NOW,
        seat=2,
        verdict="bad",
    )
    desk.store.commit({PROJECT: Writes(reviewed=seal_all(desk.redactor, [other]))})
    desk.say("where is it", "in the post")
    assert "who are you" not in {item.input for item in desk.tried(desk.learn()).exemplars}


def test_enough_corrections_are_learned_by_themselves_and_fewer_once_they_waited(desk: Desk) -> None:
    for number in range(SETTINGS.review.learn_from - 1):
        desk.say(f"new question {number}", f"new answer {number}")
    desk.pass_time(NOW)
    assert not desk.changes()
    desk.say("one more", "the tenth")
    desk.pass_time(NOW + timedelta(hours=1))
    [first] = desk.changes()
    assert first.state == "canary"
    desk.promote(first)
    desk.say("a late one", "alone", at=NOW + timedelta(hours=2))
    desk.pass_time(NOW + timedelta(days=6))
    assert len(desk.changes()) == 1
    desk.pass_time(NOW + timedelta(days=7, hours=3))
    assert len(desk.changes()) == 2


def test_policy_and_setting_decide_whether_it_happens_by_itself_and_who_approves(tmp_path: Path) -> None:
    told: tuple[tuple[str, Settings, list[str]], ...] = (
        ("off", Settings(playbook=Playbook(mode="off"), review=Reviewing(learn_from=1)), []),
        ("zero", Settings(review=Reviewing(learn_from=0)), []),
        ("ask", Settings(playbook=Playbook(ask=("reviewed",)), review=Reviewing(learn_from=1)), ["awaiting"]),
        ("prompt", Settings(playbook=Playbook(actions=("rollback",)), review=Reviewing(learn_from=1)), []),
    )
    for name, settings, states in told:
        (tmp_path / name).mkdir()
        desk = Desk(tmp_path / name, msgspec.structs.replace(settings, canary=SETTINGS.canary))
        desk.say("where is it", "in the post")
        desk.pass_time(NOW)
        assert [change.state for change in desk.changes()] == states, name
        if name == "off":
            assert desk.learn().state == "canary"  # a person's order is one
        if name == "prompt":
            with pytest.raises(Conflict, match="names neither exemplar nor knowledge"):
                desk.learn()
        desk.close()


def test_steps_that_run_again_do_nothing_again(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    desk.say("who are you", "trimtab", drawn=True)
    run_id = derived_id("run", "twice")
    order = Order(
        project_id=PROJECT, run_id=run_id, feature=FEATURE, incident_id="", now=desk.clock.now(), action=REVIEWED
    )
    for _ in range(2):
        for _, step in desk.playbook.steps(order):
            step(order)
            step(order)
    [change] = desk.changes()
    run = desk.store.run(PROJECT, run_id)
    rollout = desk.store.rollout(PROJECT, FEATURE)
    assert run is not None
    assert rollout is not None
    assert (change.state, run.state, [step.name for step in run.steps]) == (
        "canary",
        "done",
        ["gather", "build", "gate", "expose"],
    )
    assert (rollout.revision, len(desk.store.cases(PROJECT, FEATURE))) == (2, len(KNOWN) + 1)


def test_run_that_was_written_down_but_never_started_is_taken_up(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    run = Run(id=derived_id("run", "cut off"), playbook=REVIEWED, feature=FEATURE, state="running", started_at=NOW)
    desk.store.commit({PROJECT: Writes(runs=[run])})
    desk.tick()
    assert [change.state for change in desk.changes()] == ["canary"]


def test_firing_incident_is_answered_by_the_batch(tmp_path: Path) -> None:
    desk = Desk(tmp_path, msgspec.structs.replace(SETTINGS, playbook=Playbook(mode="off")))
    desk.day({"a question": "the right answer"}, answers=240, vote_rate=1.0)
    [incident] = [row.record for row in desk.store.incidents(PROJECT, Query()).rows]
    desk.say("a question", "the right answer", at=desk.clock.now())
    change = desk.learn()
    assert (change.state, change.incident_id) == ("canary", incident.id)
    desk.promote(change)
    found = desk.store.incident(PROJECT, incident.id)
    assert found is not None
    assert found.state == "recovering"
    desk.close()


def test_feature_that_serves_nothing_is_told(desk: Desk) -> None:
    with pytest.raises(NotFound, match="serves nothing yet"):
        desk.learning.order(PROJECT, "other", NOW)
