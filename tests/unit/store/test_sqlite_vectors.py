"""What only the embedded vector store promises: its file."""

from __future__ import annotations

import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from trimtab.errors import ConfigError, Unavailable
from trimtab.ids import derived_id
from trimtab.store.codec import id_bytes
from trimtab.store.vectors.file import first
from trimtab.store.vectors.port import Item
from trimtab.store.vectors.sqlite import SqliteVectors, open_sqlite_vectors

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_no_byte_of_what_was_erased_is_left_in_the_files(tmp_path: Path) -> None:
    store = open_sqlite_vectors(tmp_path / "vectors.db")
    vectors = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [
        Item(kind="feedback", id=derived_id("x", str(number)), created_at=NOW, user_id=f"person-{number % 100}")
        for number in range(3000)
    ]
    for space in ("a", "b"):
        store.upsert("p", space, items, vectors)
    gone = [number for number in range(3000) if number % 100 == 7]
    assert id_bytes(items[7].id) in bytes_of(tmp_path)
    assert vectors[7].tobytes() in bytes_of(tmp_path)
    store.erase("p", user_ids=["person-7"])
    left = bytes_of(tmp_path)  # while it is open: nothing waits in the log
    for number in gone:
        assert id_bytes(items[number].id) not in left
        assert vectors[number].tobytes() not in left
    assert b"person-" not in left
    assert vectors[8].tobytes() in left
    store.close()


def test_its_file_is_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "vectors.db"
    open_sqlite_vectors(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(ConfigError, match="another program"):
        open_sqlite_vectors(path)


def test_a_file_of_a_newer_trimtab_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    open_sqlite_vectors(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(ConfigError, match="newer Trimtab"):
        open_sqlite_vectors(path)


def test_a_file_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="can be written"):
        open_sqlite_vectors(tmp_path / "file" / "vectors.db")


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "vectors.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(Unavailable, match="not an SQLite database"):
        open_sqlite_vectors(tmp_path / "vectors.db")


def test_a_full_disk_loses_nothing_that_was_acknowledged_and_writing_resumes(tmp_path: Path) -> None:
    store = SqliteVectors(tmp_path / "vectors.db")
    vectors = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [Item(kind="feedback", id=derived_id("x", str(number)), created_at=NOW) for number in range(2000)]
    store.upsert("p", "a", items[:100], vectors[:100])
    with store._file.transaction() as write:
        pages = first(write, "PRAGMA page_count")
        write.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(Unavailable, match="disk is full"):
        store.upsert("p", "a", items, vectors)
    assert store.count("p", "a") == 100
    assert store.nearest("p", "a", vectors[3], 1)[0].id == items[3].id
    with store._file.transaction() as write:
        write.execute("PRAGMA max_page_count = 1000000")
    assert all(store.upsert("p", "a", items, vectors))
    assert store.count("p", "a") == 2000
    store.close()
