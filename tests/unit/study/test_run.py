"""The study through the real engine, small: the arms differ as they must, and the negative controls stay still."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.study.worlds import small_table
from trimtab.errors import Conflict, UnreadableFile
from trimtab.study.arms import Labour
from trimtab.study.figures import draw
from trimtab.study.markdown import as_markdown
from trimtab.study.preset import Cell, Preset
from trimtab.study.report import as_json, render, write_json
from trimtab.study.run import Study, load, run
from trimtab.study.world import Dials

LABOUR = Labour(labels_a_month=60, labels_a_week=20)


def dials(weeks: int = 9) -> Dials:
    """Return a world of loud users, so that a few weeks hold the votes of half a year."""
    return Dials(
        weeks=weeks,
        per_week=200,
        launch_labels_share=0.6,
        policy_changes=2,
        launch_texts_per_label=8,
        fresh_texts_per_label=4,
        golden_texts_per_label=4,
        votes_if_bad=0.6,
        votes_if_good=0.3,
    )


def preset(*cells: Cell, weeks: int = 9, worlds: int = 1) -> Preset:
    return Preset(worlds=worlds, cells=list(cells), dials=dials(weeks), labour=LABOUR)


WHOLE = preset(
    Cell(name="static", arm="static"),
    Cell(name="human-weekly", arm="human-weekly"),
    Cell(name="closed", arm="closed"),
    Cell(name="closed-still", arm="triggers", dials={"drift": 0.0}),
    Cell(name="poisoned", arm="closed", dials={"poisoned_weeks": 1.0, "poisoned_words": 150}),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    run(small_table(), WHOLE, folder, jobs=0)
    return load(folder)


def test_static_loses_and_the_closed_loop_loses_clearly_less(study: Study) -> None:
    static, closed = study.cells["static"][0], study.cells["closed"][0]
    assert static.live_loss > 15
    assert closed.live_loss < static.live_loss - 5
    assert closed.fresh_loss < static.fresh_loss - 5
    assert closed.promoted >= 5
    assert (static.labels, static.promoted, sum(static.hours.values())) == (0, 0, 0)


def test_all_arms_start_from_the_same_world(study: Study) -> None:
    drifting = [study.cells[name][0] for name in ("static", "human-weekly", "closed", "poisoned")]
    assert len({(one.live_start, one.fresh_start) for one in drifting}) == 1


def test_every_label_and_hour_is_counted(study: Study) -> None:
    for results in study.cells.values():
        assert sum(month.labels for month in results[0].months) == results[0].labels
    human, closed = study.cells["human-weekly"][0], study.cells["closed"][0]
    assert human.labels == 9 * LABOUR.labels_a_week
    assert human.hours["deploy"] == 9 * 4
    assert human.hours["label"] == pytest.approx(180 * 1.5 / 60)
    assert closed.hours["review"] == pytest.approx(closed.labels * 0.75 / 60, abs=0.01)
    decided = closed.promoted + closed.changes.get("rolled_back", 0)
    assert closed.hours["approve"] == pytest.approx(decided * 0.5)
    assert 0 < closed.labels <= 9 * LABOUR.labels_a_week


def test_without_drift_nothing_is_triggered(study: Study) -> None:
    still = study.cells["closed-still"][0]
    assert (still.incidents, still.labels, still.promoted) == (0, 0, 0)


def test_gate_and_canary_keep_most_poison_out(study: Study) -> None:
    poisoned, closed = study.cells["poisoned"][0], study.cells["closed"][0]
    refused = poisoned.changes.get("blocked", 0) + poisoned.changes.get("rolled_back", 0)
    assert refused >= 4
    assert poisoned.live_loss < study.cells["static"][0].live_loss + 10
    assert closed.changes.get("blocked", 0) + closed.changes.get("rolled_back", 0) <= 2


def test_study_that_was_stopped_goes_on_where_it_was(study: Study, folder: Path) -> None:
    kept = folder / "world-00000" / "static.json"
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.json")}
    lived: list[str] = []
    run(small_table(), WHOLE, folder, jobs=0, progress=lambda _seed, cell, _week: lived.append(cell))
    assert not lived
    first = kept.read_bytes()
    kept.unlink()
    with pytest.raises(UnreadableFile, match="at least one finished world"):
        load(folder)
    run(small_table(), WHOLE, folder, jobs=0, progress=lambda _seed, cell, _week: lived.append(cell))
    assert set(lived) == {"calm weeks", "static"}
    again, then = json.loads(kept.read_bytes()), json.loads(first)
    assert {**again, "seconds": 0} == {**then, "seconds": 0}
    assert {file for file, at in before.items() if file.stat().st_mtime_ns != at} == {kept}
    assert load(folder).seeds == study.seeds


def test_directory_of_another_study_is_refused(study: Study, folder: Path) -> None:
    with pytest.raises(Conflict, match="results of another study"):
        run(small_table(), preset(Cell(name="static", arm="static")), folder, jobs=0)


def test_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    short = preset(Cell(name="static", arm="static"), Cell(name="human", arm="human"), weeks=1, worlds=2)
    told: list[tuple[int, str]] = []
    run(small_table(), short, tmp_path / "apart", jobs=2, progress=lambda seed, cell, _week: told.append((seed, cell)))
    run(small_table(), short, tmp_path / "one", jobs=0)

    def plain(folder: Path) -> object:
        found = as_json(load(folder))
        for results in found["cells"].values():
            for one in results:
                one["seconds"] = 0
        return found["cells"]

    assert plain(tmp_path / "apart") == plain(tmp_path / "one")
    assert {(0, "static"), (1, "human")} <= set(told)


def test_report_names_every_cell_with_what_was_assumed(study: Study, tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=None)
    with console.capture() as captured:
        console.print(render(study))
    page = as_markdown(study, command="trimtab study", figures=True)
    for name in study.cells:
        assert name in captured.get()
        assert f"| {name} |" in page
    for words in ("injected", "closed over human-weekly", "labels (counted)", "hours are assumed", "votes_if_bad"):
        assert words in page
    write_json(study, tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert set(told) == {"plan", "seeds", "cells", "summary"}
    assert set(told["summary"]) == set(study.cells)


def test_figures_are_the_same_for_the_same_study(study: Study, tmp_path: Path) -> None:
    files = draw(study, tmp_path)
    first = {file.name: file.read_bytes() for file in files}
    assert set(first) == {"accuracy.svg", "accuracy.png", "loss.svg", "loss.png"}
    assert {file.name: file.read_bytes() for file in draw(study, tmp_path)} == first
