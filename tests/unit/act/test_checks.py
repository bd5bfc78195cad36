"""How an answer is checked: words, patterns that may not end, meaning, and a judge nobody has measured yet."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.act.checks.exam import Checker, Mark
from trimtab.act.checks.pattern import Patterns
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.ids import derived_id
from trimtab.records import Case, CaseAnswer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AGE = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}


@pytest.fixture(scope="module")
def patterns() -> Iterator[Patterns]:
    made = Patterns(limit_s=20)
    yield made
    made.close()


def case(check: Any, expected: str, **more: Any) -> Case:
    return Case(
        id=derived_id("case", check, expected),
        feature="support",
        created_at=NOW,
        input="how long?",
        expected=expected,
        check=check,
        **more,
    )


def passes(patterns: Patterns, held: Case, answer: str, clean: str | None = None) -> bool | None:
    checker = Checker(patterns, embedder=LexicalEmbedder())
    return checker.found([held], [answer], [answer if clean is None else clean])[0]


@pytest.mark.parametrize(
    ("check", "expected", "answer", "passed"),
    [
        ("exact", "Open the  door", " open the door\n", True),
        ("exact", "Open the door", "Open the door now", False),
        ("contains", "THE door", "open the door now", True),
        ("contains", "window", "open the door", False),
        ("similar", "A refund takes five working days.", "Sure! Your refund takes at most five working days.", True),
        ("similar", "A refund takes five working days.", "You can ask for your money back in the app.", False),
        ("similar", "A refund takes five working days.", "", False),
        ("regex", r"^\d+ days$", "14 days", True),
        ("regex", r"^\d+ days$", "fourteen days", False),
        ("json_schema", json.dumps(AGE), '{"age": 7}', True),
        ("json_schema", json.dumps(AGE), 'Here you are: {"age": 7}', False),
        ("json_schema", json.dumps(AGE), '```json\n{"age": 7}\n```', True),
        ("json_schema", json.dumps(AGE), '{"age": -1}', False),
        ("json_schema", json.dumps(AGE), "seven", False),
        ("json_schema", '{"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}', "[1, 2.5]", True),
        ("json_schema", '{"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}', '["1"]', False),
    ],
)
def test_check_means_what_it_says(patterns: Patterns, check: str, expected: str, answer: str, passed: bool) -> None:
    assert passes(patterns, case(check, expected), answer) is passed


def test_words_are_right_in_the_form_they_were_said_or_redacted(patterns: Patterns) -> None:
    held = case("exact", "Write to <EMAIL_1>.")
    assert passes(patterns, held, "Write to help@brisk.example.", "Write to <EMAIL_1>.") is True
    assert passes(patterns, held, "Write to help@brisk.example.") is False


class Turned:
    """Two dimensions: "north" is up, "east" to the right, "between" 45 degrees."""

    space = "turned"

    def embed(self, texts: Any) -> NDArray[np.float32]:
        rows = {"north": (0.0, 1.0), "east": (1.0, 0.0), "between": (0.5**0.5, 0.5**0.5)}
        return np.array([rows[text] for text in texts], dtype=np.float32)


@pytest.mark.parametrize(
    ("answer", "likeness", "passed"),
    [("north", None, True), ("between", None, False), ("between", 0.7, True), ("east", 0.7, False)],
)
def test_an_answer_passes_by_its_meaning_from_the_likeness_on(
    patterns: Patterns, answer: str, likeness: float | None, passed: bool
) -> None:
    checker = Checker(patterns, likeness=0.8, embedder=Turned())
    held = [case("embedding", "north", likeness=likeness), case("exact", "x")]
    assert checker.found(held, [answer, "x"], [answer, "x"]) == [passed, True]


def test_without_an_embedder_or_a_judge_nobody_can_tell(patterns: Patterns) -> None:
    held = [case("embedding", "north"), case("judge", "north")]
    assert Checker(patterns).found(held, ["north"] * 2, ["north"] * 2) == [None, None]


def test_a_pattern_that_is_broken_decides_nothing_and_breaks_nothing(patterns: Patterns) -> None:
    held = [case("regex", "(unclosed"), case("json_schema", "{"), case("regex", "ok")]
    assert Checker(patterns).found(held, ["ok"] * 3, ["ok"] * 3) == [None, None, True]


def test_a_pattern_that_does_not_end_is_given_up_and_the_next_one_is_tried() -> None:
    patterns = Patterns(limit_s=1)
    try:
        began = time.monotonic()
        assert patterns.holds("regex", r"(a+)+$", "a" * 40 + "!") is None
        assert patterns.holds("regex", r"^b$", "b") is True
        assert patterns.holds("json_schema", '{"pattern": "(a+)+$"}', json.dumps("a" * 40 + "!")) is None
        assert time.monotonic() - began < 60  # it would else take years
    finally:
        patterns.close()


@pytest.mark.parametrize(
    ("check", "expected", "fault"),
    [
        ("regex", r"^\d+$", None),
        ("regex", "(unclosed", "unterminated subpattern"),
        ("json_schema", json.dumps(AGE), None),
        ("json_schema", "true", None),
        ("json_schema", "{", "not JSON"),
        ("json_schema", "[]", "is an object"),
        ("json_schema", '{"type": "strng"}', "strng"),
        ("json_schema", '{"$ref": "https://example.com/schema"}', "points to nothing inside the schema"),
        ("json_schema", '{"$ref": "#/$defs/none"}', "points to nothing inside the schema"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told(patterns: Patterns, check: str, expected: str, fault: str | None) -> None:
    found = patterns.fault(check, expected)
    assert (found is None) == (fault is None)
    assert fault is None or fault in str(found)


@pytest.mark.parametrize(
    ("opinion", "believed", "mark"),
    [
        ("good", True, Mark(passed=True)),
        ("bad", True, Mark(passed=False)),
        ("unsure", True, Mark(passed=False, decided=False)),
        ("good", False, Mark(passed=True, decided=False)),
        (None, True, Mark(passed=False, decided=False)),
    ],
)
def test_a_judge_decides_only_where_it_is_believed_and_sure(
    patterns: Patterns, opinion: Any, believed: bool, mark: Mark
) -> None:
    held = case("judge", "Two days.")
    answer = CaseAnswer(
        id=derived_id("a"),
        feature="support",
        case_id=held.id,
        version_id="v",
        runner="r",
        sample=0,
        created_at=NOW,
        output="x",
        opinion=opinion,
    )
    assert Checker(patterns, believed=believed).mark(held, answer) == mark
