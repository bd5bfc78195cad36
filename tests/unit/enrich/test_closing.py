"""Closing sessions costs what it must: many of them share the reading of their turns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trimtab.enrich.stage import EnrichStage
from trimtab.ids import derived_id
from trimtab.records import Inference, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = ["Where is my parcel?", "Where is the parcel of mine?", "Cancel it."]


def talks(count: int) -> list[Inference]:
    """Return conversations of three turns of one user each."""
    return [
        Inference(
            id=derived_id("answer", str(talk), str(turn)),
            feature="support",
            created_at=NOW + timedelta(minutes=turn),
            input=asked,
            output="Here.",
            session_id=f"talk-{talk}",
            user_id=f"user-{talk}",
        )
        for talk in range(count)
        for turn, asked in enumerate(ASKED)
    ]


def filled(store: HotStore, count: int) -> EnrichStage:
    """Store conversations, and return a stage that has read them but knows none of them any more."""
    store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    store.append([Arrival("p", Redacted(each, "test"), NOW) for each in talks(count)])
    EnrichStage(store).tick(NOW)
    return EnrichStage(store)


def reads_of(monkeypatch: pytest.MonkeyPatch, folder: Path, count: int) -> int:
    """Return how often answers were read while so many sessions closed at once."""
    store = open_sqlite(folder / f"{count}.db")
    stage = filled(store, count)
    asked: list[int] = []
    read = store.inferences

    def listening(project_id: str, inference_ids: Sequence[str]) -> dict[str, Inference]:
        asked.append(len(inference_ids))
        return read(project_id, inference_ids)

    monkeypatch.setattr(store, "inferences", listening)
    assert stage.tick(NOW + timedelta(hours=1)) == count
    store.close()
    assert sum(asked) == count * len(ASKED)
    return len(asked)


def test_sessions_that_close_at_once_are_read_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert reads_of(monkeypatch, tmp_path, 3) == reads_of(monkeypatch, tmp_path, 60)


def test_as_many_sessions_close_as_rows_are_read(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "hot.db")
    count = 800
    stage = filled(store, count)
    later = NOW + timedelta(hours=1)
    store.append([Arrival("p", Redacted(each, "test"), NOW) for each in fresh(700, later)])
    assert store.count_quiet(later - timedelta(minutes=30)) == count
    assert stage.tick(later) == 700 + 700
    assert stage.behind() == {"enrich.sessions": 100}
    assert stage.tick(later) == 100
    store.close()


def fresh(count: int, at: datetime) -> list[Inference]:
    """Return answers of sessions that begin then."""
    return [
        Inference(
            id=derived_id("fresh", str(each)), feature="support", created_at=at, input="Hello", session_id=f"new-{each}"
        )
        for each in range(count)
    ]
