"""The study through the real engine, small: the arms differ as they must, and the negative controls stay still."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.study.worlds import small_table
from trimtab.study.arms import Labour
from trimtab.study.report import as_json, render, write_json
from trimtab.study.run import Study, run
from trimtab.study.world import Dials

LABOUR = Labour(human_labels_a_month=60, closed_labels_a_week=30)


def dials(*, drift: float = 1.0, shuffled: bool = False, weeks: int = 12) -> Dials:
    """Return a world of loud users, so that a few weeks hold the votes of half a year."""
    return Dials(
        weeks=weeks,
        per_week=200,
        drift=drift,
        shuffled=shuffled,
        launch_labels_share=0.6,
        policy_changes=2,
        launch_texts_per_label=8,
        fresh_texts_per_label=4,
        votes_if_bad=0.6,
        votes_if_good=0.3,
    )


@pytest.fixture(scope="module")
def study() -> Study:
    return run(small_table(), dials(), labour=LABOUR, processes=0)


def test_static_loses_and_the_closed_loop_loses_clearly_less(study: Study) -> None:
    static, closed = study.arms["static"], study.arms["closed"]
    assert static.live_loss > 15
    assert closed.live_loss < static.live_loss - 5
    assert closed.promotions >= 1
    assert (static.labels, static.promotions, static.hours["assumed"]) == (0, 0, 0)


def test_all_arms_start_from_the_same_world(study: Study) -> None:
    assert len({(arm.live_start, arm.fresh_start) for arm in study.arms.values()}) == 1


def test_every_label_and_hour_is_counted(study: Study) -> None:
    for arm in study.arms.values():
        assert sum(month.labels for month in arm.months) == arm.labels
    human, closed = study.arms["human"], study.arms["closed"]
    assert human.labels == 3 * LABOUR.human_labels_a_month
    assert human.hours["assumed"] == pytest.approx(180 * 1.5 / 60 + 3 * 4)
    decisions = closed.approved + closed.withdrawn
    assert closed.hours["assumed"] == pytest.approx(closed.labels * 0.75 / 60 + decisions * 0.5, abs=0.06)
    assert 0 < closed.labels <= 12 * LABOUR.closed_labels_a_week


def test_without_drift_nothing_is_changed() -> None:
    still = run(small_table(), dials(drift=0.0), arms=["closed"], labour=LABOUR, processes=0).arms["closed"]
    assert (still.incidents, still.changes, still.labels, still.promotions) == (0, {}, 0, 0)


def test_shuffled_feedback_promotes_nothing() -> None:
    poisoned = run(small_table(), dials(shuffled=True), arms=["closed"], labour=LABOUR, processes=0).arms["closed"]
    assert poisoned.promotions == 0


def test_processes_give_what_one_process_gives() -> None:
    table, short = small_table(), dials(weeks=2)
    told: list[tuple[str, int]] = []
    apart = run(
        table, short, arms=["static", "human"], processes=2, progress=lambda arm, week: told.append((arm, week))
    )
    assert apart == run(table, short, arms=["static", "human"], processes=0)
    assert {("static", 2), ("human", 2)} <= set(told)


def test_json_has_the_agreed_shape(study: Study, tmp_path: Path) -> None:
    write_json(study, tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told == as_json(study)
    assert set(told) == {"assumptions", "arms"}
    assert list(told["arms"]) == ["static", "human", "closed"]
    for arm in told["arms"].values():
        assert {"live_loss", "fresh_loss", "labels", "months"} <= set(arm)
        assert [month["month"] for month in arm["months"]] == [1, 2, 3]
    assert told["assumptions"]["dials"]["seed"] == 0


def test_table_shows_each_arm_month_by_month_with_what_was_assumed(study: Study) -> None:
    console = Console(width=160, record=True, file=None)
    with console.capture() as captured:
        console.print(render(study))
    text = captured.get()
    for words in ("static", "human", "closed", "month 3", "live loss", "fresh loss", "Assumed", "injected at dial 1"):
        assert words in text
