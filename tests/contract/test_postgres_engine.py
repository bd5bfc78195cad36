"""The whole engine on PostgreSQL: the loop closes there as it does on SQLite, and the settings choose between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from tests.loop import FEATURE, PROJECT, LoopWorld
from tests.postgres import PostgresServer
from trimtab.clock import SetClock
from trimtab.config import Settings, Storage
from trimtab.errors import Conflict
from trimtab.runtime.assemble import assemble
from trimtab.runtime.parts import (
    DATABASE,
    open_store,
)
from trimtab.store.hot.postgres import open_postgres
from trimtab.store.ports import Query

TRUTH = {f"question {number}": f"answer {number}" for number in range(4)}


def test_a_signal_becomes_a_verified_improvement(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.loop.open_sqlite", lambda _: open_postgres(postgres_url))
    world = LoopWorld(tmp_path, seed=1)
    try:
        world.launch()
        for _ in range(21):
            world.day(TRUTH)
            incidents = world.store.incidents(PROJECT, Query()).rows
            if incidents and incidents[0].record.state == "resolved":
                break
        assert [row.record.resolution for row in world.store.incidents(PROJECT, Query()).rows] == ["verified"]
        assert [row.record.state for row in world.store.changes(PROJECT, Query(feature=FEATURE)).rows] == ["verified"]
    finally:
        world.close()


def test_the_engine_keeps_its_rows_where_the_settings_say(
    tmp_path: Path, server: PostgresServer, postgres_url: str
) -> None:
    settings = Settings(storage=Storage(path=str(tmp_path / "one"), url=postgres_url))
    with assemble(settings, clock=SetClock(a.NOW), inline_runs=True) as engine:
        engine.store.append([a.arrival(a.inference())])
        engine.settle()
        beside = open_store(settings)
        assert [project.id for project in beside.projects()] == ["default"]
        beside.close()
        elsewhere = Settings(storage=Storage(path=str(tmp_path / "two"), url=postgres_url))
        with pytest.raises(Conflict, match="another engine"):
            assemble(elsewhere, clock=SetClock(a.NOW), inline_runs=True)
    assert not (tmp_path / "one" / DATABASE).exists()
    assert server.execute(f"SELECT count(*) FROM inferences WHERE project_id = '{P}'", postgres_url) == [(1,)]
