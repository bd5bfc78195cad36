"""The lake's tables follow the records, forwards and backwards, without rewriting and without a cast."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from deltalake import DeltaTable
from deltalake.schema import PrimitiveType

from tests.contract import hot_store_sample as a
from trimtab.clock import SystemClock
from trimtab.errors import ConfigError
from trimtab.records import Feedback, Inference, Uuid
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import Span
from trimtab.store.lake.schema import LAKE_NOUNS, LakeNoun
from trimtab.store.ports import Stored

NAMES = ("id", "kind", "created_at", "inference_id", "session_id", "user_id", "source", "value", "text")
OLD = msgspec.defstruct(
    "OldFeedback",
    [("id", Uuid), ("kind", str), ("created_at", datetime), *((name, str | None, None) for name in NAMES[3:7]),
     ("value", float | None, None), ("text", str | None, None)],
    kw_only=True,
    frozen=True,
)  # fmt: skip


def old(record: Feedback) -> msgspec.Struct:
    kept: msgspec.Struct = OLD(**{name: getattr(record, name) for name in NAMES})
    return kept


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    return open_lake(tmp_path / "lake", SystemClock())


def read(lake: DeltaLake) -> list[Stored[Feedback]]:
    return sorted((row for batch in lake.read("feedback", Span()) for row in batch), key=lambda row: row.seq)


def test_a_record_that_gains_fields_adds_columns_and_rewrites_nothing(
    lake: DeltaLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = a.feedback(user_id="u"), a.feedback(kind="rating", value=3.0, best=5.0, retracted=True)
    with monkeypatch.context() as patched:
        patched.setitem(LAKE_NOUNS, "feedback", LakeNoun("feedback", OLD))
        lake.append("feedback", [Stored(1, "p", old(before))], after=0)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake/feedback").glob("day=*/*")}
    assert lake.append("feedback", [Stored(2, "p", after)], after=1) == 1
    assert {path: path.stat().st_mtime_ns for path in files} == files
    # What was written before the fields were there reads as their defaults, not as null.
    assert read(lake) == [Stored(1, "p", before), Stored(2, "p", after)]
    lake.compact("feedback")
    assert read(lake) == [Stored(1, "p", before), Stored(2, "p", after)]


def test_an_older_engine_writes_into_a_newer_table(lake: DeltaLake, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = a.feedback(label="x", user_id="u"), a.feedback(user_id="w")
    lake.append("feedback", [Stored(1, "p", first)], after=0)
    with monkeypatch.context() as patched:
        patched.setitem(LAKE_NOUNS, "feedback", LakeNoun("feedback", OLD))
        lake.append("feedback", [Stored(2, "p", old(second))], after=1)
    assert read(lake) == [Stored(1, "p", first), Stored(2, "p", second)]


def test_a_field_of_another_type_is_refused_and_nothing_is_cast(
    lake: DeltaLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("feedback", [Stored(1, "p", a.feedback())], after=0)
    changed = msgspec.defstruct("Changed", [("id", Uuid), ("created_at", datetime), ("value", str)], kw_only=True)
    with monkeypatch.context() as patched:
        patched.setitem(LAKE_NOUNS, "feedback", LakeNoun("feedback", changed))
        row = changed(id=a.feedback().id, created_at=a.NOW, value="much")
        with pytest.raises(ConfigError, match="expected column 'value' of lake table 'feedback' to be 'string'"):
            lake.append("feedback", [Stored(2, "p", row)], after=1)
    assert lake.cursor("feedback") == 1
    types = {field.name: field.type for field in DeltaTable(tmp_path / "lake/feedback").schema().fields}
    assert types["value"] == PrimitiveType("double")


def test_columns_are_the_records_fields_behind_the_place(tmp_path: Path) -> None:
    columns = LAKE_NOUNS["inferences"].columns
    assert list(columns)[:5] == ["seq", "project_id", "day", "created_us", "input_hash"]
    assert list(columns)[5:] == list(Inference.__struct_fields__)


def test_an_inputs_hash_is_the_hot_stores(lake: DeltaLake, tmp_path: Path) -> None:
    hot = open_sqlite(tmp_path / "hot.db")
    try:
        hot.append([a.arrival(a.inference(input={"b": [1, "ü"], "a": None}))])
        lake.append("inferences", hot.inferences_after(0, 10), after=0)
        kept = hot._database.rows(  # type: ignore[attr-defined]
            __import__("sqlalchemy").text("SELECT input_hash FROM inferences")
        )
    finally:
        hot.close()
    reader = DeltaTable(tmp_path / "lake/inferences").scan(columns=["input_hash"])
    assert [batch.column(0).to_pylist() for batch in reader] == [[kept[0][0]]]


def test_the_day_is_the_day_in_utc(lake: DeltaLake, tmp_path: Path) -> None:
    late = datetime.fromisoformat("2026-03-02T01:30:00+02:00")
    lake.append("inferences", [Stored(1, "p", a.inference(created_at=late))], after=0)
    assert [path.name for path in (tmp_path / "lake/inferences").glob("day=*")] == ["day=2026-03-01"]
    assert next(iter(lake.read("inferences", Span())))[0].record.created_at == late.astimezone(UTC)
