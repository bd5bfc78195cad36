"""One row that raises holds up no other: the rest ends as if it had not come, and once it is mended nothing is left."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_enrich_order import (
    LATER,
    Event,
    FailsSometimes,
    append,
    concluded,
    feedback,
    histories,
    inference,
    store_in,
)
from trimtab.config import Monitoring
from trimtab.detect.stage import DetectStage
from trimtab.detect.watch import Sample, Watch
from trimtab.enrich.hearing import Hearing
from trimtab.enrich.stage import EnrichStage
from trimtab.errors import Unavailable
from trimtab.records import Inference, Opinion, text_of
from trimtab.store.ports import HotStore, Writes

POISON = "\N{SKULL AND CROSSBONES}"


@contextmanager
def stumbling() -> Iterator[None]:
    """Let a signal raise at certain words, in whatever answer it meets them."""
    hints, spoken = Hearing.hints, Hearing._spoken

    def careful(hearing: Hearing, about: Inference, opinions: Sequence[Opinion]) -> Any:
        if POISON in text_of(about.input):
            raise ZeroDivisionError(f"nobody foresaw {about.input!r}")
        return hints(hearing, about, opinions)

    def listening(hearing: Hearing, ids: list[str]) -> Any:
        if any(POISON in text_of(each.input) for each in hearing._read(ids)):
            raise ZeroDivisionError("nobody foresaw this")
        return spoken(hearing, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hearing, "hints", careful)
        patch.setattr(Hearing, "_spoken", listening)
        yield


def poisoned(event: Event) -> Event:
    if isinstance(event.record, Inference):
        return event._replace(record=msgspec.structs.replace(event.record, input=POISON))
    return event


def finish(store: HotStore, rows: int) -> None:
    stage = EnrichStage(store, batch_rows=rows)
    while stage.tick(LATER):
        pass


def straight(events: Sequence[Event]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, store_in(folder) as store:
        append(store, *events)
        finish(store, 5000)
        return concluded(store)


def judged(left: dict[str, Any]) -> dict[str, Any]:
    """Leave out when sessions were last heard of.

    It only rises: a word that stood in another session while its own answer was set aside has been heard there too.
    """
    return {
        key: {name: each._replace(last_at=None) for name, each in value.items()} if key.endswith(" sessions") else value
        for key, value in left.items()
    }


@settings(max_examples=30, deadline=None)
@given(data=st.data(), events=histories())
def test_the_rest_ends_as_without_what_was_set_aside_and_nothing_stays_aside_when_it_is_mended(
    data: st.DataObject, events: list[Event]
) -> None:
    answered = [place for place, event in enumerate(events) if isinstance(event.record, Inference)]
    chosen = data.draw(st.sets(st.sampled_from(answered), min_size=1, max_size=2)) if answered else set()
    events = [poisoned(event) if place in chosen else event for place, event in enumerate(events)]
    with tempfile.TemporaryDirectory() as folder, store_in(folder) as store:
        with stumbling():
            arriving = list(events)
            while arriving:
                lot = data.draw(st.integers(1, len(arriving)))
                append(store, *arriving[:lot])
                del arriving[:lot]
                finish(store, data.draw(st.sampled_from([1, 3, 5000])))
        aside = store.asides()
        assert all(POISON not in row.error and "ZeroDivisionError" in row.error for row in aside)
        names = {(row.project_id, row.record_id) for row in aside}
        if not any(row.kind == "session" for row in aside):
            left = [event for event in events if (event.project_id, event.record.id) not in names]
            assert concluded(store) == straight(left)
        for row in aside:
            store.commit({row.project_id: Writes(aside=[row._replace(again=True)])})
        finish(store, 5000)
        assert store.asides() == []
        assert judged(concluded(store)) == judged(straight(events))


def test_a_row_that_cannot_even_be_read_is_passed_with_a_note_and_the_rest_is_judged(tmp_path: Path) -> None:
    with store_in(str(tmp_path)) as store:
        append(store, *(Event("p", inference(place)) for place in range(4)))
        append(store, *(Event("p", feedback(place, "id", place)) for place in range(4)))
        damage(tmp_path, "UPDATE inferences SET input = '{' WHERE seq = 2")
        damage(tmp_path, "UPDATE feedback SET created_at = 'noon' WHERE seq = 3")
        finish(store, 5000)
        lost = {("inference", inference(1).id), ("feedback", feedback(2, "id", 2).id)}
        # What was said about an answer that cannot be read cannot be joined to it either.
        lost.add(("feedback", feedback(1, "id", 1).id))
        assert {(row.kind, row.record_id) for row in store.asides()} == lost
        ids = [inference(place).id for place in range(4)]
        assert set(store.outcomes("p", [ids[0], ids[3]])) == {ids[0], ids[3]}
        damage(tmp_path, "UPDATE inferences SET input = '\"Where?\"' WHERE seq = 2")
        damage(tmp_path, "UPDATE feedback SET created_at = 1772323200000000 WHERE seq = 3")
        for row in store.asides():
            store.commit({row.project_id: Writes(aside=[row._replace(again=True)])})
        finish(store, 5000)
        assert store.asides() == []
        assert set(store.outcomes("p", ids)) == set(ids)


def damage(folder: Path, statement: str) -> None:
    """Do to the file what a bad sector, or a hand, does."""
    with closing(sqlite3.connect(folder / "trimtab.db", isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_fault_of_every_row_stops_the_stage_instead_of_setting_all_aside(tmp_path: Path) -> None:
    with store_in(str(tmp_path)) as store, stumbling():
        append(store, *(Event("p", inference(place, session_id=str(place), input=POISON)) for place in range(80)))
        stage = EnrichStage(store)
        with pytest.raises(ZeroDivisionError):
            stage.tick(LATER)
        assert len(store.asides()) == 50
        with pytest.raises(ZeroDivisionError):
            stage.tick(LATER)
        assert (len(store.asides()), store.cursor("enrich.inferences")) == (50, 50)


def test_a_full_disk_sets_nothing_aside(tmp_path: Path) -> None:
    with store_in(str(tmp_path)) as store:
        append(store, *(Event("p", inference(place, session_id="s")) for place in range(4)))
        stage = EnrichStage(FailsSometimes(store, [True]))
        with pytest.raises(Unavailable):
            stage.tick(LATER)
        assert store.cursor("enrich.inferences") == 0
        stage.tick(LATER)
        assert (store.asides(), store.cursor("enrich.inferences")) == ([], 4)


def test_a_vote_that_a_monitor_stumbles_over_is_set_aside_and_counted_when_it_is_tried_again(tmp_path: Path) -> None:
    with store_in(str(tmp_path)) as store:
        append(store, *(Event("p", inference(place)) for place in range(5)))
        append(store, *(Event("p", feedback(place, "id", place, user_id=f"user-{place}")) for place in range(5)))
        finish(store, 5000)
        stage = DetectStage(store, Monitoring())
        take = Watch.take

        def careful(watch: Watch, sample: Sample, now: datetime) -> Any:
            if sample.who == "user-2":
                raise ZeroDivisionError
            return take(watch, sample, now)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Watch, "take", careful)
            while stage.tick(LATER):
                pass
        (monitor,) = store.monitors("p", "support")
        (aside,) = store.asides()
        assert (monitor.votes, aside.stage, aside.kind, aside.record_id) == (4, "detect", "outcome", inference(2).id)
        store.commit({"p": Writes(aside=[aside._replace(again=True)])})
        while stage.tick(LATER):
            pass
        (monitor,) = store.monitors("p", "support")
        assert (monitor.votes, store.asides()) == (5, [])
