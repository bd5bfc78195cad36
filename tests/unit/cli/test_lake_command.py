"""`trimtab lake`: what it shows, and how it ends."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.contract import hot_store_sample as a
from trimtab.cli import app
from trimtab.clock import SystemClock
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import open_lake
from trimtab.store.ports import Due, PurgedKind

RUN = CliRunner()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose hot store holds five inferences; the lake got the first four in four commits."""
    hot = open_sqlite(tmp_path / "trimtab.db")
    hot.append([a.arrival(a.inference()) for _ in range(5)])
    rows = hot.inferences_after(0, 10)
    hot.close()
    lake = open_lake(tmp_path / "lake", SystemClock())
    for row in rows[:4]:
        lake.append("inferences", [row], after=row.seq - 1)
    return tmp_path


def run(data: Path, *words: str) -> tuple[int, str]:
    told = RUN.invoke(app, ["lake", *words, "--data", str(data)])
    return told.exit_code, told.stdout


def test_status_says_how_far_the_lake_is(data: Path) -> None:
    status, told = run(data, "status", "--json")
    assert status == 0
    assert {name: json.loads(told)[0][name] for name in ("rows", "files", "cursor")} == {
        "rows": 4,
        "files": 4,
        "cursor": 4,
    }
    assert "inferences" in run(data, "status")[1]


def test_status_says_what_the_hot_store_holds_and_what_has_gone(data: Path) -> None:
    hot = open_sqlite(data / "trimtab.db")
    before: dict[PurgedKind, datetime] = {"inferences": a.NOW + timedelta(days=1)}
    hot.purge(hot.purgeable("inferences", Due(before=before, upto={"inferences": 3}), after=0, limit=10))
    hot.close()
    told = json.loads(run(data, "status", "--json")[1])[0]
    assert {name: told[name] for name in ("rows", "hot_rows", "purged_rows")} == {
        "rows": 4,
        "hot_rows": 2,
        "purged_rows": 3,
    }
    assert told["hot_oldest"].startswith("2026-03-01")
    assert "2026-03-01 12:00" in run(data, "status")[1]


def test_compact_and_vacuum_say_what_they_did(data: Path) -> None:
    assert run(data, "compact") == (0, "inferences: 3 files fewer\nfeedback: 0 files fewer\noutcomes: 0 files fewer\n")
    assert run(data, "vacuum")[1].startswith("inferences: 0 files removed")
    assert run(data, "vacuum", "--hours", "0")[1].startswith("inferences: 4 files removed")


def test_verify_is_content_with_a_whole_lake(data: Path) -> None:
    status, told = run(data, "verify")
    assert (status, told.count(" sound")) == (0, 3)


def test_verify_ends_with_one_when_a_row_is_missing(data: Path) -> None:
    lake = open_lake(data / "lake", SystemClock())
    lake.append("inferences", [], after=4)
    lake._tables.writable("inferences").delete("seq = 2")
    status, told = run(data, "verify", "--json")
    assert status == 1
    assert (json.loads(told)[0]["gaps"], json.loads(told)[0]["sound"]) == (1, False)


def test_a_lake_that_another_process_changes_is_said_plainly(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["trimtab.cli.lake"], "_PATIENCE_S", 0.0)
    with open_lake(data / "lake", SystemClock())._tables.turn.taken():
        told = RUN.invoke(app, ["lake", "compact", "--data", str(data)])
    assert told.exit_code == 2
    assert "somebody else is changing the lake now" in told.stderr
