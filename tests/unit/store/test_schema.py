"""Every stored noun has a column for each of its fields, and comes back as it went in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab import records
from trimtab.ids import new_id
from trimtab.records import Chunk, Payload, Project, RunStep, TopicSurvey
from trimtab.store.codec import Codec, Kind, id_bytes, id_text, json_text, known_ids
from trimtab.store.schema import INFERENCES, NOUNS, Noun

SERVED = a.inference(user_id="u", tags={"b": "1", "a": "2"})
SAMPLES: list[Any] = [
    SERVED,
    a.feedback(),
    a.opinion(a.feedback(), SERVED),
    a.outcome(SERVED),
    a.monitor(),
    a.incident(),
    a.change(),
    a.run(),
    RunStep(name="gather", started_at=a.NOW, ended_at=a.NOW, detail={"n": 1}),
    a.rollout(1),
    a.version(),
    a.case(likeness=0.8, retired_at=a.NOW),
    a.case_answer(a.case(), passed=True, judge="j1", opinion="bad", ruling="good", ruled_at=a.NOW),
    a.feature(),
    a.key(origins=["https://app.example"]),
    Project(id="p", created_at=a.NOW),
    a.user(),
    a.calibration(),
    a.audit_item(SERVED, inclusion=0.25),
    a.redaction(1),
    a.patch(chunks=[Chunk(id="c-1")], retrieved=[Chunk(id="c-2", score=0.5)], source_id="doc-1"),
    a.topic(feature="answer", name="Late parcels"),
    a.topic_run(surveys=[TopicSurvey(space="s", said=9, texts=9, topics=1, outliers=3, outlier_share=1 / 3)]),
    a.delivery(feature="answer", sent_at=a.NOW),
    a.review_item(reserved_by="r", reserved_until=a.NOW, verdict="good", minutes=0.5),
    a.review_item(seat=2, referee=True, asked_of="r", p_wrong=0.5, known={"margin": 0.25}, inclusion=0.1),
    a.review_item(source="example", exemplar_id="x_1", doubt_id=new_id(a.NOW), instead_id=new_id(a.NOW), confirms=True),
    a.review_batch(),
    a.review_theme(),
    a.review_link(revoked_at=a.NOW),
    a.work(feature="answer"),
]
NOT_STORED = {
    "CaseResult",
    "Chunk",
    "Correction",
    "DatasetFile",
    "Evidence",
    "Exemplar",
    "GateReport",
    "Knowledge",
    "Message",
    "Profile",
    "Record",
    "Redacted",
    "RedactionPattern",
    "Rule",
    "TopicDay",
    "TopicSurvey",
}


def named(noun: Noun[Any]) -> str:
    return noun.table.name


def test_every_record_is_stored_or_known_to_live_inside_another() -> None:
    found = {name for name in records.__all__ if hasattr(getattr(records, name), "__struct_fields__")}
    assert found - NOT_STORED == {noun.record.__name__ for noun in NOUNS}


@pytest.mark.parametrize("noun", NOUNS, ids=named)
def test_columns_are_the_fields_of_the_record(noun: Noun[Any]) -> None:
    fields = set(noun.record.__struct_fields__) - set(noun.without)
    assert {column.name for column in noun.table.c} == fields | {"seq", "project_id"} | set(noun.extra)


@pytest.mark.parametrize("noun", NOUNS, ids=named)
def test_a_column_may_be_null_exactly_when_its_field_may(noun: Noun[Any]) -> None:
    for column in noun.fields:
        if column.name != "project_id":
            assert column.nullable == (column.name in noun.codec.optional), column.name


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_record_comes_back_from_its_row(sample: Any) -> None:
    codec = next(noun.codec for noun in NOUNS if noun.record is type(sample))
    assert codec.decode(codec.encode(sample)) == sample


def test_kinds_follow_the_types_of_the_fields() -> None:
    kinds = INFERENCES.codec.kinds
    told = {
        name: kinds[name] for name in ("id", "created_at", "feature", "input", "tags", "latency_ms", "input_tokens")
    }
    assert list(told.values()) == [
        Kind.UUID,
        Kind.TIME,
        Kind.TEXT,
        Kind.JSON,
        Kind.JSON,
        Kind.REAL,
        Kind.WHOLE,
    ]
    assert Codec(records.Opinion).kinds["retracted"] is Kind.FLAG
    assert Payload is not None


def test_equal_payloads_have_one_text() -> None:
    assert json_text({"b": 1, "a": [2]}) == json_text({"a": [2], "b": 1}) == '{"a":[2],"b":1}'


def test_ids_are_sixteen_bytes_and_return_in_canonical_form() -> None:
    assert id_text(id_bytes(SERVED.id)) == SERVED.id
    assert known_ids([SERVED.id, "nonsense", "ab", SERVED.id]) == [id_bytes(SERVED.id)]
    with pytest.raises(ValueError, match="UUID"):
        id_bytes("abcd")
