from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.config import FeatureOverride, Outcomes, Signals
from trimtab.enrich.audit import Audited, weights_of
from trimtab.enrich.calibrate import LEAST_AUDITED, CalibrateStage, Labelled, calibrate
from trimtab.enrich.outcome import judge
from trimtab.enrich.signals.event import done
from trimtab.enrich.weights import HINTS, table, weigh
from trimtab.ids import derived_id
from trimtab.records import AuditItem, Calibration, Feature, Inference, Opinion, Outcome, Project, Signal
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.stats.logistic import sigmoid
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = Outcomes()
TABLE = table("support", SETTINGS, now=NOW)
COPY: frozenset[Signal] = frozenset({"copy"})
ASKED_AGAIN: frozenset[Signal] = frozenset({"regenerate", "rephrase"})
NOTHING: frozenset[Signal] = frozenset()


def answers(bad: int, good: int, hints: frozenset[Signal] = NOTHING) -> list[Labelled]:
    return [Labelled(hints, 1.0)] * bad + [Labelled(hints, 0.0)] * good


def test_without_anything_the_table_stands() -> None:
    found = calibrate("support", [], [], SETTINGS, NOW)
    assert (found.base, found.weights) == (TABLE.base, TABLE.weights)
    assert (found.calibrated, found.auc, found.ece) == (False, None, None)
    assert "no answer was audited" in found.reason


def test_too_few_votes_leave_the_weights_alone() -> None:
    votes = answers(290, 9, COPY)
    assert calibrate("support", votes, [], SETTINGS, NOW).weights == TABLE.weights
    enough = calibrate("support", answers(150, 10, COPY) + answers(70, 70), [], SETTINGS, NOW)
    assert enough.weights["copy"] > TABLE.weights["copy"] + 1
    assert enough.weights["thanks"] == pytest.approx(TABLE.weights["thanks"])
    assert "weights from 300 votes" in enough.reason


def test_votes_never_set_the_level() -> None:
    few, many = answers(200, 200), answers(20_000, 200)
    for votes in (few, many):
        assert calibrate("support", votes, [], SETTINGS, NOW).base == TABLE.base


def test_audit_sets_the_level_so_that_the_mean_score_is_what_it_found() -> None:
    audited = answers(20, 80) + answers(15, 35, ASKED_AGAIN) + answers(5, 45, COPY)
    found = calibrate("support", [], audited, SETTINGS, NOW)
    scores = [sigmoid(found.base + weigh(found, answer.hints)) for answer in audited]
    assert sum(scores) == pytest.approx(40)
    assert found.weights == TABLE.weights


def test_an_answer_of_a_busy_week_stands_for_more_than_one_of_a_quiet_week() -> None:
    drawn = [Labelled(NOTHING, 1.0, 1.0)] * 40 + [Labelled(NOTHING, 0.0, 9.0)] * 40
    assert sigmoid(calibrate("support", [], drawn, SETTINGS, NOW).base) == pytest.approx(0.1)


def test_an_answer_whose_chance_is_unknown_has_the_mean_weight() -> None:
    items = [a.audit_item(a.inference(), inclusion=chance) for chance in (0.5, 0.1, None)]
    told = [Audited(item, 0.0, NOTHING, None, None) for item in items]
    assert weights_of(told) == pytest.approx([2.0, 10.0, 6.0])
    assert weights_of(told[2:]) == [1.0]


def test_a_handful_of_audited_answers_does_not_move_the_level() -> None:
    assert calibrate("support", [], answers(LEAST_AUDITED - 1, 0), SETTINGS, NOW).base == TABLE.base
    assert calibrate("support", [], answers(LEAST_AUDITED, 0), SETTINGS, NOW).base > 3


def test_badge_needs_a_large_audit_and_a_small_error() -> None:
    small = calibrate("support", [], answers(10, 80), SETTINGS, NOW)
    good = calibrate("support", [], answers(15, 135), SETTINGS, NOW)
    # The table takes copying for a good sign. Here it is a bad one, and one level for all cannot mend that.
    wrong = calibrate("support", [], answers(60, 10, COPY) + answers(5, 125), SETTINGS, NOW)
    assert (small.calibrated, good.calibrated, wrong.calibrated) == (False, True, False)
    assert "90 of 100" in small.reason
    assert "at most 0.05 is allowed" in good.reason
    assert wrong.ece is not None
    assert wrong.ece > 0.05
    assert "more than 0.05" in wrong.reason


def test_reason_says_when_chance_alone_explains_the_error() -> None:
    world = random.Random(4)
    audited = [
        Labelled(frozenset(k for k in HINTS if world.random() < 0.3), float(world.random() < 0.3)) for _ in range(110)
    ]
    found = calibrate("support", [], audited, SETTINGS, NOW)
    assert not found.calibrated
    assert "chance alone shows" in found.reason


def test_what_is_set_for_a_feature_is_what_votes_start_from() -> None:
    override = FeatureOverride(seen_copy=(0.5, 0.1))
    found = calibrate("support", answers(150, 150), [], SETTINGS, NOW, override=override)
    assert found.weights["copy"] == pytest.approx(table("support", SETTINGS, override, now=NOW).weights["copy"])


# The stage, over a real store.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    redactor = Redactor(key=bytes(32))
    feature = seal(redactor, Feature(name="support", created_at=NOW))
    opened.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)], features=[feature])})
    yield opened
    opened.close()


def outcome(place: int, *said: tuple[str, str, float | None], at: datetime = NOW) -> tuple[Outcome, list[Opinion]]:
    """Judge an answer by (source, kind, value) each."""
    answer = Inference(id=derived_id("answer", str(place)), feature="support", created_at=at, input="?", user_id="ada")
    opinions: list[Opinion] = []
    for source, kind, value in said:
        told: dict[str, Any] = {"source": source, "kind": kind, "value": value, "user_id": source}
        name = derived_id("word", str(place), source, kind)
        opinions.append(Opinion(inference_id=answer.id, feedback_id=name, created_at=at, **told))
    found = judge(answer, opinions, done(answer, opinions, {}, Signals()), TABLE, now=at)
    assert found is not None
    return found, opinions


def audited(store: HotStore, places: range, *, at: datetime = NOW) -> None:
    """Let a reviewer judge drawn answers: one in five is bad."""
    writes = Writes()
    for place in places:
        made, opinions = outcome(place, ("reviewer", "thumb", float(place % 5 != 0)), at=at)
        writes.outcomes.append(made)
        writes.opinions += opinions
        drawn = AuditItem(inference_id=made.inference_id, feature="support", created_at=at, drawn_at=at)
        writes.audits.append(drawn)
    store.commit({"p": writes})


def settle(stage: CalibrateStage, now: datetime) -> int:
    count = 0
    while stage.tick(now):
        count += 1
    return count


def newest(store: HotStore) -> Calibration:
    found = store.calibration("p", "support")
    assert found is not None
    return found


def test_nothing_new_commits_nothing(store: HotStore) -> None:
    stage = CalibrateStage(store, SETTINGS)
    assert settle(stage, NOW) == 1
    assert settle(stage, NOW + timedelta(minutes=59)) == 0
    assert settle(stage, NOW + timedelta(hours=2)) == 1
    assert store.calibration("p", "support") is None
    assert store.backfills(10) == []


def test_an_audit_calibrates_and_asks_for_every_outcome_to_be_judged_again(store: HotStore) -> None:
    audited(store, range(120))
    settle(CalibrateStage(store, SETTINGS), NOW)
    found = newest(store)
    assert (found.audited, found.calibrated) == (120, True)
    assert sigmoid(found.base) == pytest.approx(0.2)
    (asked,) = store.backfills(10)
    assert (asked.project_id, asked.scope, asked.key) == ("p", "feature", "support")


def test_it_calibrates_once_a_day_and_only_what_changed(store: HotStore) -> None:
    audited(store, range(100))
    stage = CalibrateStage(store, SETTINGS)
    settle(stage, NOW)
    first = newest(store)
    audited(store, range(100, 150))
    settle(stage, NOW + timedelta(hours=23))
    assert newest(store) == first
    settle(stage, NOW + timedelta(hours=25))
    second = newest(store)
    assert (second.audited, second.id != first.id) == (150, True)
    settle(stage, NOW + timedelta(days=5))
    assert newest(store) == second


def test_reviews_of_answers_that_were_not_drawn_are_no_audit(store: HotStore) -> None:
    writes = Writes()
    for place in range(200):
        made, opinions = outcome(place, ("reviewer", "thumb", 0.0))
        writes.outcomes.append(made)
        writes.opinions += opinions
    store.commit({"p": writes})
    settle(CalibrateStage(store, SETTINGS), NOW)
    assert store.calibration("p", "support") is None


def test_audited_answers_that_a_user_voted_on_do_not_set_the_level(store: HotStore) -> None:
    audited(store, range(100))
    writes = Writes()
    for place in range(200, 300):
        made, opinions = outcome(place, ("user", "thumb", 0.0), ("reviewer", "thumb", 0.0))
        writes.outcomes.append(made)
        writes.opinions += opinions
        writes.audits.append(AuditItem(inference_id=made.inference_id, feature="support", created_at=NOW, drawn_at=NOW))
    store.commit({"p": writes})
    settle(CalibrateStage(store, SETTINGS), NOW)
    assert newest(store).audited == 100
    assert sigmoid(newest(store).base) == pytest.approx(0.2)


def test_votes_with_hints_teach_the_weights(store: HotStore) -> None:
    writes = Writes()
    for place in range(400):
        good = place % 2
        hints = [("user", "copy", None)] if good == 0 and place % 4 == 0 else []
        writes.outcomes.append(outcome(place, ("user", "thumb", float(good)), *hints)[0])
    store.commit({"p": writes})
    settle(CalibrateStage(store, SETTINGS), NOW)
    found = newest(store)
    assert (found.votes, found.base) == (400, TABLE.base)
    assert found.weights["copy"] > TABLE.weights["copy"] + 1
    assert not found.calibrated


def test_an_audit_of_long_ago_counts_no_more(store: HotStore) -> None:
    audited(store, range(120))
    stage = CalibrateStage(store, SETTINGS)
    settle(stage, NOW)
    assert newest(store).calibrated
    settle(stage, NOW + timedelta(days=91))
    assert (newest(store).audited, newest(store).calibrated) == (0, False)
