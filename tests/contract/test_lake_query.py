"""One SQL text, one answer: the engine in a child process, DuckDB, Polars and Spark beside plain Python."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pytest
from arro3.core import Table
from deltalake import DeltaTable

from tests.contract.lake_sample import QUERIES, History, answers, sample
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import LAKE_TABLES
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.lake.views import with_views
from trimtab.store.ports import Stored

Ask = Callable[[str], list[tuple[Any, ...]]]
SEEDS = (1, 2)


@pytest.fixture(scope="module", params=SEEDS)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DeltaLake, History]:
    history = sample(request.param)
    lake = open_lake(tmp_path_factory.mktemp("lake") / "lake", SystemClock())
    parts: list[list[Stored[Any]]] = [list(history.inferences), list(history.feedback), list(history.outcomes)]
    for table, rows in zip(LAKE_TABLES, parts, strict=True):
        middle = len(rows) // 2
        lake.append(table, rows[:middle], after=0)
        lake.append(table, rows[middle:], after=rows[middle - 1].seq)
    return lake, history


def on_datafusion(lake: DeltaLake, folder: Path) -> Iterator[Ask]:
    query = SpawnedQuery(lake, Lake())

    def ask(sql: str) -> list[tuple[Any, ...]]:
        answer = query.run(sql, folder / "answer.parquet")
        rows: list[tuple[Any, ...]] = pl.read_parquet(answer.path).rows()
        assert len(rows) == answer.rows
        return rows

    yield ask


def arrow(lake: DeltaLake, name: str) -> Table:
    return Table.from_arrow(DeltaTable(lake.place.table(name)).scan())


def on_duckdb(lake: DeltaLake, folder: Path) -> Iterator[Ask]:
    engine = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    for name in LAKE_TABLES:
        engine.register(name, arrow(lake, name))
    yield lambda sql: [tuple(row) for row in engine.sql(with_views(sql)).fetchall()]
    engine.close()


def on_polars(lake: DeltaLake, folder: Path) -> Iterator[Ask]:
    frames: dict[str, Any] = {name: pl.DataFrame(arrow(lake, name)) for name in LAKE_TABLES}
    engine = pl.SQLContext(**frames)
    yield lambda sql: engine.execute(with_views(sql), eager=True).rows()


def on_spark(lake: DeltaLake, folder: Path) -> Iterator[Ask]:
    python = os.environ.get("TRIMTAB_SPARK_PYTHON", sys.executable)
    script = Path(__file__).with_name("spark_answers.py")
    asked = {name: with_views(sql) for name, sql in QUERIES.items()}
    # Spark lists a directory as if every file counted: it is told the files that the log names.
    files = {name: DeltaTable(lake.place.table(name)).file_uris() for name in LAKE_TABLES}
    request = msgspec.json.encode({"queries": asked, "files": files, "roots": {n: lake.place.table(n) for n in files}})
    done = subprocess.run([python, str(script)], input=request, capture_output=True, check=False, timeout=300)
    if done.returncode == 3:
        pytest.skip(reason=f"Spark does not run here: {done.stdout.decode().strip()}")
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    texts = {sql: name for name, sql in QUERIES.items()}
    yield lambda sql: [tuple(row) for row in told[texts[sql]]]


ENGINES = {"datafusion": on_datafusion, "duckdb": on_duckdb, "polars": on_polars, "spark": on_spark}


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, filled: tuple[DeltaLake, History], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ask, dict[str, list[tuple[Any, ...]]]]]:
    lake, history = filled
    for ask in ENGINES[request.param](lake, tmp_path_factory.mktemp("out")):
        yield ask, answers(history)


@pytest.mark.parametrize("name", QUERIES)
def test_every_engine_answers_as_plain_python_does(
    engine: tuple[Ask, dict[str, list[tuple[Any, ...]]]], name: str
) -> None:
    ask, expected = engine
    found = [tuple(map(plain, row)) for row in ask(QUERIES[name])]
    assert found == [tuple(map(plain, row)) for row in expected[name]]
    assert found  # an empty answer would prove nothing


def plain(value: Any) -> Any:
    """Return a value as all engines write it: whole numbers whole, others to twelve digits."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else round(number, 12)
