from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from trimtab.config import Signals
from trimtab.enrich.signals.abandon import left
from trimtab.enrich.signals.likeness import Spelling
from trimtab.enrich.signals.session import heard
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.signals.turn import Turn, turn_of
from trimtab.ids import derived_id
from trimtab.records import Inference, Opinion

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = "How long do I have to return a lamp?"
AGAIN = "how long have I got to return a lamp"
OTHER = "Which bulbs fit into it?"


def turn(seconds: float, asked: str, **more: Any) -> Turn:
    at = NOW + timedelta(seconds=seconds)
    return Turn(inference_id=derived_id(str(seconds), asked), at=at, asked=asked, answered="30 days.", **more)


def kinds(*turns: Turn, **settings: Any) -> list[str]:
    return [sign.kind for sign in heard(turns[0], turns, Signals(**settings), Spelling())]


def test_the_same_words_again_are_a_regenerate_with_the_seconds_between() -> None:
    first, again = turn(0, FIRST), turn(20, FIRST.upper())
    (sign,) = heard(first, [again], Signals(), Spelling())
    assert sign == Sign("regenerate", first.inference_id, again.at, 20.0, again.inference_id, None, 1.0)


def test_other_words_for_the_same_are_a_rephrase_with_their_likeness() -> None:
    first, again = turn(0, FIRST), turn(20, AGAIN)
    (sign,) = heard(first, [again], Signals(), Spelling())
    assert (sign.kind, sign.turn_id, sign.x) == ("rephrase", again.inference_id, 1.0)
    assert sign.value == Spelling()([(FIRST, AGAIN)])[0]


@pytest.mark.parametrize(
    ("asked", "kind", "x"), [("No, I meant a sofa.", "objection", 1.0), ("Thanks!", "thanks", 0.0)]
)
def test_words_about_the_answer_name_the_turn_they_were_heard_in(asked: str, kind: str, x: float) -> None:
    first, after = turn(0, FIRST), turn(20, asked)
    (sign,) = heard(first, [after], Signals(), Spelling())
    assert (sign.kind, sign.turn_id, sign.x, sign.at) == (kind, after.inference_id, x, after.at)


def test_an_objection_is_about_the_answer_right_before_it() -> None:
    assert kinds(turn(0, FIRST), turn(20, OTHER), turn(40, "that's wrong")) == []
    assert kinds(turn(20, OTHER), turn(0, FIRST), turn(40, "that's wrong")) == ["objection"]


def test_asking_again_counts_within_the_turns_and_minutes_of_the_window() -> None:
    between = [turn(20, OTHER), turn(30, "and what do they cost?")]
    assert kinds(turn(0, FIRST), *between, turn(40, FIRST)) == ["regenerate"]
    assert kinds(turn(0, FIRST), *between, turn(40, FIRST), turns=2) == []
    assert kinds(turn(0, FIRST), turn(1801, FIRST)) == []


def test_what_no_person_can_have_typed_is_not_heard() -> None:
    assert kinds(turn(0, FIRST), turn(0.5, FIRST)) == []
    assert kinds(turn(0, FIRST), turn(0.5, FIRST), pause_seconds=0.1) == ["regenerate"]


def test_another_user_says_nothing_about_this_ones_answer() -> None:
    assert kinds(turn(0, FIRST, user_id="ada"), turn(20, "that's wrong", user_id="bob")) == []
    assert kinds(turn(0, FIRST, user_id="ada"), turn(20, "that's wrong")) == ["objection"]


def test_an_agents_steps_are_no_turns_and_only_its_last_answer_is_judged() -> None:
    first, step = turn(0, FIRST), turn(5, FIRST, continues=True)
    objection = turn(40, "that's wrong")
    assert kinds(first, step, objection) == []
    assert kinds(step, first, objection) == ["objection"]


def test_a_second_try_after_an_error_may_be_a_programs() -> None:
    assert kinds(turn(0, FIRST, error=True), turn(20, FIRST)) == []
    assert kinds(turn(0, FIRST, error=True), turn(20, AGAIN)) == ["rephrase"]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [("regenerate", FIRST), ("rephrase", AGAIN), ("objection", "that's wrong"), ("thanks", "thanks")],
)
def test_each_kind_can_be_switched_off(kind: str, asked: str) -> None:
    assert kinds(turn(0, FIRST), turn(20, asked)) == [kind]
    assert kinds(turn(0, FIRST), turn(20, asked), **{kind: False}) == []


def given_up(*turns: Turn, opinions: tuple[Opinion, ...] = (), **settings: Any) -> Sign | None:
    chosen = Signals(**settings)
    signs = {each.inference_id: heard(each, turns, chosen, Spelling()) for each in turns}
    return left(turns, signs, opinions, chosen)


def opinion(about: Turn, kind: Any, **more: Any) -> Opinion:
    return Opinion(
        inference_id=about.inference_id, feedback_id=derived_id(kind), kind=kind, source="user", created_at=NOW, **more
    )


def test_leaving_after_answers_in_vain_is_giving_up() -> None:
    last = turn(40, "no, that's wrong again")
    sign = given_up(turn(0, FIRST), turn(20, AGAIN), last)
    assert sign == Sign("abandon", last.inference_id, last.at, 3.0, last.inference_id, None, 1.0)


def test_leaving_after_an_error_is_giving_up() -> None:
    last = turn(0, FIRST, error=True)
    assert given_up(last) == Sign("abandon", last.inference_id, last.at, 1.0, last.inference_id, None, 1.0)


def test_good_abandonment_is_none() -> None:
    assert given_up(turn(0, FIRST)) is None
    assert given_up(turn(0, FIRST), turn(20, OTHER)) is None
    assert given_up(turn(0, FIRST), turn(20, AGAIN)) is None  # the second try may have been the good one
    assert given_up(turn(0, FIRST), turn(20, AGAIN), abandon_after=1) is not None


def test_trouble_that_was_overcome_before_is_none() -> None:
    assert given_up(turn(0, FIRST), turn(20, FIRST), turn(40, AGAIN), turn(60, OTHER), turn(80, "and in red?")) is None


@pytest.mark.parametrize("kind", ["copy", "thumb", "click", "edit", "accept"])
def test_whoever_did_something_with_the_last_answer_did_not_give_up(kind: str) -> None:
    last = turn(0, FIRST, error=True)
    assert given_up(last, opinions=(opinion(last, kind),)) is None
    assert given_up(last, opinions=(opinion(last, kind, retracted=True),)) is not None


def test_having_looked_long_is_no_use() -> None:
    last = turn(0, FIRST, error=True)
    assert given_up(last, opinions=(opinion(last, "dwell", value=30.0),)) is not None


def test_abandonment_can_be_switched_off_and_nothing_is_no_session() -> None:
    assert given_up(turn(0, FIRST, error=True), abandon=False) is None
    assert given_up() is None


def test_a_turn_has_the_users_last_words_and_knows_an_agents_step() -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    inference = Inference(id=derived_id("i"), feature="f", created_at=NOW, input=messages, output="d", error="boom")
    made = turn_of(inference)
    assert (made.asked, made.answered, made.error, made.continues) == ("c", "d", True, False)
    step = msgspec.structs.replace(inference, input=[*messages, {"role": "tool", "content": "42"}])
    assert turn_of(step).continues
