"""Datasets: which rows there are, in which keys, in which split, and what the manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.act.datasets.world import START, World, world
from trimtab.act.datasets.build import Given, build
from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.source import HotSource
from trimtab.errors import InvalidField, Unavailable
from trimtab.store.ports import Writes

WHOLE = {"validation_share": 0.0, "test_share": 0.0}
USER = [{"role": "user", "content": "how?"}]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_a_correction_gives_one_row_of_each_kind_in_the_keys_that_trl_reads(small: World) -> None:
    small.corrected("how?", "like so")
    small.settle()
    assert small.rows(small.order("sft", **WHOLE)) == [{"prompt": USER, "completion": said("like so")}]
    assert small.rows(small.order("dpo", **WHOLE)) == [
        {"prompt": USER, "chosen": said("like so"), "rejected": said("answer to how?")}
    ]
    assert small.rows(small.order("kto", **WHOLE)) == [
        {"prompt": USER, "completion": said("like so"), "label": True},
        {"prompt": USER, "completion": said("answer to how?"), "label": False},
    ]


def test_a_correction_gives_the_keys_that_openai_reads(small: World) -> None:
    small.corrected("how?", "like so")
    small.settle()
    assert small.rows(small.order("sft", format="openai", **WHOLE)) == [{"messages": [*USER, *said("like so")]}]
    assert small.rows(small.order("dpo", format="openai", **WHOLE)) == [
        {
            "input": {"messages": USER, "tools": [], "parallel_tool_calls": True},
            "preferred_output": said("like so"),
            "non_preferred_output": said("answer to how?"),
        }
    ]


@pytest.mark.parametrize("kind", ["kto", "cases"])
def test_a_kind_that_openai_does_not_know_is_refused(small: World, kind: str) -> None:
    with pytest.raises(InvalidField, match="format"):
        small.order(kind, format="openai")


def test_a_thumb_down_without_words_makes_no_row_to_imitate(small: World) -> None:
    for number in range(5):
        small.said(small.asked(f"question number {number}"), "thumb", value=0)
    small.settle()
    assert small.rows(small.order("sft", **WHOLE)) == []
    assert small.rows(small.order("dpo", **WHOLE)) == []
    assert [row["label"] for row in small.rows(small.order("kto", **WHOLE))] == [False] * 5


@pytest.mark.parametrize("kind", ["copy", "regenerate", "rephrase", "dwell", "abandon", "accept"])
@pytest.mark.parametrize("dataset", ["sft", "dpo", "kto"])
def test_behaviour_makes_no_row(small: World, kind: str, dataset: str) -> None:
    small.said(small.asked("how?"), kind, **({"value": 30.0} if kind == "dwell" else {}))
    small.settle()
    assert small.rows(small.order(dataset, **WHOLE)) == []


@pytest.mark.parametrize(("distance", "reason"), [(0.02, "edit_too_small"), (0.3, None), (0.8, "edit_too_large")])
def test_an_edit_is_a_preference_unless_it_mends_typing_or_rewrites_all(
    small: World, distance: float, reason: str | None
) -> None:
    small.said(small.asked("how?"), "edit", value=distance, text="my own way")
    small.settle()
    made = small.order("dpo", **WHOLE)
    assert [row["chosen"] for row in small.rows(made)] == ([said("my own way")] if reason is None else [])
    assert made.left_out == ({} if reason is None else {reason: 1})


def test_a_correction_stands_above_an_edit_and_the_latest_above_an_earlier_one(small: World) -> None:
    answer, _ = small.corrected("how?", "first")
    small.said(answer, "correction", text="second", user_id="somebody else")
    small.said(answer, "edit", value=0.3, text="edited")
    small.settle()
    assert [row["chosen"] for row in small.rows(small.order("dpo", **WHOLE))] == [said("second")]


def test_votes_that_contradict_each_other_or_an_edit_teach_nothing(small: World) -> None:
    both = small.asked("first question")
    small.said(both, "thumb", value=1)
    small.said(both, "thumb", value=0)
    edited = small.asked("second question")
    small.said(edited, "thumb", value=1)
    small.said(edited, "edit", value=0.3, text="edited")
    small.settle()
    made = small.order("kto", **WHOLE)
    assert (made.rows, made.left_out) == ({}, {"people_disagree": 1, "thumb_up_but_edited": 1})


@pytest.mark.parametrize("lake", [False, True])
def test_a_retracted_word_is_in_no_set(tmp_path: Path, lake: bool) -> None:
    with world(tmp_path, lake=lake) as made:
        answer = made.asked("how?")
        made.said(answer, "correction", text="wrong after all", user_id="u1")
        made.said(answer, "correction", retracted=True, user_id="u1")
        vote = made.asked("and how else?")
        made.said(vote, "thumb", value=1, user_id="u1")
        made.said(vote, "thumb", retracted=True, user_id="u1")
        made.settle()
        assert [made.rows(made.order(kind, **WHOLE)) for kind in ("sft", "dpo", "kto")] == [[], [], []]


def test_words_of_the_app_and_of_models_are_never_learned(small: World) -> None:
    answer = small.asked("how?")
    for source in ("app", "judge"):
        small.said(answer, "correction", text=f"says the {source}", source=source)
    small.settle()
    assert small.rows(small.order("sft", **WHOLE)) == []


def test_only_the_sources_asked_for_are_heard(small: World) -> None:
    answer = small.asked("how?")
    small.said(answer, "correction", text="says a reviewer", source="reviewer")
    small.said(answer, "correction", text="says a user")
    small.settle()
    made = small.order("sft", sources=("reviewer",), **WHOLE)
    assert [row["completion"] for row in small.rows(made)] == [said("says a reviewer")]


def test_conversations_keep_their_turns_and_values_are_always_lists_of_messages(small: World) -> None:
    turns = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": "how is it done?"}]},
    ]
    small.corrected("chat", "like so", input=turns)
    small.corrected("text", "as told", input="another thing entirely")
    small.corrected("fields", "so", input={"question": "a third and different matter"})
    small.settle()
    rows = small.rows(small.order("sft", **WHOLE))
    assert {json.dumps([turn["role"] for turn in row["prompt"]]) for row in rows} == {
        '["system", "user", "assistant", "user"]',
        '["user"]',
    }
    assert "a third and different matter" in {row["prompt"][-1]["content"] for row in rows}
    chat = next(row for row in small.rows(small.order("sft", format="openai", **WHOLE)) if len(row["messages"]) == 5)
    assert [turn.get("weight") for turn in chat["messages"]] == [None, None, 0, None, 1]


@pytest.mark.parametrize(
    "payload",
    [
        [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, {"role": "user", "content": "c"}],
        "   ",
    ],
)
def test_what_is_no_question_in_plain_words_is_left_out_and_counted(small: World, payload: Any) -> None:
    small.corrected("odd", input=payload)
    small.settle()
    assert small.order("sft", **WHOLE).left_out == {"prompt_is_not_plain_text": 1}


def test_of_the_same_question_the_newest_answer_stays(small: World) -> None:
    small.corrected("a", "old truth", input="Where is my order?", day=1)
    small.corrected("b", "new truth", input="where  is my ORDER?", day=2)
    small.settle()
    made = small.order("sft", **WHOLE)
    assert [row["completion"] for row in small.rows(made)] == [said("new truth")]
    assert made.left_out == {"duplicate": 1}


def test_of_votes_on_the_same_answer_to_the_same_question_the_newest_stands(small: World) -> None:
    for day, vote in enumerate((1, 0, 0)):
        small.said(small.asked(f"asked on day {day}", day=day, input="how?", output="so"), "thumb", value=vote)
    small.settle()
    made = small.order("kto", **WHOLE)
    assert [row["label"] for row in small.rows(made)] == [False]
    assert made.left_out == {"duplicate": 1, "newer_vote_says_otherwise": 1}


def test_nearly_the_same_questions_are_one_row(small: World) -> None:
    question = "how do I send back the large blue lamp that I bought in your shop in the old town on the first of"
    for month in ("May", "June", "July"):
        small.corrected(f"{question} {month}")
    small.corrected("what is the meaning of the small red lamp on top of the kettle")
    small.settle()
    made = small.order("sft", **WHOLE)
    assert (made.rows, made.left_out) == ({"train": 2}, {"near_duplicate": 2})


def test_golden_cases_and_what_is_like_them_are_never_learned(small: World) -> None:
    question = "how do I send back the large blue lamp that I bought in your shop in the old town on the first of"
    small.case(f"{question} May")
    small.corrected(f"{question} May")
    small.corrected(f"{question} June")
    small.corrected("something else entirely")
    small.settle()
    for kind in ("sft", "dpo", "kto"):
        made = small.order(kind, **WHOLE)
        twice = 2 if kind == "kto" else 1
        assert made.left_out == {"golden_case": twice, "like_a_golden_case": twice}
    cases = small.rows(small.order("cases"))
    assert [(row["input"][0]["content"], row["expected"]) for row in cases] == [(f"{question} May", "right")]


def test_a_retired_case_is_evaluated_with_no_more_and_still_never_learned(small: World) -> None:
    question = "how do I send back the large blue lamp"
    for asked in (question, "what is open on Sundays"):
        small.case(asked)
    store = small.engine.store
    [first, _] = store.cases("default", "support")
    store.commit({"default": Writes(retired=[(first.id, first.created_at)])})
    small.corrected(question)
    small.settle()
    made = small.order("cases")
    assert [row["input"][0]["content"] for row in small.rows(made)] == ["what is open on Sundays"]
    assert made.left_out == {"retired": 1}
    assert small.order("sft", **WHOLE).left_out == {"golden_case": 1}


def test_a_person_is_in_one_split_and_test_is_the_newest(small: World) -> None:
    small.busy(400)
    small.settle()
    made = small.order("kto", test_share=0.2, validation_share=0.2)
    origin = small.lineage(made)
    store = small.engine.store
    answers = store.inferences("default", [line["inference_id"] for line in origin])
    people: dict[str, set[str]] = {}
    times: dict[str, list[str]] = {}
    for line in origin:
        answer = answers[line["inference_id"]]
        people.setdefault(line["file"], set()).add(answer.user_id or "")
        times.setdefault(line["file"], []).append(f"{answer.created_at:%Y-%m-%d}")
    assert set(people) == {"train.jsonl", "validation.jsonl", "test.jsonl"}
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    cut = small.manifest(made)["split"]["test_from"]
    assert min(times["test.jsonl"]) >= cut > max(times["train.jsonl"] + times["validation.jsonl"])


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto"])
def test_hot_store_and_lake_give_the_same_set_to_the_byte(tmp_path: Path, kind: str) -> None:
    found = []
    for lake in (False, True):
        with world(tmp_path / str(lake), lake=lake) as made:
            made.busy(300)
            made.case("lamp kettle rug desk clock chair shelf mirror sofa 1?")
            made.settle()
            first, again = made.order(kind), made.order(kind)
            assert first.content_id == again.content_id
            assert sum(first.rows.values()) > 50
            found.append((first.content_id, first.rows, first.left_out, [file.sha256 for file in first.files[:-1]]))
    assert found[0] == found[1]


def test_rows_that_were_not_shipped_yet_are_in_the_set(tmp_path: Path) -> None:
    with world(tmp_path, lake=True) as made:
        made.corrected("an old question")
        made.settle()
        made.corrected("a quite different new one")
        made.settle()  # at the same time as before: the archive stage waits for its 30 seconds
        assert made.order("sft", **WHOLE).rows == {"train": 2}


@pytest.mark.parametrize("lake", [False, True])
def test_filters_by_feature_version_time_and_judgement(tmp_path: Path, lake: bool) -> None:
    with world(tmp_path, lake=lake) as made:
        made.corrected("one thing", feature="search", version_id="v1", day=1, model="small")
        made.corrected("another matter", feature="support", version_id="v1", day=2, model="large")
        made.corrected("a third question", feature="support", version_id="v2", day=3, model="small")
        made.settle()

        def questions(**asked: Any) -> list[str]:
            rows = made.rows(made.order("sft", **WHOLE, **asked))
            return sorted(row["prompt"][0]["content"] for row in rows)

        assert questions(features=("search",)) == ["one thing"]
        assert questions(version_ids=("v1",), features=("support",)) == ["another matter"]
        assert questions(since=START + timedelta(days=2)) == ["a third question", "another matter"]
        assert questions(until=START + timedelta(days=2)) == ["one thing"]
        assert questions(segments={"model": "small"}) == ["a third question", "one thing"]
        assert len(questions(min_confidence=0.01)) == 3


def test_the_manifest_counts_explains_and_vouches_for_every_file(small: World) -> None:
    small.busy(200)
    small.settle()
    made = small.order("kto")
    told = small.manifest(made)
    assert told["id"] == made.content_id
    assert {split: sum(rules.values()) for split, rules in told["rows"].items()} == made.rows
    assert told["left_out"] == made.left_out
    for file in told["files"]:
        data = (small.folder(made) / file["name"]).read_bytes()
        assert (file["sha256"], file["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
        assert file["rows"] == len(data.splitlines())
    weights = told["kto_weights"]
    ratio = weights["desirable_weight"] * weights["desirable"]
    assert ratio == pytest.approx(weights["undesirable_weight"] * weights["undesirable"], rel=1e-4)
    words = {one for line in small.lineage(made) for one in line["feedback_ids"]}
    assert words <= set(small.engine.store.feedback("default", sorted(words)))


def test_a_build_that_is_ended_half_way_leaves_nothing(small: World, tmp_path: Path) -> None:
    small.busy(100)
    small.settle()

    def stop(what: str, _done: int) -> None:
        if what == "writing files":
            raise Unavailable("enough")

    given = Given(project_id="default", cases=[], changes={}, rules="r", now=small.engine.clock.now())
    out = tmp_path / "sets" / "one"
    with pytest.raises(Unavailable, match="enough"):
        build(DatasetRequest(kind="kto"), HotSource(small.engine.store), given, out, look=stop)
    assert list(out.parent.iterdir()) == []
