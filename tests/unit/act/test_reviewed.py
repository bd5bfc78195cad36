from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.decisions import Decisions
from trimtab.act.reviewed import ReviewedBatch
from trimtab.errors import Conflict, NotFound
from trimtab.ids import content_id, derived_id
from trimtab.records import Case, Change, Exemplar, Feedback, Inference, Source, Version
from trimtab.redact.wall import seal_all
from trimtab.store.ports import Arrival, Writes

KNOWN = {f"question {number}": f"answer {number}" for number in range(40)}
NOW = START + timedelta(days=2)


class Desk(LoopWorld):
    """A product that knows its questions, and a reviewer who says what is right of single answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        exemplars = [
            Exemplar(id=content_id("e", text.encode()), input=text, output=said) for text, said in KNOWN.items()
        ]
        self.first = self.launch(Version(feature=FEATURE, created_at=START, exemplars=exemplars))
        cases = [
            Case(id=derived_id("golden", text), feature=FEATURE, created_at=START, input=text, expected=said)
            for text, said in KNOWN.items()
        ]
        self.store.commit({PROJECT: Writes(cases=seal_all(self.redactor, cases))})
        self.batch = ReviewedBatch(self.store, self.redactor, SETTINGS, self.playbook.exams)

    def say(self, question: str, right: str, *, source: Source = "reviewer", at: datetime | None = None) -> str:
        """Let somebody correct an answer to the question; return the answer's id."""
        self.count += 1
        inference_id = derived_id("inference", str(self.count))
        at = at or START + timedelta(days=1, minutes=self.count)
        events: list[Inference | Feedback] = [
            Inference(id=inference_id, feature=FEATURE, created_at=at, input=question, output="?", user_id="u"),
            Feedback(
                id=derived_id("right", str(self.count)),
                kind="correction",
                created_at=at,
                inference_id=inference_id,
                user_id="someone",
                source=source,
                text=right,
            ),
        ]
        self.store.append([Arrival(PROJECT, sealed, at) for sealed in seal_all(self.redactor, events)])
        self.clock.set(max(at, NOW))
        while self.tick():
            pass
        return inference_id

    def offer(self, **told: object) -> Change | None:
        return self.batch.offer(PROJECT, FEATURE, NOW, **told)  # type: ignore[arg-type]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_a_reviewer_said_is_tried_at_once_and_without_an_incident(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    change = desk.offer()
    assert change is not None
    assert (change.state, change.incident_id) == ("canary", None)
    rollout = desk.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.candidate_version_id == change.candidate_version_id
    tried = desk.store.version(PROJECT, FEATURE, change.candidate_version_id or "")
    assert tried is not None
    assert desk.runner.answer(tried, ["where is it", "question 3"]) == ["in the post", "answer 3"]
    desk.close()


def test_words_of_users_wait_for_a_reviewer(desk: Desk) -> None:
    desk.say("where is it", "in the post", source="user")
    assert desk.offer() is None
    desk.close()


def test_answers_named_to_judge_become_cases_and_build_nothing(desk: Desk) -> None:
    drawn = desk.say("where is it", "in the post")
    assert desk.offer(judging={drawn}) is None
    assert [case.expected for case in desk.store.cases(PROJECT, FEATURE) if case.feedback_id] == ["in the post"]
    assert desk.offer() is None  # not later either
    desk.close()


def test_batch_that_breaks_what_was_right_reaches_nobody_and_is_not_offered_again(desk: Desk) -> None:
    for text in list(KNOWN)[:20]:
        desk.say(text, "poison")
    change = desk.offer()
    assert change is not None
    assert (change.state, change.exposed_at) == ("blocked", None)
    rollout = desk.store.rollout(PROJECT, FEATURE)
    assert rollout is not None
    assert rollout.candidate_version_id is None
    desk.say("where is it", "in the post")
    assert desk.offer(since=START + timedelta(days=1, minutes=20, seconds=1)) is not None
    desk.close()


def test_later_word_takes_the_place_of_the_earlier_one(desk: Desk) -> None:
    desk.say("Question 7", "another answer now")
    change = desk.offer()
    assert change is not None
    tried = desk.store.version(PROJECT, FEATURE, change.candidate_version_id or "")
    assert tried is not None
    assert [item.output for item in tried.exemplars if item.input.casefold() == "question 7"] == ["another answer now"]
    assert len(tried.exemplars) == len(KNOWN)
    desk.close()


def test_answer_found_out_of_date_changes_in_every_example_and_its_cases_do_not_speak_against_it(desk: Desk) -> None:
    change = desk.offer(renewed={"answer 3": "answer 3 as of today"})
    assert change is not None
    assert change.gate is not None
    assert (change.gate.broken, change.gate.cases) == (0, len(KNOWN) - 1)
    tried = desk.store.version(PROJECT, FEATURE, change.candidate_version_id or "")
    assert tried is not None
    assert desk.runner.answer(tried, ["question 3", "question 4"]) == ["answer 3 as of today", "answer 4"]
    desk.close()


def test_one_change_of_a_feature_at_a_time(desk: Desk) -> None:
    desk.say("where is it", "in the post")
    first = desk.offer()
    assert first is not None
    desk.say("who are you", "trimtab")
    with pytest.raises(Conflict, match="is under way; decide it first"):
        desk.offer()
    Decisions(desk.store, desk.redactor, SETTINGS.canary).promote(PROJECT, first.id, NOW)
    second = desk.offer()
    assert second is not None
    assert second.base_version_id == first.candidate_version_id
    desk.close()


def test_gate_asks_cases_from_feedback_only_as_long_as_their_words_count(desk: Desk) -> None:
    desk.offer(judging={desk.say("where is it", "in the post")})
    desk.say("who are you", "trimtab")
    soon = desk.offer()
    assert soon is not None
    assert soon.gate is not None
    assert soon.gate.cases == len(KNOWN) + 1
    Decisions(desk.store, desk.redactor, SETTINGS.canary).promote(PROJECT, soon.id, NOW)
    late = NOW + timedelta(days=SETTINGS.playbook.lookback_days)
    desk.clock.set(late)
    desk.say("what is new", "a lot", at=late)
    later = desk.batch.offer(PROJECT, FEATURE, late + timedelta(hours=1))
    assert later is not None
    assert later.gate is not None
    assert later.gate.cases == len(KNOWN)
    desk.close()


def test_feature_that_serves_nothing_is_told(desk: Desk) -> None:
    with pytest.raises(NotFound, match="serves nothing yet"):
        desk.batch.offer(PROJECT, "other", NOW)
    desk.close()
