"""The enrich stage over a real store: no order, split into ticks or crash changes what it concludes.

Answers share sessions and traces, so that a late one takes over what was said about an earlier one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import Settings
from trimtab.enrich.segments import OVERFLOW
from trimtab.enrich.stage import EnrichStage
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Profile, Project, User
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Backfill, HotStore, Query, Target, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)  # every session is over by then
REDACTOR = Redactor(key=bytes(32))
PROJECTS = ("p", "q")


class Event(NamedTuple):
    project_id: str
    record: Inference | Feedback


def inference(place: int, **more: Any) -> Inference:
    """Return an answer that can be named in every way."""
    named = {
        "feature": "support",
        "input": "Where is it?",
        "external_id": f"message-{place}",
        "trace_id": f"{place + 1:032x}",
        "span_id": f"{place + 1:016x}",
        "user_id": f"asker-{place}",
    }
    return Inference(
        id=derived_id("inference", str(place)), created_at=NOW + timedelta(minutes=place), **{**named, **more}
    )


@st.composite
def answers(draw: st.DrawFn, place: int) -> Inference:
    """Draw an answer that may stand in a session and share a trace with others."""
    said = ["Where is my parcel?", "Where is my parcel now?", "No, I meant the red one.", "Thanks!", "Hm."]
    return inference(
        place,
        feature=draw(st.sampled_from(["support", "support", "title"])),
        input=draw(st.sampled_from(said)),
        session_id=draw(st.sampled_from(["afternoon", "evening", None])),
        trace_id=draw(st.sampled_from([f"{place + 1:032x}", "f" * 32])),
        external_id=draw(st.sampled_from([f"message-{place}", "message", None])),
        error=draw(st.sampled_from([None, None, "boom"])),
        profile=draw(st.sampled_from([None, Profile(plan="pro"), Profile(plan="free", locale="de")])),
    )


def feedback(place: int, name: str, about: int, **more: Any) -> Feedback:
    """Return a word on answer `about`, which it names by `name`."""
    answer = inference(about)
    names: dict[str, dict[str, str | None]] = {
        "id": {"inference_id": answer.id},
        "external": {"external_id": answer.external_id},
        "trace": {"trace_id": answer.trace_id},
        "span": {"trace_id": answer.trace_id, "span_id": answer.span_id},
        "session": {"session_id": "afternoon"},
        "shared": {"trace_id": "f" * 32},
    }
    told: dict[str, Any] = {"kind": "thumb", "value": 0.0, "user_id": "ada", "created_at": NOW, **names[name], **more}
    return Feedback(id=derived_id("feedback", str(place)), **told)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw what could be said: few people and answers, so that words collide; some answers never arrive."""
    places = draw(st.lists(st.integers(0, 4), unique=True, max_size=5))
    events = [Event(draw(st.sampled_from(PROJECTS)), draw(answers(place))) for place in places]
    for place in range(draw(st.integers(1, 10))):
        kind = draw(st.sampled_from(["thumb", "thumb", "correction", "comment", "accept", "copy", "click"]))
        word = feedback(
            place,
            draw(st.sampled_from(["id", "external", "trace", "span", "session", "shared"])),
            draw(st.integers(0, 4)),
            kind=kind,
            value=float(draw(st.booleans())) if kind == "thumb" else None,
            text="Over there." if kind in ("correction", "comment") else None,
            user_id=draw(st.sampled_from(["ada", "ben", None])),
            source=draw(st.sampled_from(["user", "user", "reviewer"])),
            created_at=NOW + timedelta(minutes=draw(st.integers(0, 5))),
            retracted=draw(st.integers(0, 5)) == 0,
        )
        events.append(Event(draw(st.sampled_from(PROJECTS)), word))
    return events


@contextmanager
def store_in(folder: str) -> Iterator[HotStore]:
    store = open_sqlite(Path(folder) / "trimtab.db")
    try:
        if not store.projects():
            store.commit({name: Writes(projects=[Project(id=name, created_at=NOW)]) for name in PROJECTS})
        yield store
    finally:
        store.close()


def append(store: HotStore, *events: Event) -> None:
    store.append([Arrival(project_id, seal(REDACTOR, record), NOW) for project_id, record in events])


def finish(store: HotStore, *, rows: int = 5000) -> None:
    stage = EnrichStage(store, batch_rows=rows)
    while stage.tick(LATER):
        pass


def concluded(store: HotStore) -> dict[str, Any]:
    """Return everything the stage left behind, in a form that can be compared."""
    ids = [inference(place).id for place in range(5)]
    left: dict[str, Any] = {}
    for project_id in PROJECTS:
        outcomes = store.outcomes(project_id, ids)
        orphans = [row.record.id for row in store.orphans(project_id, Query()).rows]
        corrections = [row.record.feedback_id for row in store.corrections(project_id, Query()).rows]
        left[project_id] = (store.opinions(project_id, ids), outcomes, sorted(orphans), sorted(corrections))
        words = store.joined_to(project_id, ids)
        left[f"{project_id} joined"] = {key: sorted(word.id for word in said) for key, said in words.items()}
        left[f"{project_id} sessions"] = store.sessions(project_id, ["afternoon", "evening"])
        left[f"{project_id} segments"] = store.segments(project_id, "support")
    return left


class FailsSometimes:
    """A store whose commit raises when told to, as a full disk would: before anything is written."""

    def __init__(self, store: HotStore, fails: list[bool]) -> None:
        self._store = store
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        if self._fails and self._fails.pop():
            raise Unavailable("the disk is full")
        self._store.commit(writes, cursors=cursors)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), events=histories())
def test_no_order_split_or_crash_changes_what_is_concluded(data: st.DataObject, events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder, store_in(folder) as store:
        append(store, *events)
        finish(store)
        straight = concluded(store)
    shuffled = data.draw(st.permutations(events))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=3))
    arriving = [*shuffled, *repeated]
    fails = data.draw(st.lists(st.booleans(), max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        while True:
            with store_in(folder) as store:  # opened again after each crash
                stage = EnrichStage(FailsSometimes(store, fails), batch_rows=data.draw(st.integers(1, 4)))
                try:
                    while arriving:
                        lot = data.draw(st.integers(1, len(arriving)))
                        append(store, *arriving[:lot])
                        del arriving[:lot]
                        stage.tick(LATER)
                    while stage.tick(LATER):
                        pass
                except Unavailable:
                    continue
                assert concluded(store) == straight
                break


@pytest.mark.parametrize("name", ["id", "external", "trace", "span"])
def test_orphan_is_kept_and_joined_when_its_answer_comes(tmp_path: Path, name: str) -> None:
    word = feedback(0, name, 2)
    with store_in(str(tmp_path)) as store:
        append(store, Event("p", word))
        finish(store)
        assert [row.record.id for row in store.orphans("p", Query()).rows] == [word.id]
        append(store, Event("p", inference(1)), Event("q", inference(2)))
        finish(store)
        assert [row.record.id for row in store.orphans("p", Query()).rows] == [word.id]
    with store_in(str(tmp_path)) as store:
        append(store, Event("p", inference(2)))
        finish(store)
        assert not store.orphans("p", Query()).rows
        outcome = store.outcomes("p", [inference(2).id])[inference(2).id]
        assert (outcome.vote, outcome.voter_id) == (1.0, "ada")
        assert not store.outcomes("q", [inference(2).id])


def test_shared_name_means_the_latest_answer_whenever_it_comes(tmp_path: Path) -> None:
    shared = {"trace_id": "f" * 32, "span_id": None}
    with store_in(str(tmp_path)) as store:
        early, late = inference(1, **shared), inference(3, **shared)
        append(store, Event("p", late))
        finish(store)
        word = msgspec.structs.replace(feedback(0, "trace", 1), trace_id="f" * 32)
        append(store, Event("p", early), Event("p", word))
        finish(store)
        assert list(store.outcomes("p", [early.id, late.id])) == [late.id]
        assert store.resolve("p", [Target("trace", "f" * 32)]) == {Target("trace", "f" * 32): late.id}
    with store_in(str(tmp_path / "late")) as store:
        append(store, Event("p", early), Event("p", word))
        finish(store)
        assert list(store.outcomes("p", [early.id, late.id])) == [early.id]
        append(store, Event("p", late))
        finish(store)
        assert list(store.outcomes("p", [early.id, late.id])) == [late.id]


def test_a_word_on_a_session_is_about_the_answer_that_stood_there(tmp_path: Path) -> None:
    talk = [inference(place, session_id="afternoon") for place in (0, 2, 4)]
    title = inference(3, session_id="afternoon", feature="title")
    word = feedback(0, "session", 0, created_at=NOW + timedelta(minutes=3), feature="support")
    with store_in(str(tmp_path)) as store:
        append(store, Event("p", word))
        finish(store)
        assert [row.record.id for row in store.orphans("p", Query()).rows] == [word.id]
        for late, meant in ((talk[2], talk[2]), (talk[0], talk[0]), (title, talk[0]), (talk[1], talk[1])):
            append(store, Event("p", late))
            finish(store)
            assert store.joined("p", [word.id]) == {word.id: meant.id}
            judged = store.outcomes("p", [each.id for each in (*talk, title)])
            assert [each for each, outcome in judged.items() if outcome.vote is not None] == [meant.id]
        assert not store.orphans("p", Query()).rows


def test_a_word_may_be_read_before_the_answer_that_is_stored_already(tmp_path: Path) -> None:
    talk = [inference(place, session_id="afternoon") for place in range(3)]
    word = feedback(0, "id", 2)
    with store_in(str(tmp_path)) as store:
        append(store, *(Event("p", each) for each in talk), Event("p", word))
        stage = EnrichStage(store, batch_rows=1)
        while stage.tick(LATER):
            pass
        told = concluded(store)
    with store_in(str(tmp_path / "at once")) as store:
        append(store, *(Event("p", each) for each in talk), Event("p", word))
        finish(store)
        assert concluded(store) == told


def test_late_metadata_reaches_the_outcomes_it_touches(tmp_path: Path) -> None:
    answer, other = inference(0), inference(1)
    with store_in(str(tmp_path)) as store:
        append(store, *(Event("p", each) for each in (answer, other, feedback(0, "id", 0), feedback(1, "id", 1))))
        finish(store)
        assert store.outcomes("p", [answer.id])[answer.id].segments == {}
        user = seal(REDACTOR, User(id="asker-0", updated_at=NOW, plan="pro", properties={"team": "blue"}))
        asked = Backfill("p", "user", "asker-0", NOW)
        store.commit({"p": Writes(users=[user], backfills=[asked])})
        finish(store)
        found = store.outcomes("p", [answer.id, other.id])
        assert (found[answer.id].segments, found[other.id].segments) == ({"plan": "pro"}, {})
        assert store.backfills(10) == []


def test_a_grouping_has_a_bounded_number_of_values_and_names_the_rest(tmp_path: Path) -> None:
    limited = msgspec.convert({"segments": {"keys": ["tags.shop"], "values": 3}}, Settings)
    with store_in(str(tmp_path)) as store:
        for place in range(6):
            append(store, Event("p", inference(place, tags={"shop": f"shop-{place}"})))
            append(store, Event("p", feedback(place, "id", place)))
            EnrichStage(store, limited).tick(NOW)
        ids = [inference(place).id for place in range(6)]
        found = store.outcomes("p", ids)
        shops = [found[each].segments["tags.shop"] for each in ids]
        assert shops == ["shop-0", "shop-1", "shop-2", OVERFLOW, OVERFLOW, OVERFLOW]
        assert store.segments("p", "support") == {"tags.shop": [OVERFLOW, "shop-0", "shop-1", "shop-2"]}


def test_a_vote_taken_back_withdraws_its_outcome_once_and_a_new_one_brings_it_back(tmp_path: Path) -> None:
    word = feedback(0, "id", 0)
    back = feedback(1, "id", 0, value=None, retracted=True, created_at=NOW + timedelta(minutes=1))
    again = feedback(2, "id", 0, created_at=NOW + timedelta(minutes=2))
    span = (NOW - timedelta(days=1), NOW + timedelta(days=1))
    with store_in(str(tmp_path)) as store:
        append(store, Event("p", inference(0)), Event("p", word))
        finish(store)
        [row] = store.outcomes_after(0, 10)
        append(store, Event("p", back))
        finish(store)
        finish(store)
        [gone] = store.outcomes_after(row.seq, 10)
        told = gone.record
        assert (told.inference_id, told.withdrawn, told.confidence, told.evidence) == (inference(0).id, True, 0.0, [])
        assert [(each.inferences, each.judged) for each in store.summary("p", "support", *span)] == [(1, 0)]
        append(store, Event("p", again))
        finish(store)
        [here] = store.outcomes_after(gone.seq, 10)
        assert (here.record.withdrawn, here.record.vote) == (False, 1.0)
        assert [(each.inferences, each.judged) for each in store.summary("p", "support", *span)] == [(1, 1)]


def test_own_id_of_the_answer_counts_before_the_trace_of_the_vote(tmp_path: Path) -> None:
    word = msgspec.structs.replace(feedback(0, "external", 2), trace_id=inference(1).trace_id)
    with store_in(str(tmp_path)) as store:
        append(store, Event("p", inference(1)), Event("p", inference(2)), Event("p", word))
        finish(store)
        assert list(store.outcomes("p", [inference(1).id, inference(2).id])) == [inference(2).id]
