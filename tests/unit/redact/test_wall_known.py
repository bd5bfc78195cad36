"""What an event says about its own user leaves all of its words, and is not kept itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from trimtab.ids import derived_id
from trimtab.records import Chunk, Feedback, Inference, Profile
from trimtab.redact import KnownValue, Redactor
from trimtab.redact.wall import seal, seal_all

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = Profile(plan="pro", locale="de", name="Maria Okafor", email="Maria@Okafor.example", phone="+49 30 1234 5678")


def inference(name: str = "one", **fields: Any) -> Inference:
    return Inference(**{"id": derived_id("i", name), "feature": "support", "created_at": NOW, "input": "", **fields})


def test_known_values_leave_every_word_of_an_inference(strict: Redactor) -> None:
    record = inference(
        input=[{"role": "user", "content": "I am maria  okafor, 030/1234 5678"}],
        output={"to": "MARIA OKAFOR", "Maria Okafor": 1},
        context=[Chunk(id="c1", text="Ticket of Maria Okafor")],
        tags={"owner": "Maria Okafor"},
        error="no account for Maria Okafor",
        profile=PROFILE,
    )
    clean = seal(strict, record).record
    assert "okafor" not in str(clean).lower()
    assert "5678" not in str(clean)
    assert clean.output == {"to": "<NAME>", "<NAME>": 1}
    assert clean.tags == {"owner": "<NAME>"}
    assert clean.context[0].text == "Ticket of <NAME>"
    assert clean.error == "no account for <NAME>"


def test_what_segments_need_is_kept_and_the_rest_of_the_profile_is_gone(strict: Redactor) -> None:
    assert seal(strict, inference(profile=PROFILE)).record.profile == Profile(plan="pro", locale="de")


def test_known_values_leave_the_words_of_feedback(strict: Redactor) -> None:
    record = Feedback(
        id=derived_id("f", "1"), kind="comment", created_at=NOW, inference_id=derived_id("i", "1"),
        text="Maria Okafor was not helped", label="for Maria Okafor", profile=PROFILE,
    )  # fmt: skip
    clean = seal(strict, record).record
    assert (clean.text, clean.label) == ("<NAME> was not helped", "for <NAME>")


def test_one_events_user_is_not_taken_out_of_anothers_words(strict: Redactor) -> None:
    records = [inference("1", input="Maria Okafor, a@b.com"), inference("2", input="Maria Okafor", profile=PROFILE),
               inference("3", input="Maria Okafor again")]  # fmt: skip
    inputs = [sealed.record.input for sealed in seal_all(strict, records)]
    assert inputs == [f"Maria Okafor, {strict.text('a@b.com')}", "<NAME>", "Maria Okafor again"]


@pytest.mark.parametrize("value", ["Jane.Doe@Example.com", "jane.doe@example.com"])
def test_known_address_gets_the_token_of_the_rules(strict: Redactor, value: str) -> None:
    text = "write to jane.doe@example.com, please"
    assert strict.text(text, [KnownValue("email", value)]) == strict.text(text)


@pytest.mark.parametrize(
    "written", ["+49 30 1234 5678", "0049 30 12345678", "030 1234-5678", "(030) 12345678", "+49 (0)30 1234 5678"]
)
def test_known_telephone_gets_one_token_however_it_is_written(strict: Redactor, written: str) -> None:
    known = [KnownValue("phone", "+49 30 12345678")]
    assert strict.text(f"I am at {written} today", known) == f"I am at {strict.text('+49 30 12345678')} today"


def test_known_telephone_is_no_part_of_a_longer_number(strict: Redactor) -> None:
    text = "row 17555267199 of 20"
    assert strict.text(text, [KnownValue("phone", "755526719")]) == strict.text(text)


def test_known_value_outside_of_ascii_is_found_in_any_case(strict: Redactor) -> None:
    assert strict.text("ŁUKASZ żółć is here", [KnownValue("name", "Łukasz Żółć")]) == "<NAME> is here"


def test_known_values_that_are_none_fail_closed(strict: Redactor) -> None:
    redactor = Redactor(key=bytes(32))
    assert redactor.batch(["one", "two"], [None]) == ["<REDACTION_FAILED>"] * 2  # type: ignore[list-item]
    assert redactor.text("one", [None]) == "<REDACTION_FAILED>"  # type: ignore[list-item]
