"""Signals are functions of the set of turns and opinions: no order, no repetition and no hostile text changes that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import Signals
from trimtab.enrich.signals.abandon import left
from trimtab.enrich.signals.event import done
from trimtab.enrich.signals.likeness import Spelling
from trimtab.enrich.signals.session import heard
from trimtab.enrich.signals.turn import Turn
from trimtab.enrich.signals.wording import tone_of
from trimtab.ids import derived_id
from trimtab.records import Inference, Opinion

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALL = Signals().languages
ASKED = st.sampled_from(
    ["How long is the return period?", "how long is the period of return", "No, I meant sofas", "thanks", "and in red?",
     "thanks, but that's wrong", "das stimmt nicht", "Which bulbs fit?"]
)  # fmt: skip
TURNS = st.lists(
    st.builds(
        lambda seconds, asked, user, error, continues: Turn(
            derived_id(str(seconds)), NOW + timedelta(seconds=seconds), asked, "answer", user, error, continues
        ),
        st.integers(0, 300).map(lambda number: number * 10),
        ASKED,
        st.sampled_from([None, "ada", "bob"]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda turn: turn.inference_id,
)
PIECES = st.sampled_from(
    ["no, ", "that ", "still ", "is ", "wrong", '"', "'", "`", "\u201c", "\u00ab", "```", "\n", ">", ".", "?", "but ",
     "\u0301", "\u0130", "thanks ", "i meant ", "\x00", "\ud800", "(", "e"]
)  # fmt: skip


@given(TURNS, st.randoms(use_true_random=False))
def test_what_is_heard_depends_on_the_set_of_turns_alone(turns: list[Turn], random: Any) -> None:
    shuffled = turns + turns[:2]
    random.shuffle(shuffled)
    for turn in turns:
        signs = heard(turn, turns, Signals(), Spelling())
        assert signs == heard(turn, shuffled, Signals(), Spelling())
        assert len({sign.kind for sign in signs}) == len(signs)
        assert all(sign.about == turn.inference_id != sign.turn_id and sign.at > turn.at for sign in signs)


@given(TURNS, st.randoms(use_true_random=False))
def test_giving_up_depends_on_the_set_of_turns_alone(turns: list[Turn], random: Any) -> None:
    signs = {turn.inference_id: heard(turn, turns, Signals(), Spelling()) for turn in turns}
    shuffled = turns + turns[:2]
    random.shuffle(shuffled)
    sign = left(turns, signs, [], Signals())
    assert sign == left(shuffled, dict(reversed(signs.items())), [], Signals())
    assert sign is None or sign.about == max(turns, key=lambda turn: (turn.at, turn.inference_id)).inference_id


@given(TURNS)
def test_a_later_turn_beyond_the_window_changes_nothing(turns: list[Turn]) -> None:
    late = Turn(derived_id("late"), NOW + timedelta(hours=9), "that's wrong", "answer")
    for turn in turns:
        assert heard(turn, turns, Signals(), Spelling()) == heard(turn, [*turns, late], Signals(), Spelling())


@given(
    st.lists(
        st.tuples(st.sampled_from(["copy", "dwell", "edit", "thumb", "regenerate"]), st.integers(0, 5)), max_size=8
    )
)
def test_what_was_done_depends_on_the_set_of_opinions_alone(said: list[tuple[Any, int]]) -> None:
    answer = Inference(id=derived_id("answer"), feature="f", created_at=NOW, input="a", output="b")
    opinions = [
        Opinion(inference_id=answer.id, feedback_id=derived_id(kind, str(number)), kind=kind, source="user",
                created_at=NOW + timedelta(seconds=number), value=1.0)
        for kind, number in said
    ]  # fmt: skip
    assert done(answer, opinions, {}, Signals()) == done(answer, [*reversed(opinions), *opinions], {}, Signals())


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=200).map("".join), st.integers(0, 2000))
def test_no_text_breaks_the_reading_and_only_its_beginning_counts(text: str, more: int) -> None:
    tone = tone_of(text, ALL)
    assert tone in (None, "objection", "thanks")
    if len(text) > 2400:
        assert tone == tone_of(text + "thanks " * more, ALL)


@settings(max_examples=50)
@given(PIECES, PIECES)
def test_reading_does_no_more_work_on_a_text_a_thousand_times_as_long(one: str, two: str) -> None:
    assert tone_of((one + two) * 2400, ALL) == tone_of((one + two) * 100_000, ALL)
