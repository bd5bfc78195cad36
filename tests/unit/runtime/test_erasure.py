"""One call removes a person from the whole engine: no byte of theirs is left in any file, and nothing comes back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import household as home
from tests.household import FEATURE, PROJECT, grown, holding, learners, opened, people, send, word
from trimtab.clock import SetClock
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Erasure, Knowledge, Version
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.runtime.workers import Workers
from trimtab.store.erasing import Gone, Removed, person
from trimtab.store.ports import HotStore, Query, Writes

LATER = home.NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    home.filled(folder)
    return folder


@pytest.fixture
def folder(full: Path, tmp_path: Path) -> Path:
    shutil.copytree(full, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def clock() -> SetClock:
    return SetClock(LATER)


@pytest.fixture
def engine(folder: Path, clock: SetClock) -> Iterator[Engine]:
    with opened(folder, clock=clock) as running:
        yield running


def own(number: int) -> list[dict[str, Any]]:
    """Return what one person sent."""
    return [event for event in home.events() if event.get("user_id") == people()[number]]


def test_no_byte_of_the_erased_is_left_in_any_file(engine: Engine, clock: SetClock, folder: Path) -> None:
    builder, judge = learners()
    gone = [builder, judge, *people()[20:24]]
    stays = people()[40]
    before = holding(folder, stays[5:])
    for user in gone:
        files = {Path(name).parts[0] for name in holding(folder, user[5:])}
        assert files == {"trimtab.db", "lake", "spaces"}, "the test looks where nothing is"
        receipt = home.erased(engine, clock, user)
        assert (receipt.state, receipt.problem) == ("done", "")
        assert holding(folder, user[5:]) == []
        assert holding(folder, user) == []
    engine.close()
    assert [holding(folder, user[5:]) for user in gone] == [[]] * len(gone)
    assert {Path(name).parts[0] for name in holding(folder, stays[5:])} == {Path(name).parts[0] for name in before}


def test_the_receipt_says_what_was_removed_where(engine: Engine, clock: SetClock) -> None:
    builder, judge = learners()
    first = home.erased(engine, clock, builder)
    assert first.person == person(PROJECT, builder)
    assert first.finished == ["hot", "versions", "knowledge", "datasets", "vectors", "lake", "spaces"]
    hot, lake = first.removed["hot"], first.removed["lake"]
    # 5 votes, a correction, a note by somebody else, a word on another's answer and another's word on theirs.
    assert (hot["inferences"], hot["feedback"], hot["users"]) == (5, 9, 1)
    assert (lake["inferences"], lake["feedback"]) == (5, 9)
    assert lake["files"] > 0
    assert first.removed["vectors"]["items"] > 0
    assert first.removed["versions"] == {"versions": 1, "exemplars": 1}
    [learned] = [one for one in engine.store.versions(PROJECT, FEATURE) if one.exemplars]
    assert first.notes == [f"version {learned.id} of 'support', served now, goes on without what it learned from them"]
    second = home.erased(engine, clock, judge)
    assert second.removed["hot"]["cases"] == 1
    assert "versions" not in second.removed
    assert [row.record for row in engine.store.erasures(PROJECT, Query()).rows] == [second, first]


def test_what_is_served_goes_on_without_their_exemplars(engine: Engine, clock: SetClock) -> None:
    builder, _ = learners()
    before = engine.store.rollout(PROJECT, FEATURE)
    assert before is not None
    version = engine.store.version(PROJECT, FEATURE, before.stable_version_id)
    assert version is not None
    asked = next(item.input for item in version.exemplars if builder in item.input)
    assert builder[5:] in engine.runner.answer(version, [asked])[0]
    home.erased(engine, clock, builder)
    after = engine.store.rollout(PROJECT, FEATURE)
    assert after is not None
    assert (after.stable_version_id, after.revision) == (before.stable_version_id, before.revision + 1)
    cleaned = engine.store.version(PROJECT, FEATURE, after.stable_version_id)
    assert cleaned is not None
    assert len(cleaned.exemplars) == len(version.exemplars) - 1
    assert builder[5:] not in str(engine.runner.answer(cleaned, [asked]))


def test_knowledge_from_their_words_leaves_a_version_too(engine: Engine, clock: SetClock) -> None:
    said = derived_id("right", derived_id("answer", word(28), "0"))
    theirs = Knowledge(id="k1", text=f"{word(28)} is always told", source_feedback_id=said)
    other = Knowledge(id="k2", text="parcels take two days")
    version = Version(feature=FEATURE, created_at=clock.now(), knowledge=[theirs, other])
    sealed = seal(engine.redactor.of(PROJECT), version)
    engine.store.commit({PROJECT: Writes(versions=[sealed])})
    receipt = home.erased(engine, clock, people()[28])
    assert receipt.removed["versions"]["knowledge"] == 1
    kept = engine.store.version(PROJECT, FEATURE, sealed.record.id)
    assert kept is not None
    assert [item.id for item in kept.knowledge] == ["k2"]


def test_nothing_of_theirs_comes_back(folder: Path, clock: SetClock) -> None:
    number = 21
    user, said = people()[number], word(number)
    with opened(folder, clock=clock) as engine:
        home.erased(engine, clock, user)
        sent = own(number)
        receipt = send(engine, sent)
        assert (receipt.accepted, receipt.duplicates) == (0, 0)
        assert [(one.index, one.code) for one in receipt.rejected] == [(i, "erased") for i in range(len(sent))]
    (folder / "vectors.db").unlink()  # made again from what is stored
    with opened(folder, clock=clock) as engine:
        # Somebody else's late word about it, by its id, by its trace and by its session.
        answer = derived_id("answer", said, "0")
        note = {"type": "feedback", "kind": "comment", "created_at": home.NOW.isoformat(), "text": f"ask {said}"}
        late = [
            {**note, "id": derived_id("late", "id"), "inference_id": answer},
            {**note, "id": derived_id("late", "trace"), "trace_id": derived_id("trace", answer).replace("-", "")},
            {**note, "id": derived_id("late", "session"), "session_id": f"s-{user}"},
            own(22)[0],
        ]
        receipt = send(engine, late)
        assert (receipt.duplicates, [one.code for one in receipt.rejected]) == (1, ["erased"] * 3)
        grown(engine, clock)
        assert engine.store.users(PROJECT, [user]) == {}
        space = engine.vectors.current(PROJECT)
        assert space is not None
        told = {own(number)[2]["id"]: None, derived_id("right", answer): None}
        assert engine.vectors.get(PROJECT, space, "feedback", list(told)) == {}
        assert engine.vectors.get(PROJECT, space, "inference", [answer]) == {}
        assert engine.vectors.count(PROJECT, space) > 0
    assert holding(folder, said) == []


def test_what_they_said_of_another_counts_no_more(engine: Engine, clock: SetClock) -> None:
    number = 30
    neighbour = derived_id("answer", word(number + 1), "2")
    before = engine.store.outcomes(PROJECT, [neighbour])[neighbour]
    assert len(before.evidence) == 2
    home.erased(engine, clock, people()[number])
    after = engine.store.outcomes(PROJECT, [neighbour])[neighbour]
    assert (len(after.evidence), after.voter_id) == (1, people()[number + 1])
    assert engine.store.backfills(10) == []


def test_a_person_nobody_has_heard_of_is_erased_beforehand(engine: Engine, clock: SetClock) -> None:
    receipt = home.erased(engine, clock, "nobody-yet")
    assert (receipt.state, receipt.removed) == ("done", {"hot": {}})
    event = {**own(22)[0], "id": derived_id("new"), "user_id": "nobody-yet"}
    assert [one.code for one in send(engine, [event]).rejected] == ["erased"]


class Stubborn:
    """A place that must be asked more than once."""

    name = "stubborn"

    def __init__(self) -> None:
        self.answers: list[Callable[[], Removed | None]] = [self._fails, self._fails, lambda: None]
        self.seen: list[Gone] = []

    def erase(self, _project_id: str, gone: Gone) -> Removed | None:
        self.seen.append(gone)
        return self.answers.pop(0)() if self.answers else Removed({"rows": 3}, ["a line"])

    @staticmethod
    def _fails() -> Removed | None:
        raise Unavailable("the disk of this place is away")


def test_what_fails_is_told_and_tried_again_until_it_is_done(engine: Engine, clock: SetClock) -> None:
    place = Stubborn()
    engine.erasing.places.insert(0, place)
    asked = engine.erasing.ask(PROJECT, people()[25])
    engine.settle()
    told = engine.store.erasure(PROJECT, asked.id)
    assert told is not None
    assert (told.state, told.problem) == ("working", "the disk of this place is away")
    for _ in range(6):
        grown(engine, clock)
    done = engine.store.erasure(PROJECT, asked.id)
    assert done is not None
    assert (done.state, done.problem, done.removed["stubborn"], done.notes) == ("done", "", {"rows": 3}, ["a line"])
    assert len(place.seen) == 4
    assert len({tuple(gone.inferences) for gone in place.seen}) == 1
    assert (len(place.seen[0].inferences), len(place.seen[0].feedback)) == (5, 9)


def test_a_lake_that_is_written_to_no_more_is_erased_from_as_well(folder: Path, clock: SetClock) -> None:
    with opened(folder, clock=clock, lake=False) as engine:
        receipt = home.erased(engine, clock, people()[26])
    assert receipt.removed["lake"]["inferences"] == 5
    assert holding(folder, word(26)) == []


def test_several_are_erased_while_the_engine_runs(folder: Path) -> None:
    gone = people()[10:13]
    with opened(folder) as engine:
        workers = Workers(engine)
        workers.start()
        try:
            asked = [engine.erasing.ask(PROJECT, user) for user in gone]
            workers.wake()
            found = [engine.erasing.wait(PROJECT, one.id, 60.0) for one in asked]
        finally:
            workers.stop()
    assert [one.state for one in found if isinstance(one, Erasure)] == ["done"] * 3
    assert [holding(folder, user[5:]) for user in gone] == [[]] * 3


def test_a_long_read_holds_the_receipt_back_until_its_pages_are_off_the_disk(folder: Path, clock: SetClock) -> None:
    with opened(folder, clock=clock) as engine:
        reading, ended = threading.Event(), threading.Event()
        store: HotStore = engine.store
        database = store._database  # type: ignore[attr-defined]

        def read() -> None:
            with database.snapshot() as view:
                view.rows(home.anything())
                reading.set()
                ended.wait(60)

        reader = threading.Thread(target=read)
        reader.start()
        assert reading.wait(60)
        asked = engine.erasing.ask(PROJECT, people()[27])
        grown(engine, clock)
        held = store.erasure(PROJECT, asked.id)
        ended.set()
        reader.join()
        assert held is not None
        assert held.state == "working"
        assert "long" in held.problem or "read" in held.problem
        grown(engine, clock)
        done = store.erasure(PROJECT, asked.id)
        assert done is not None
        assert (done.state, done.problem) == ("done", "")
        assert holding(folder, word(27)) == []
