"""What is stored follows the rules: stricter ones reach back, laxer ones bring nothing back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import NOW, P
from trimtab.enrich.rescan import RescanStage
from trimtab.ids import new_id
from trimtab.records import Exemplar, Inference, Project, RedactionPattern, RedactionSettings, text_of
from trimtab.redact.ner import Found, SecondLook
from trimtab.redact.project import Redactors
from trimtab.redact.wall import seal, seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Switch, Writes

KEY = b"a test key of 32 bytes, not real"
MEMBER = [RedactionPattern(name="member", pattern=r"MB-\d{6}")]


class Names:
    """A detector that knows Jane, unless it is broken."""

    version = "names-1"
    broken = False

    def detect(self, texts: Sequence[str]) -> list[list[Found]]:
        if self.broken:
            raise OSError("no model")
        return [[Found(at, at + 4, "PERSON")] if (at := text.find("Jane")) >= 0 else [] for text in texts]


class World:
    """A store of two projects, its redactors and its re-scan stage, over a stopwatch that a test moves."""

    def __init__(self, folder: Path, *, second: SecondLook | None = None, **limits: Any) -> None:
        self.store: HotStore = open_sqlite(folder / "hot.db")
        if not self.store.projects():
            for name in (P, "q"):
                self.store.commit({name: Writes(projects=[Project(id=name, created_at=NOW)])})
        self.redactors = Redactors(key=KEY, read=self.store.redactions, second=second, remembered_s=0)
        self.now_s = 0.0
        self.stage = RescanStage(self.store, self.redactors, stopwatch=lambda: self.now_s, **limits)

    def set(self, project_id: str = P, **fields: Any) -> None:
        revision = len(self.store.redactions(project_id)) + 1
        settings = RedactionSettings(revision=revision, updated_at=NOW, **fields)
        sealed = seal(self.redactors.of(project_id), settings)
        self.store.commit({project_id: Writes(redactions=[sealed])})

    def serve(self, *texts: str, project_id: str = P) -> list[Inference]:
        rows = [a.inference(id=new_id(NOW), input=text, output="fine", user_id="MB-777777") for text in texts]
        sealed = seal_all(self.redactors.of(project_id), rows)
        self.store.append([Arrival(project_id, one, NOW) for one in sealed])
        return rows

    def settle(self) -> int:
        handled = 0
        while done := self.stage.tick(NOW):
            handled += done
        return handled

    def inputs(self, project_id: str = P) -> list[str]:
        rows = self.store.inferences_after(0, 1000)
        return [text_of(row.record.input) for row in rows if row.project_id == project_id]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_stricter_settings_reach_what_is_stored_and_only_that_project(world: World) -> None:
    served = world.serve("card of MB-123456", "nothing", "MB-654321")
    world.serve("card of MB-123456", project_id="q")
    world.set(extra=MEMBER)
    assert world.settle() >= 3
    assert world.inputs() == ["card of <CUSTOM>", "nothing", "<CUSTOM>"]
    assert world.inputs("q") == ["card of MB-123456"]
    rules = world.redactors.of(P).version
    assert world.store.count_rules(P) == {rules: {"inferences": 3}}
    assert next(one for one in world.stage.progress(P) if one.kind == "inferences") == ("inferences", rules, 4, 4, 2)
    kept = world.store.inferences(P, [served[0].id])[served[0].id]
    assert (kept.user_id, kept.created_at, kept.output) == ("MB-777777", served[0].created_at, "fine")
    assert world.settle() == 0


def test_laxer_settings_rewrite_nothing_and_bring_nothing_back(world: World) -> None:
    world.serve("it is 987654321012345", "MB-123456")
    strict = world.redactors.of(P).version
    before = world.inputs()
    assert before[0] == "it is <NUMBER>"
    world.set(mode="lenient")
    world.settle()
    assert world.inputs() == before
    assert world.store.count_rules(P) == {strict: {"inferences": 2}}
    assert all(one.seq >= one.last and one.rewritten == 0 for one in world.stage.progress(P))
    assert world.stage.progress(P)[0].rules != strict


def test_settings_that_are_stricter_in_one_thing_and_laxer_in_another_do_both(world: World) -> None:
    world.serve("it is 987654321012345, MB-123456")
    world.set(mode="lenient", extra=MEMBER)
    world.serve("it is 987654321012345, MB-123456")
    world.settle()
    assert world.inputs() == ["it is <NUMBER>, <CUSTOM>", "it is 987654321012345, <CUSTOM>"]


def test_rows_that_a_late_writer_cleaned_by_old_rules_are_found_too(world: World) -> None:
    old = world.redactors.of(P)
    world.set(extra=MEMBER)
    world.settle()
    late = seal(old, a.inference(input="MB-123456"))
    world.store.append([Arrival(P, late, NOW)])
    world.settle()
    assert world.inputs() == ["<CUSTOM>"]


def test_versions_cases_users_and_feedback_follow_and_a_served_version_is_announced(world: World) -> None:
    cleaner = world.redactors.of(P)
    shown = [Exemplar(id="x1", input="who is MB-123456", output="a member")]
    version = seal(cleaner, a.version(exemplars=shown))
    version_id = version.record.id
    unserved = seal(cleaner, a.version(note="MB-123456", model="other"))
    writes = Writes(
        versions=[version, unserved],
        cases=[seal(cleaner, a.case(input={"q": "MB-123456"}))],
        users=[seal(cleaner, a.user(properties={"card": "MB-123456"}))],
        features=[seal(cleaner, a.feature(description="for MB-123456"))],
        switches=[Switch(a.rollout(1, stable_version_id=version_id), 0)],
    )
    world.store.commit({P: writes})
    said = seal(cleaner, a.feedback(kind="comment", value=None, text="MB-123456", label="MB-123456"))
    world.store.append([Arrival(P, said, NOW)])
    world.set(extra=MEMBER)
    world.settle()
    stored = world.store.version(P, "answer", version_id)
    assert stored is not None
    assert stored.exemplars[0].input == "who is <CUSTOM>"
    assert world.store.cases(P, "answer")[0].input == {"q": "<CUSTOM>"}
    assert world.store.users(P, ["u-1"])["u-1"].properties == {"card": "<CUSTOM>"}
    assert world.store.features(P)[0].description == "for <CUSTOM>"
    told = world.store.feedback(P, [said.record.id])[said.record.id]
    assert (told.text, told.label) == ("<CUSTOM>", "<CUSTOM>")
    rollout = world.store.rollout(P, "answer")
    assert rollout is not None
    assert (rollout.revision, rollout.stable_version_id) == (2, version_id)
    assert world.settle() == 0


def test_a_tick_is_bounded_by_rows_and_by_time(tmp_path: Path) -> None:
    world = World(tmp_path, batch_rows=40)
    world.serve(*[f"MB-{place:06}" for place in range(100)])
    world.set(extra=MEMBER)
    assert world.stage.tick(NOW) == 40
    assert world.inputs().count("<CUSTOM>") == 40
    world.store.close()
    hasty = World(tmp_path, batch_rows=1000, budget_s=-1.0)
    assert hasty.stage.tick(NOW) == 1
    hasty.settle()
    assert set(hasty.inputs()) == {"<CUSTOM>"}
    hasty.store.close()


def test_a_walk_goes_on_after_a_restart_where_it_was(tmp_path: Path) -> None:
    first = World(tmp_path, batch_rows=40)
    first.serve(*[f"MB-{place:06}" for place in range(100)])
    first.set(extra=MEMBER)
    first.stage.tick(NOW)
    first.store.close()
    second = World(tmp_path, batch_rows=40)
    assert second.stage.progress(P)[0][2:] == (40, 100, 40)
    assert second.settle() == 60
    assert second.stage.progress(P)[0][2:] == (100, 100, 100)
    second.store.close()


def test_rows_under_the_rules_of_now_are_passed_over_in_long_looks(tmp_path: Path) -> None:
    world = World(tmp_path, look_rows=10)
    world.serve(*["fine"] * 95)
    world.settle()
    assert world.stage.progress(P)[0][2:] == (95, 95, 0)
    world.store.close()


def test_second_look_reaches_rows_after_they_are_stored(tmp_path: Path) -> None:
    world = World(tmp_path, second=SecondLook(Names()))
    world.serve("ask Jane", "ask jane@example.com")
    assert world.inputs()[0] == "ask Jane"
    world.settle()
    email = world.redactors.of(P).text("jane@example.com")
    assert world.inputs() == ["ask <PERSON>", f"ask {email}"]
    (rules,) = world.store.count_rules(P)
    assert rules.endswith("+names-1")
    world.serve("and Jane")
    world.settle()
    assert world.inputs()[-1] == "and <PERSON>"
    world.store.close()


def test_broken_detector_leaves_rows_waiting_says_so_and_is_tried_again(tmp_path: Path) -> None:
    names = Names()
    world = World(tmp_path, second=SecondLook(names))
    world.serve("ask Jane")
    names.broken = True
    assert world.stage.tick(NOW) == 0
    assert "names-1" in str(world.stage.problem)
    assert world.inputs() == ["ask Jane"]
    names.broken = False
    assert world.stage.tick(NOW) == 0
    world.now_s = 31.0
    world.settle()
    assert world.stage.problem is None
    assert world.inputs() == ["ask <PERSON>"]
    world.store.close()
