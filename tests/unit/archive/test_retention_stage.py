"""The retention stage lets go of what is old and safe, keeps what is wanted, and says what it did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from trimtab.archive.retention import RetentionStage, windows
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import SystemClock
from trimtab.config import Lake, Outcomes, Playbook, Retention, Settings
from trimtab.enrich.stage import FEEDBACK_CURSOR, INFERENCE_CURSOR, EnrichStage
from trimtab.records import Exemplar, Feedback, Inference, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.ports import Arrival, Backfill, HotStore, PurgedKind, Query, Stored, Switch, Writes
from trimtab.store.vectors.port import Item
from trimtab.store.vectors.sqlite import open_sqlite_vectors

DAY = timedelta(days=1)
READERS: dict[PurgedKind, list[str]] = {"inferences": [INFERENCE_CURSOR], "feedback": [FEEDBACK_CURSOR]}
SETTINGS = Settings(
    lake=Lake(commit_seconds=1.0),
    retention=Retention(hot_days=10),
    playbook=Playbook(lookback_days=7.0),
    outcome=Outcomes(window_days=7.0),
)


class World:
    """A hot store with its stages, and a day that passes."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS) -> None:
        self.folder = folder
        self.hot: HotStore = open_sqlite(folder / "hot.db")
        self.lake: DeltaLake = open_lake(folder / "lake", SystemClock())
        self.vectors = open_sqlite_vectors(folder / "vectors.db")
        self.enrich = EnrichStage(self.hot, settings)
        self.archive = ArchiveStage(self.hot, self.lake, settings.lake, inline=True)
        self.now = a.NOW
        self.reads = self.ships = True
        self.hot.commit({P: Writes(projects=[Project(id=P, created_at=a.NOW)], features=[a.sealed(a.feature())])})
        self.restart(settings)

    def restart(self, settings: Settings = SETTINGS, *, without_lake: bool = False) -> None:
        shipped = None if without_lake else self.archive.reached
        self.stage = RetentionStage(self.hot, settings, READERS, shipped=shipped, vectors=self.vectors)

    def close(self) -> None:
        self.hot.close()
        self.lake.close()
        self.vectors.close()

    def take(self, *events: Inference | Feedback) -> None:
        sealed: list[Any] = [a.sealed(event) for event in events]
        self.hot.append([Arrival(P, event, self.now) for event in sealed])

    def live(self, days: int = 1) -> None:
        """Let days pass, and every stage do its work on each of them."""
        for _ in range(days):
            self.now += DAY
            while self.reads and self.enrich.tick(self.now):
                pass
            if self.ships:
                self.archive.tick(self.now)
            while self.stage.tick(self.now):
                pass

    def served(self) -> list[str]:
        return [row.record.id for row in self.hot.inferences_after(0, 1000)]

    def said(self) -> list[str]:
        return [row.record.id for row in self.hot.feedback_after(0, 1000)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def word(about: Inference, at: datetime = a.NOW, **fields: Any) -> Feedback:
    return a.feedback(inference_id=about.id, session_id=None, created_at=at, **fields)


def test_a_row_leaves_when_it_is_old_and_has_been_in_the_lake_for_a_day(world: World) -> None:
    about = a.inference()
    world.take(about, word(about))
    world.live(10)
    assert (len(world.served()), len(world.said())) == (1, 1)
    world.live(1)
    assert (world.served(), world.said()) == ([], [])
    assert list(world.hot.outcomes(P, [about.id])) == [about.id]  # it was judged a day later
    world.live(1)
    assert world.hot.outcomes(P, [about.id]) == {}
    assert [world.lake.stats(table).rows for table in ("inferences", "feedback", "outcomes")] == [1, 1, 1]
    assert [mark.rows for mark in world.hot.purge_marks().values()] == [1, 1, 1]


def test_rows_wait_for_a_lake_that_was_away_and_a_day_more(world: World) -> None:
    world.take(a.inference())
    world.ships = False
    world.live(20)
    assert len(world.served()) == 1
    world.ships = True
    world.live(1)
    assert len(world.served()) == 1
    world.live(1)
    assert world.served() == []


def test_what_the_lake_held_is_remembered_through_restarts(world: World) -> None:
    world.take(a.inference())
    for _ in range(11):
        world.live(1)
        world.restart()
    assert world.served() == []


def test_another_lake_must_have_had_the_rows_for_a_day_too(world: World, tmp_path: Path) -> None:
    world.take(*[a.inference() for _ in range(3)])
    world.live(9)
    world.lake = open_lake(tmp_path / "other", SystemClock())
    world.archive = ArchiveStage(world.hot, world.lake, Lake(commit_seconds=1.0, commit_rows=1), inline=True)
    world.restart()
    world.live(2)  # it holds two rows by then, and has not held them for long
    assert len(world.served()) >= 2
    world.live(5)
    assert world.served() == []
    assert world.lake.stats("inferences").rows == 3


def test_nothing_leaves_a_database_that_was_restored_from_before_the_lake(world: World, tmp_path: Path) -> None:
    ahead = [Stored(place, P, a.inference()) for place in range(1, 6)]  # as the lake had it before the accident
    world.lake.append("inferences", ahead, after=0)
    world.take(*[a.inference() for _ in range(3)])  # counted from 1 again: the lake's cursor is past them
    world.live(20)
    assert len(world.served()) == 3
    assert world.lake.stats("inferences").rows == 5


def test_nothing_leaves_unread(world: World) -> None:
    world.take(a.inference())
    world.reads = False
    world.live(20)
    assert len(world.served()) == 1


def test_rows_stay_for_a_watch_that_has_yet_to_hear_them(world: World) -> None:
    world.take(a.inference())
    asked: list[tuple[list[str], timedelta]] = [(["watch.mature"], timedelta(0))]
    world.stage = RetentionStage(
        world.hot, SETTINGS, READERS, waits_for=lambda _: asked[0], shipped=world.archive.reached
    )
    world.live(9)
    assert len(world.served()) == 1
    world.hot.commit({}, cursors={"watch.mature": 1})
    asked[0] = (["watch.mature"], timedelta(days=20))
    world.live(9)
    assert len(world.served()) == 1
    asked[0] = ([], timedelta(0))
    world.live(3)
    assert world.served() == []


def test_without_a_lake_rows_leave_only_where_that_is_allowed(world: World) -> None:
    world.take(a.inference())
    world.restart(without_lake=True)
    world.live(11)
    assert world.served() == []


@pytest.mark.parametrize(
    "writes",
    [
        Writes(incidents=[a.incident(state="recovering", onset_at=a.NOW, first_signal_at=a.NOW)]),
        Writes(changes=[a.change(state="paused")]),
        Writes(backfills=[Backfill(P, "feature", "answer", a.NOW + 100 * DAY)]),
    ],
    ids=["incident", "change", "backfill"],
)
def test_what_is_open_keeps_the_answers_of_its_feature(world: World, writes: Writes) -> None:
    about, other = a.inference(), a.inference(feature="other")
    world.take(about, other, word(about))
    world.live(1)
    world.hot.commit({P: writes})
    world.reads = False
    world.live(15)
    assert (world.served(), len(world.said())) == ([about.id], 1)


def test_what_was_open_leaves_when_it_is_closed(world: World) -> None:
    held = a.incident(onset_at=a.NOW, first_signal_at=a.NOW)
    world.hot.commit({P: Writes(incidents=[held])})
    world.take(a.inference())
    world.live(15)
    assert len(world.served()) == 1
    world.hot.commit({P: Writes(incidents=[a.incident(id=held.id, state="resolved", resolved_at=world.now)])})
    world.live(1)
    assert world.served() == []


def test_words_that_cases_and_served_exemplars_were_made_from_stay(world: World) -> None:
    judged, shown, plain = (a.inference() for _ in range(3))
    words = [a.correction(about, session_id=None) for about in (judged, shown, plain)]
    world.take(judged, shown, plain, *words)
    example = Exemplar(id="x", input="a", output="b", source_feedback_id=words[1].id)
    version = a.version(exemplars=[example])
    rollout = a.rollout(1, stable_version_id=version.id)
    writes = Writes(
        cases=[a.sealed(a.case(feedback_id=words[0].id))],
        versions=[a.sealed(version)],
        switches=[Switch(rollout, 0)],
    )
    world.hot.commit({P: writes})
    [case] = world.hot.cases(P, "answer")
    world.hot.commit({P: Writes(retired=[(case.id, a.NOW)])})  # it keeps its words, too
    world.live(15)
    assert world.served() == [judged.id, shown.id]
    assert world.said() == [words[0].id, words[1].id]


def test_vectors_leave_with_their_rows(world: World) -> None:
    about = a.inference()
    said = a.correction(about, session_id=None)
    world.take(about, said)
    items = [Item(kind="inference", id=about.id, created_at=a.NOW), Item(kind="feedback", id=said.id, created_at=a.NOW)]
    world.vectors.upsert(P, "space", items, np.eye(2, 4, dtype=np.float32))
    world.live(10)
    assert world.vectors.count(P, "space") == 2
    world.live(1)
    assert world.vectors.count(P, "space") == 0


def test_a_late_word_on_an_answer_that_has_left_waits_its_time_and_is_joined_in_the_lake(
    world: World, tmp_path: Path
) -> None:
    about = a.inference()
    world.take(about)
    world.live(12)
    assert world.served() == []
    late = word(about, at=world.now, user_id="u")
    world.take(late)
    world.live(1)
    assert [row.record.id for row in world.hot.orphans(P, Query()).rows] == [late.id]
    world.live(11)
    assert world.said() == []
    assert world.hot.orphans(P, Query()).rows == []
    asked = SpawnedQuery(world.lake, Lake())
    [row] = asked.rows("SELECT id, thumbs_down FROM judged")
    assert row == {"id": about.id, "thumbs_down": 1}


def test_a_tick_ends_when_its_time_is_up_and_the_walk_goes_on(world: World) -> None:
    world.take(*[a.inference() for _ in range(300)])
    world.live(9)
    world.now += 2 * DAY
    world.archive.tick(world.now)
    ticks = iter(range(10_000))
    world.stage = RetentionStage(
        world.hot,
        SETTINGS,
        READERS,
        shipped=world.archive.reached,
        stopwatch=lambda: float(next(ticks)),
        effort=lambda: float(next(ticks)),
    )
    seen = [world.stage.tick(world.now) for _ in range(6)]
    assert all(0 < each <= 100 for each in seen)  # one lot a tick on a clock that runs a second each time
    assert seen[-1] < seen[0]  # and smaller ones, since each seems to hold the database for a second
    while world.stage.tick(world.now):
        pass
    assert world.served() == []


def test_what_it_looks_for_is_looked_for_once_an_hour(world: World) -> None:
    world.take(a.inference())
    world.live(15)
    assert world.stage.tick(world.now + timedelta(minutes=59)) == 0
    world.take(a.inference(feature="late"))
    assert world.stage.tick(world.now) == 0


def test_windows_are_never_shorter_than_what_stages_read() -> None:
    assert windows(Settings()) == {"inferences": 30 * DAY, "feedback": 30 * DAY, "outcomes": 90 * DAY}
    assert windows(Settings(retention=Retention(hot_days=0))) == {}
    own = Settings(retention=Retention(hot_days=0, feedback_days=3), playbook=Playbook(lookback_days=5.0))
    assert windows(own) == {"feedback": 5 * DAY}
    kept = Settings(retention=Retention(hot_days=40, inferences_days=0, outcomes_days=120))
    assert windows(kept) == {"feedback": 40 * DAY, "outcomes": 120 * DAY}
