"""The weekly digest comes once, on its day, to those who want it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trimtab.act.digest import DigestStage, last_due
from trimtab.act.wording import worded
from trimtab.config import Digest, NotifyTarget
from trimtab.records import Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query, Writes

MONDAY = datetime(2026, 3, 2, 7, tzinfo=UTC)
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
TARGETS = {
    "team": NotifyTarget(url="https://x.example", on=("digest",)),
    "search": NotifyTarget(url="https://x.example", on=("digest",), features=("search",)),
    "ops": NotifyTarget(url="https://x.example"),
    "off": NotifyTarget(url="https://x.example", on=("digest",), enabled=False),
}


class Composer:
    """Writes down what it was asked for, and says it."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime, Sequence[str] | None]] = []

    def __call__(self, project_id: str, since: datetime, until: datetime, features: Sequence[str] | None) -> list[str]:
        self.asked.append((since, until, features))
        return [f"of {project_id}", f"features {features}"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    opened.commit({"p": Writes(projects=[Project(id="p", created_at=MONDAY - 3 * WEEK)])})
    yield opened
    opened.close()


@pytest.mark.parametrize("weekday", ["monday", "wednesday", "sunday"])
@pytest.mark.parametrize("hour", [0, 7, 23])
def test_the_last_due_moment_is_on_its_day_and_less_than_a_week_ago(weekday: str, hour: int) -> None:
    settings = Digest(weekday=weekday, hour=hour)  # type: ignore[arg-type]
    for step in range(24 * 8):
        now = MONDAY + step * HOUR
        due = last_due(settings, now)
        assert (due.strftime("%A").lower(), due.hour) == (weekday, hour)
        assert timedelta(0) <= now - due < WEEK


def test_each_target_is_told_once_a_week_of_its_own_features(store: HotStore) -> None:
    compose = Composer()
    stage = DigestStage(store, Digest(), TARGETS, compose)
    assert stage.tick(MONDAY + HOUR) == 2
    assert stage.tick(MONDAY + 2 * HOUR) == 0
    assert compose.asked == [(MONDAY - WEEK, MONDAY, None), (MONDAY - WEEK, MONDAY, ("search",))]
    told = {row.record.target: row.record for row in store.deliveries("p", Query()).rows}
    assert sorted(told) == ["search", "team"]
    assert worded(told["search"]) == ("what changed", "of p\nfeatures ('search',)")
    assert stage.tick(MONDAY + WEEK) == 2
    assert len(store.deliveries("p", Query()).rows) == 4


def test_after_a_restart_the_same_week_is_not_told_again_and_a_missed_one_is_made_up_for(store: HotStore) -> None:
    DigestStage(store, Digest(), TARGETS, Composer()).tick(MONDAY)
    again = Composer()
    assert DigestStage(store, Digest(), TARGETS, again).tick(MONDAY + HOUR) == 0
    assert again.asked == []
    assert DigestStage(store, Digest(), TARGETS, again).tick(MONDAY + 3 * WEEK + 50 * HOUR) == 2
    assert again.asked[0][:2] == (MONDAY + 2 * WEEK, MONDAY + 3 * WEEK)


def test_nothing_to_tell_is_not_told_and_a_project_of_today_has_no_week_yet(store: HotStore) -> None:
    assert DigestStage(store, Digest(), TARGETS, lambda *_: []).tick(MONDAY) == 0
    store.commit({"q": Writes(projects=[Project(id="q", created_at=MONDAY)])})
    compose = Composer()
    DigestStage(store, Digest(), {"team": TARGETS["team"]}, compose).tick(MONDAY)
    assert len(compose.asked) == 1


def test_without_targets_nothing_is_composed(store: HotStore) -> None:
    compose = Composer()
    assert DigestStage(store, Digest(), {"ops": TARGETS["ops"]}, compose).tick(MONDAY) == 0
    assert compose.asked == []
