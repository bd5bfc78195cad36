"""The erase stage over the places it is given: what only the lake still holds, and going on after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import NOW, P
from trimtab.archive.erasing import EraseStage
from trimtab.archive.places import LakePlace
from trimtab.clock import SetClock, SystemClock
from trimtab.store.erasing import Gone, Removed
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.ports import HotStore, Stored

CLOCK = SetClock(NOW)


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[HotStore]:
    store = open_sqlite(tmp_path / "hot.db")
    yield store
    store.close()


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    return open_lake(tmp_path / "lake", SystemClock())


def test_what_only_the_lake_still_holds_is_found_removed_and_refused(hot: HotStore, lake: DeltaLake) -> None:
    old = a.inference(user_id="gone", trace_id="0" * 31 + "1")
    note = a.feedback(trace_id="0" * 31 + "1", session_id=None, user_id="other")
    lake.append("inferences", [Stored(1, P, old)], after=0)
    lake.append("feedback", [Stored(1, P, note)], after=0)
    stage = EraseStage(hot, [LakePlace(lake)], CLOCK, finders=[lake.told], inline=True)
    asked = stage.ask(P, "gone")
    stage.tick(NOW)
    done = hot.erasure(P, asked.id)
    assert done is not None
    assert (done.state, done.removed["lake"]) == ("done", {"inferences": 1, "feedback": 1, "files": 2})
    about = a.feedback(inference_id=old.id, session_id=None)
    assert hot.append([a.arrival(one) for one in (note, about)]) == [None, None]


class Slow:
    """A place that needs to be asked again, and notes what it was asked."""

    name = "slow"

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked: list[Gone] = []

    def erase(self, _project_id: str, gone: Gone) -> Removed | None:
        self.asked.append(gone)
        return Removed({"rows": 2}) if len(self.asked) > self.times else None


def test_another_life_goes_on_with_the_places_that_are_left(hot: HotStore) -> None:
    mine = a.inference(user_id="gone")
    hot.append([a.arrival(mine)])
    first, waits = Slow(0), Slow(9)
    first.name = "first"
    stage = EraseStage(hot, [first, waits], CLOCK, inline=True)
    asked = stage.ask(P, "gone")
    stage.tick(NOW)
    held = hot.erasure(P, asked.id)
    assert held is not None
    assert (held.state, held.finished, held.removed["first"]) == ("working", ["hot", "first"], {"rows": 2})
    stage.close()
    again, other = Slow(0), Slow(0)
    again.name = "first"
    later = EraseStage(hot, [again, other], CLOCK, inline=True)
    later.tick(NOW)
    done = hot.erasure(P, asked.id)
    assert done is not None
    assert (done.state, again.asked, other.asked) == ("done", [], [Gone(["gone"], [mine.id], [])])
    assert later.tick(NOW + timedelta(hours=1)) == 0
