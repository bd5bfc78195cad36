"""A query ends when it should, says why it failed, and leaves nothing behind."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tests.contract import hot_store_sample as a
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.errors import Unavailable
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.lake.views import VIEWS, with_views
from trimtab.store.ports import Stored

SLOW = (
    "SELECT COUNT(*) AS n FROM inferences a CROSS JOIN inferences b CROSS JOIN inferences c CROSS JOIN inferences d "
    "WHERE CONCAT(a.id, b.id, c.id, d.id) = 'x'"
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "answer.parquet"


@pytest.fixture
def query(tmp_path: Path) -> SpawnedQuery:
    lake = open_lake(tmp_path / "lake", SystemClock())
    lake.append("inferences", [Stored(n, "p", a.inference(input="x" * 500)) for n in range(1, 501)], after=0)
    return SpawnedQuery(lake, Lake(query_seconds=60, query_bytes=64 << 20))


def test_a_result_comes_as_each_kind_of_file(query: SpawnedQuery, out: Path) -> None:
    sql = "SELECT seq, id, created_at FROM inferences WHERE seq <= 3 ORDER BY seq"
    assert query.run(sql, out).rows == 3
    assert pl.read_parquet(out).columns == ["seq", "id", "created_at"]
    assert pl.read_ipc(query.run(sql, out.with_suffix(".arrow"), form="arrow").path).height == 3
    lines = query.run(sql, out.with_suffix(".jsonl"), form="jsonl").path.read_bytes().splitlines()
    assert [msgspec.json.decode(line)["seq"] for line in lines] == [1, 2, 3]
    assert [row["seq"] for row in query.rows(sql)] == [1, 2, 3]
    assert sorted(file.name for file in out.parent.iterdir()) == ["answer.arrow", "answer.jsonl", "answer.parquet"]


def test_an_empty_lake_has_every_table_and_view(tmp_path: Path) -> None:
    query = SpawnedQuery(open_lake(tmp_path / "none", SystemClock()), Lake())
    counts = " UNION ALL ".join(f"SELECT '{name}' AS name, COUNT(*) AS n FROM {name}" for name in VIEWS)
    assert {row["name"]: row["n"] for row in query.rows(counts)} == dict.fromkeys(VIEWS, 0)


def test_a_query_that_fails_says_why_and_leaves_the_old_result(query: SpawnedQuery, out: Path) -> None:
    query.run("SELECT seq FROM inferences", out)
    with pytest.raises(Unavailable, match="No field named nothing"):
        query.run("SELECT nothing FROM inferences", out)
    assert pl.read_parquet(out).height == 500
    assert list(out.parent.iterdir()) == [out]


def test_a_query_that_takes_too_long_is_ended(query: SpawnedQuery, out: Path, tmp_path: Path) -> None:
    hurried = SpawnedQuery(query._lake, Lake(query_seconds=2))
    with pytest.raises(Unavailable, match=r"longer than 2 s"):
        hurried.run(SLOW, out)
    assert list(out.parent.iterdir()) == []


def test_a_query_is_cancelled_from_another_thread(query: SpawnedQuery, out: Path) -> None:
    running = query.start(SLOW, out)
    canceller = threading.Timer(0.5, running.cancel)
    canceller.start()
    with running, pytest.raises(Unavailable, match="cancelled"):
        running.wait()
    canceller.join()
    assert running._child.returncode is not None
    assert list(out.parent.iterdir()) == []


def test_a_query_over_its_memory_fails_alone(query: SpawnedQuery, out: Path) -> None:
    wide = "SELECT CONCAT(a.input, b.id) AS t FROM inferences a CROSS JOIN inferences b"
    with pytest.raises(Unavailable, match="Resources exhausted"):
        query.run(f"SELECT COUNT(*) AS n FROM ({wide}) x JOIN ({wide}) y ON x.t = y.t", out)
    assert query.run("SELECT seq FROM inferences", out).rows == 500


@pytest.mark.parametrize("sql", ["", "DROP TABLE inferences", "COPY inferences TO '/x'", "CREATE EXTERNAL TABLE x"])
def test_only_a_select_is_taken(sql: str) -> None:
    with pytest.raises(ValueError, match="expected a query that begins with SELECT or WITH"):
        with_views(sql)
