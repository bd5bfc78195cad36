from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.client.distance import edit
from trimtab.config import Signals
from trimtab.enrich.signals.edit import distance
from trimtab.enrich.signals.event import done
from trimtab.enrich.signals.sign import Sign
from trimtab.ids import derived_id
from trimtab.records import Chunk, Feedback, Inference, Opinion

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANSWER = Inference(
    id=derived_id("answer"), feature="support", created_at=NOW, input="Where?", output="In the red hall on the left.",
    context=[Chunk(id="plan-7"), Chunk(id="faq/3")],
)  # fmt: skip
ID = derived_id("word")


def signs(
    kind: Any, *, source: Any = "user", settings: Signals | None = None, read: bool = True, **more: Any
) -> list[Sign]:
    value, retracted = more.get("value"), more.get("retracted", False)
    said = Opinion(
        inference_id=ANSWER.id,
        feedback_id=ID,
        kind=kind,
        source=source,
        created_at=NOW,
        value=value,
        retracted=retracted,
    )
    words = Feedback(id=ID, kind=kind, created_at=NOW, inference_id=ANSWER.id, source=source, **more)
    return done(ANSWER, [said], {ID: words} if read else {}, settings or Signals())


@pytest.mark.parametrize(("kind", "x"), [("copy", 0.0), ("regenerate", 1.0), ("rephrase", 1.0), ("abandon", 1.0)])
def test_what_an_app_saw_is_a_sign_that_names_its_feedback(kind: str, x: float) -> None:
    assert signs(kind) == [Sign(kind, ANSWER.id, NOW, None, None, ID, x)]  # type: ignore[arg-type]


def test_dwell_is_kept_and_says_neither() -> None:
    assert signs("dwell", value=12.5) == [Sign("dwell", ANSWER.id, NOW, 12.5, None, ID, 0.5)]


def test_only_a_big_edit_is_a_sign() -> None:
    assert signs("edit", value=0.3) == []
    assert [sign.value for sign in signs("edit", value=0.31)] == [0.31]


def test_the_distance_is_computed_from_the_kept_text_whatever_was_sent() -> None:
    assert signs("edit", value=1.0, text="In the red hall on the right.") == []
    (sign,) = signs("edit", value=0.0, text="Ask at the desk.")
    assert sign.value == distance(str(ANSWER.output), "Ask at the desk.")


def test_a_kept_text_that_was_not_read_leaves_the_number_that_was_sent() -> None:
    assert [sign.value for sign in signs("edit", value=0.8, text="In the red hall.", read=False)] == [0.8]


def test_a_click_counts_when_it_names_a_document_of_the_answer() -> None:
    assert [sign.x for sign in signs("click", label="faq/3")] == [0.0]
    assert [sign.kind for sign in signs("click", text=" plan-7 ")] == ["click"]
    assert signs("click", label="sign up") == []
    assert signs("click") == []


def test_what_was_taken_back_or_done_by_a_reviewer_is_no_sign() -> None:
    assert signs("copy", retracted=True) == []
    assert signs("copy", source="reviewer") == []
    assert [sign.kind for sign in signs("copy", source="app")] == ["copy"]


def test_words_are_no_signs() -> None:
    assert signs("thumb", value=1) == []
    assert signs("comment", text="nice") == []


@pytest.mark.parametrize("kind", ["copy", "edit", "click", "dwell", "regenerate", "rephrase", "abandon"])
def test_each_kind_can_be_switched_off(kind: str) -> None:
    given_with: dict[str, dict[str, Any]] = {
        "edit": {"value": 0.9},
        "dwell": {"value": 1.0},
        "click": {"label": "faq/3"},
    }
    more = given_with.get(kind, {})
    assert signs(kind, **more) != []
    assert signs(kind, settings=msgspec.structs.replace(Signals(), **{kind: False}), **more) == []


@given(st.text("abc ", max_size=30), st.text("abc ", max_size=30))
def test_distance_is_that_of_the_textbook_and_of_the_sdk(shown: str, kept: str) -> None:
    row = list(range(len(kept) + 1))
    for at, left in enumerate(shown, 1):
        before, row[0] = row[0], at
        for place, right in enumerate(kept, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (left != right))
    expected = row[-1] / max(len(shown), len(kept), 1)
    assert distance(shown, kept) == expected == edit(shown, kept)


def test_long_texts_are_compared_by_words_and_endless_ones_not_at_all() -> None:
    long = " ".join(f"word{number}" for number in range(1500))
    other = " ".join(f"term{number}" for number in range(1500))
    assert distance(long, other) == pytest.approx(1.0, abs=0.001)
    assert distance("a b " * 3000, "c d " * 3000) is None
