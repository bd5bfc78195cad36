"""A candidate in the shadow: compared with what was served, heard by no verdict, seen by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.judging import fair, judging
from trimtab.act.checks.judge import LlmJudge
from trimtab.act.checks.shadow import Asked, asked_lately, shadow
from trimtab.config import Judge
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Payload, Version, text_of
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BASE = Version(feature="support", created_at=NOW, id="v_base")
CANDIDATE = Version(feature="support", created_at=NOW, id="v_candidate")
CLEANER = Redactor(key=bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    yield opened
    opened.close()


class Saying:
    """Answers each question as told."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        assert version is CANDIDATE
        return [self.answers[text_of(each)] for each in inputs]


def serve(store: HotStore, *told: dict[str, Any]) -> None:
    served: list[Inference | Feedback] = [
        Inference(
            **{
                "id": derived_id("i", str(place)),
                "feature": "support",
                "created_at": NOW + timedelta(seconds=place),
                "input": f"question {place}",
                "output": f"answer {place}",
                "version_id": "v_base",
                "user_id": f"u-{place}",
                **each,
            }
        )
        for place, each in enumerate(told)
    ]
    store.append([Arrival("p", event, NOW) for event in seal_all(CLEANER, served)])


def test_the_newest_questions_are_taken_one_of_each_person_and_none_twice(store: HotStore) -> None:
    serve(
        store,
        {},
        {"user_id": "u-9"},
        {"version_id": "v_other"},
        {"error": "timeout"},
        {"output": None},
        {"input": "question 1"},
        {"user_id": "u-9"},
        {"input": [{"role": "user", "content": "hello"}, {"role": "user", "content": "question 7"}]},
    )
    found = asked_lately(store, "p", BASE, 10)
    assert [text_of(each.question) for each in found] == ["question 7", "question 6", "question 1", "question 0"]
    assert found[0].question == [{"role": "user", "content": "hello"}, {"role": "user", "content": "question 7"}]
    assert len(asked_lately(store, "p", BASE, 2)) == 2


ASKED = [Asked(f"q{place}", served) for place, served in enumerate(["Two days.", "Two whole days.", "Never.", "No."])]
ANSWERS = {"q0": "two  days.", "q1": "In two whole days, I think.", "q2": "right here", "q3": "right"}


def test_without_a_judge_words_are_compared() -> None:
    found = shadow(Saying(ANSWERS), CLEANER, CANDIDATE, ASKED)
    assert (found.n, found.same, found.alike, found.better_share) == (4, 1, 1, None)


def test_a_judge_prefers_in_both_orders_and_what_is_only_longer_is_counted() -> None:
    def lean(data: dict[str, str]) -> str:
        return fair({**data, "expected": "right"})

    with judging(lean) as model:
        judge = LlmJudge(Judge(model="m"), f"{model.url}/v1")
        found = shadow(Saying(ANSWERS), CLEANER, CANDIDATE, ASKED, judge)
        judge.close()
        assert model.minded == 6  # three pairs that differ, each in both orders
    assert (found.same, found.better, found.worse, found.neither, found.better_longer) == (1, 2, 0, 1, 2)
    assert found.better_share is not None
    assert (found.better_share.n, found.better_share.value) == (2, 1.0)
    assert found.better_share.low < 0.5  # of two answers nobody knows


def test_nothing_asked_is_nothing_compared() -> None:
    found = shadow(Saying({}), CLEANER, CANDIDATE, [])
    assert (found.n, found.same) == (0, 0)
