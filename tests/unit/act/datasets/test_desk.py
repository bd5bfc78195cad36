"""The desk: sets are ordered, found again after a restart, freed of erased people, deleted."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.act.datasets.world import NOW, PROJECT, World, world
from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.source import HotSource
from trimtab.errors import Conflict, NotFound
from trimtab.ids import derived_id
from trimtab.records import Dataset, Exemplar, Version
from trimtab.redact.wall import seal
from trimtab.store.ports import Query, Writes

WHOLE = {"validation_share": 0.0, "test_share": 0.0}


def texts(made: World, dataset: Dataset) -> set[str]:
    return {row["prompt"][0]["content"] for row in made.rows(dataset)}


def bytes_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def fresh(made: World, dataset: Dataset) -> Dataset:
    found = made.engine.store.dataset(PROJECT, dataset.id)
    assert found is not None
    return found


@pytest.mark.parametrize("by", ["inference", "feedback"])
def test_erased_people_leave_every_set_and_no_byte_of_them_stays(tmp_path: Path, by: str) -> None:
    with world(tmp_path) as made:
        answer, word = made.corrected("a question of somebody secretive", "quite a private truth")
        made.corrected("an ordinary matter")
        made.settle()
        sets = [made.order(kind, **WHOLE) for kind in ("sft", "dpo", "kto")]
        gone: Any = {"inference_ids": [answer]} if by == "inference" else {"feedback_ids": [word]}
        assert made.engine.datasets.erase(PROJECT, **gone) == {
            sets[0].id: 1,
            sets[1].id: 1,
            sets[2].id: 2,
        }
        for before in sets:
            after = fresh(made, before)
            assert texts(made, after) == {"an ordinary matter"}
            assert (after.revised_at, after.erased) == (NOW, 2 if before.kind == "kto" else 1)
            assert after.content_id != before.content_id
            lines = made.lineage(after)
            assert [line["row"] for line in lines] == list(range(len(lines)))
            told = made.manifest(after)
            assert told["erased"] == after.erased
            for file in told["files"]:
                data = (made.folder(after) / file["name"]).read_bytes()
                assert file["sha256"] == hashlib.sha256(data).hexdigest()
        left = bytes_under(tmp_path / "datasets")
        assert b"secretive" not in left
        assert b"private truth" not in left
        assert answer.encode() not in left
        assert made.engine.datasets.erase(PROJECT, **gone) == {}


def test_erasing_the_only_row_leaves_an_empty_set(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        answer, _ = made.corrected("the only question")
        made.settle()
        order = made.order("sft", **WHOLE)
        made.engine.datasets.erase(PROJECT, inference_ids=[answer])
        after = fresh(made, order)
        assert (after.rows, [file.name for file in after.files]) == ({}, ["lineage.jsonl", "manifest.json"])


def test_a_case_leaves_by_its_own_id(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.asked("so that there is such a feature")
        made.settle()
        made.case("one?")
        made.case("two?")
        order = made.order("cases")
        assert made.engine.datasets.erase(PROJECT, case_ids=[derived_id("case", "one?")]) == {order.id: 1}
        assert [row["input"][0]["content"] for row in made.rows(fresh(made, order))] == ["two?"]


class _Paused(HotSource):
    """A source that waits, once it has read everything, until it may go on."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.read = threading.Event()
        self.go_on = threading.Event()

    def told(self, *given: Any) -> Any:
        yield from super().told(*given)
        self.read.set()
        assert self.go_on.wait(30)


def test_who_is_erased_while_a_set_is_built_is_not_in_it(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        answer, _ = made.corrected("a question of somebody secretive")
        made.corrected("an ordinary matter")
        made.settle()
        engine = made.engine
        source = _Paused(engine.store)
        desk = DatasetDesk(engine.store, engine.redactor, lambda: source, tmp_path, engine.clock)
        order = desk.order(PROJECT, DatasetRequest(kind="sft", validation_share=0.0, test_share=0.0))
        assert order.state == "building"
        assert source.read.wait(30)
        worker = desk._thread
        assert worker is not None
        assert desk.erase(PROJECT, inference_ids=[answer]) == {}
        assert desk.building(PROJECT)
        source.go_on.set()
        worker.join(30)
        assert not desk.building(PROJECT)
        assert texts(made, fresh(made, order)) == {"an ordinary matter"}
        assert b"secretive" not in bytes_under(tmp_path / "datasets")


def test_what_was_being_built_when_the_engine_ended_failed_and_its_traces_are_gone(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.corrected("a question")
        made.settle()
        done = made.order("sft", **WHOLE)
        lost = msgspec.structs.replace(done, id=derived_id("lost"), state="building", files=[], path="")
        made.engine.store.commit({PROJECT: Writes(datasets=[lost])})
        for name in (f"{lost.id}/.draft-abc", f"{done.id}/2", f"{derived_id('unknown')}/1"):
            (tmp_path / "datasets" / name).mkdir(parents=True)
            (tmp_path / "datasets" / name / "train.jsonl").write_text("words")
    with world(tmp_path) as made:
        assert fresh(made, lost).state == "failed"
        assert "order anew" in fresh(made, lost).error
        assert texts(made, fresh(made, done)) == {"a question"}
        assert [path.name for path in (tmp_path / "datasets").iterdir()] == [done.id]
        assert [path.name for path in (tmp_path / "datasets" / done.id).iterdir()] == ["1"]


def test_a_deleted_set_is_gone_from_disk_and_lists(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.corrected("a question")
        made.settle()
        order = made.order("sft", **WHOLE)
        made.engine.datasets.delete(PROJECT, order.id)
        assert made.engine.store.datasets(PROJECT, Query()).rows == []
        assert list((tmp_path / "datasets").iterdir()) == []
        with pytest.raises(NotFound):
            made.engine.datasets.file(PROJECT, order.id, "train.jsonl")
        with pytest.raises(NotFound):
            made.engine.datasets.delete(PROJECT, order.id)


@pytest.mark.parametrize("name", ["../../trimtab.db", "/etc/passwd", "scratch", "", "train.jsonl/../manifest.json"])
def test_only_files_of_the_set_itself_are_handed_out(tmp_path: Path, name: str) -> None:
    with world(tmp_path) as made:
        made.corrected("a question")
        made.settle()
        order = made.order("sft", **WHOLE)
        with pytest.raises(NotFound, match="there is"):
            made.engine.datasets.file(PROJECT, order.id, name)


def test_a_set_of_another_project_is_not_found(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.corrected("a question")
        made.settle()
        order = made.order("sft", **WHOLE)
        with pytest.raises(NotFound):
            made.engine.datasets.file("other", order.id, "train.jsonl")


def test_a_set_cannot_be_deleted_while_it_is_built(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.corrected("a question")
        made.settle()
        engine = made.engine
        source = _Paused(engine.store)
        desk = DatasetDesk(engine.store, engine.redactor, lambda: source, tmp_path, engine.clock)
        order = desk.order(PROJECT, DatasetRequest(kind="sft"))
        with pytest.raises(Conflict, match="being built"):
            desk.delete(PROJECT, order.id)
        source.go_on.set()
        desk.close()


def test_a_change_made_from_a_word_is_named_in_the_lineage(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        _, word = made.corrected("a question")
        made.settle()
        change = derived_id("change")
        version = Version(
            feature="support",
            created_at=NOW,
            exemplars=[Exemplar(id="x", input="a", output="b", source_feedback_id=word)],
            change_id=change,
        )
        made.engine.store.commit({PROJECT: Writes(versions=[seal(made.engine.redactor.of(PROJECT), version)])})
        [line] = made.lineage(made.order("sft", **WHOLE))
        assert line["change_ids"] == [change]
        assert json.dumps(line["feedback_ids"]) == json.dumps([word])
