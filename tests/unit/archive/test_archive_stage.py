"""The archive stage ships by time and by count, survives what fails, and leaves upkeep behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.errors import Unavailable
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.port import LAKE_TABLES, LakeTable
from trimtab.store.ports import HotStore, Stored, Writes

SETTINGS = Lake(commit_seconds=30.0, commit_rows=10, compact_commits=5)
SECOND = timedelta(seconds=1)


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[HotStore]:
    store = open_sqlite(tmp_path / "hot.db")
    yield store
    store.close()


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    return open_lake(tmp_path / "lake", SystemClock())


def serve(hot: HotStore, number: int) -> None:
    hot.append([a.arrival(a.inference()) for _ in range(number)])


def test_rows_go_after_the_time_or_as_soon_as_there_are_many(hot: HotStore, lake: DeltaLake) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS, inline=True)
    serve(hot, 3)
    assert stage.tick(a.NOW) == 3
    serve(hot, 3)
    assert stage.tick(a.NOW + 5 * SECOND) == 0
    serve(hot, 8)
    assert stage.tick(a.NOW + 6 * SECOND) == 10
    serve(hot, 9)
    assert stage.tick(a.NOW + 6 * SECOND) == 10  # after a full round the next is looked for at once
    assert stage.tick(a.NOW + 6 * SECOND) == 0
    serve(hot, 1)
    assert stage.tick(a.NOW + 30 * SECOND) == 0
    assert stage.tick(a.NOW + 36 * SECOND) == 1
    assert lake.cursor("inferences") == 24
    assert lake.verify("inferences", hot).sound


def test_all_three_streams_are_shipped_and_a_rewritten_outcome_is_a_second_revision(
    hot: HotStore, lake: DeltaLake
) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS, inline=True)
    about = a.inference()
    hot.append([a.arrival(about), a.arrival(a.feedback(inference_id=about.id))])
    hot.commit({"p": Writes(outcomes=[a.outcome(about)])})
    assert stage.tick(a.NOW) == 3
    hot.commit({"p": Writes(outcomes=[a.outcome(about, p_bad=0.0)])})
    assert stage.tick(a.NOW + 60 * SECOND) == 1
    assert [lake.stats(table).rows for table in LAKE_TABLES] == [1, 1, 2]


def test_a_new_stage_goes_on_where_the_lake_stands(hot: HotStore, lake: DeltaLake) -> None:
    serve(hot, 5)
    ArchiveStage(hot, lake, SETTINGS, inline=True).tick(a.NOW)
    serve(hot, 2)
    assert ArchiveStage(hot, lake, SETTINGS, inline=True).tick(a.NOW) == 2
    assert lake.verify("inferences", hot).sound


def test_small_files_become_few_by_themselves_and_old_ones_go(hot: HotStore, lake: DeltaLake) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS, inline=True)
    for commit in range(11):
        serve(hot, 1)
        stage.tick(a.NOW + commit * timedelta(minutes=1))
    assert lake.stats("inferences").files < 6
    folder = Path(lake.place.uri) / "inferences"
    assert len(list(folder.glob("day=*/*.parquet"))) > 10
    keeping = Lake(commit_seconds=1.0, commit_rows=10, compact_commits=1, vacuum_hours=1)
    late = ArchiveStage(hot, lake, keeping, inline=True)
    late.tick(a.NOW)
    late.tick(a.NOW + timedelta(hours=2))
    # Files are told apart by the machine's own time: an hour's retention keeps those of this minute.
    assert len(list(folder.glob("day=*/*.parquet"))) > 10
    assert lake.verify("inferences", hot).sound


def test_in_a_thread_of_its_own_the_rows_are_told_by_a_later_tick(hot: HotStore, lake: DeltaLake) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS)
    serve(hot, 4)
    assert stage.tick(a.NOW) == 0
    stage.close()
    assert stage.tick(a.NOW) == 4
    assert lake.cursor("inferences") == 4
    stage.close()


class Refusing(DeltaLake):
    """A lake whose storage is away while `away` is set."""

    away = True

    def append(self, table: LakeTable, rows: Any, *, after: int) -> int:
        if self.away:
            raise Unavailable("the bucket is away")
        return super().append(table, rows, after=after)


def test_a_lake_that_is_away_is_said_and_tried_again_later(hot: HotStore, tmp_path: Path) -> None:
    plain = open_lake(tmp_path / "lake", SystemClock())
    lake = Refusing(plain.place, plain._tables)
    stage = ArchiveStage(hot, lake, SETTINGS)
    serve(hot, 2)
    stage.tick(a.NOW)
    stage.close()
    assert (stage.failures, stage.last_error) == (1, "the bucket is away")
    lake.away = False
    stage.tick(a.NOW + 9 * SECOND)
    stage.close()
    assert lake.cursor("inferences") == 0  # not before the pause is over
    stage.tick(a.NOW + 10 * SECOND)
    stage.close()
    assert (lake.cursor("inferences"), stage.failures, stage.last_error) == (2, 1, None)


def test_a_turn_that_is_taken_is_waited_for(hot: HotStore, lake: DeltaLake) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS, inline=True)
    serve(hot, 2)
    with lake._tables.turn.taken():
        assert stage.tick(a.NOW) == 0
    assert stage.tick(a.NOW + 5 * SECOND) == 2
    assert stage.failures == 0


def test_rows_of_the_erased_move_the_cursor_and_stay_out(hot: HotStore, lake: DeltaLake) -> None:
    stage = ArchiveStage(hot, lake, SETTINGS, inline=True)
    lake.erase("p", ["gone"])
    hot.append([a.arrival(a.inference(user_id="gone")) for _ in range(3)])
    assert stage.tick(a.NOW) == 3
    assert (lake.cursor("inferences"), lake.stats("inferences").rows) == (3, 0)
    rows: list[Stored[Any]] = hot.inferences_after(0, 10)
    assert len(rows) == 3
    assert lake.verify("inferences", hot).sound
