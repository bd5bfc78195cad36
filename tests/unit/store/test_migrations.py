"""Files of earlier releases become files of this one, and migrations and declared tables never part."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from tests.contract.hot_store_sample import NOW, P
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.migrations.history import migrations, upgrade
from trimtab.store.ports import Query
from trimtab.store.schema import SCHEMA_VERSION, metadata

FIRST_RELEASE = Path(__file__).with_name("first_release.sql").read_text("utf-8")
SINCE = {1: "", 2: "ALTER TABLE api_keys ADD COLUMN origins TEXT NOT NULL DEFAULT '[]'; PRAGMA user_version = 2;"}
SOURCE = Path(__file__).parents[3] / "src"


def write_release(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_RELEASE + SINCE[version])
    connection.close()


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
    connection.close()
    return found


def shape(path: Path) -> dict[str, Any]:
    """Return each table's columns, without defaults (a migration may need one), and each index, as SQLite has it."""
    connection = sqlite3.connect(path)
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
        if kind == "table":
            rows = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            traits = [word in sql for word in ("AUTOINCREMENT", "WITHOUT ROWID")]
            found[name] = (sorted((row[1], row[2], row[3], row[5]) for row in rows), traits)
        else:
            found[name] = re.sub(r"\s", "", sql)
    connection.close()
    return found


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return int(version)


def test_the_history_is_one_line_and_ends_at_the_schema_version() -> None:
    assert [each.revision for each in migrations()] == [f"{number:04}" for number in range(1, SCHEMA_VERSION + 1)]


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_earlier_release_is_brought_up_to_date_with_every_row(tmp_path: Path, version: int) -> None:
    path = tmp_path / "hot.db"
    write_release(path, version)
    before = contents(path)
    assert all(before.values())
    store = open_sqlite(path)
    try:
        assert [key.origins for key in store.keys(P)] == [[]]
        inference = store.inferences_after(0, 10)[0].record
        assert (inference.created_at, inference.version_id) == (NOW, "v1")
        assert [row.record.corrected for row in store.corrections(P, Query()).rows] == ["it's right"]
        assert store.cursor("enrich") == 7
    finally:
        store.close()
    after = contents(path)
    for name, rows in before.items():
        assert [{column: row[column] for column in rows[0]} for row in after[name]] == rows, name
    assert version_of(path) == SCHEMA_VERSION


def test_an_upgraded_file_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    write_release(tmp_path / "old.db", 1)
    for name in ("old.db", "new.db"):
        open_sqlite(tmp_path / name).close()
    assert shape(tmp_path / "old.db") == shape(tmp_path / "new.db")


def test_declared_tables_are_what_the_migrations_make(tmp_path: Path) -> None:
    path = tmp_path / "migrated.db"
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        upgrade(connection, 0)
    with engine.connect() as connection:
        assert difference(connection) == []
    open_sqlite(tmp_path / "new.db").close()
    assert shape(path) == shape(tmp_path / "new.db")


def test_a_column_that_no_migration_makes_is_found(tmp_path: Path) -> None:
    write_release(tmp_path / "old.db", 1)
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        assert ("add_column", "api_keys", "origins") in [
            (each[0], each[2], each[3].name) for each in difference(connection) if each[0] == "add_column"
        ]


def difference(connection: Connection) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an index over an expression cannot be compared here: shape() does
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def test_of_many_who_open_an_older_file_at_once_each_finds_it_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    write_release(path, 1)

    def keys(_: int) -> int:
        store = open_sqlite(path)
        try:
            return len(store.keys(P))
        finally:
            store.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(keys, range(6))) == [1] * 6


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    write_release(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE api_keys ADD COLUMN origins")  # in the second migration's way
    connection.close()
    before = contents(path)
    with pytest.raises(Exception, match="duplicate column"):
        open_sqlite(path)
    assert contents(path) == before
    assert version_of(path) == 1


def test_a_file_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from trimtab.store.hot.sqlite import open_sqlite\n"
        "for _ in range(2): open_sqlite(Path(sys.argv[1])).close()\n"
        "print('alembic' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "hot.db")],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_of_many_processes_that_open_a_new_file_at_once_each_gets_the_store(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from trimtab.store.hot.sqlite import open_sqlite\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "store = open_sqlite(Path(sys.argv[1])); store.check(); store.close()"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", program, str(tmp_path / "hot.db")]
    each = [
        subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in each:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in each:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in each] == [0] * 4
    assert version_of(tmp_path / "hot.db") == SCHEMA_VERSION
