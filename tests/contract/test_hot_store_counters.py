"""Counters equal a recount of the rows, whatever is sent twice, judged again or taken back, on every backend."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from tests.contract.recount import METRICS, differences, recount
from trimtab.errors import InvalidField
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.migrations import counting
from trimtab.store.ports import Count, HotStore, Step, VersionSummary, Writes

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def some_inference(dice: random.Random, number: int) -> Inference:
    return a.inference(
        id=derived_id("counted", str(number)),
        feature=dice.choice(["answer", "search"]),
        version_id=dice.choice([None, "v1", "v2"]),
        arm=dice.choice([None, "stable", "candidate"]),
        created_at=NOON + timedelta(minutes=dice.randrange(4 * 24 * 60), microseconds=dice.randrange(60_000_000)),
        error=dice.choice([None, "timeout"]),
        latency_ms=dice.choice([None, dice.random() * 900]),
        input_tokens=dice.choice([None, dice.randrange(2000)]),
        cost_usd=dice.choice([None, 0.25]),
    )


def some_feedback(dice: random.Random, number: int) -> Feedback:
    kind: Any = dice.choice(["thumb", "rating", "comment", "thumb"])
    value = {"thumb": 1.0, "rating": 3.0}.get(kind)
    retracted = kind == "thumb" and dice.random() < 0.3
    return a.feedback(
        id=derived_id("said", str(number)),
        kind=kind,
        value=None if retracted else value,
        best=5.0 if kind == "rating" else None,
        text="so" if kind == "comment" else None,
        retracted=retracted,
        feature=dice.choice([None, "answer"]),
        created_at=NOON + timedelta(minutes=dice.randrange(4 * 24 * 60)),
    )


def some_outcome(dice: random.Random, about: Inference, *, withdrawn: float = 0.2) -> Outcome:
    groups = {"plan": dice.choice(["free", "pro"]), "locale": "de"} if dice.random() < 0.7 else {}
    return a.outcome(
        about,
        p_bad=dice.choice([0.0, 0.5, 0.75, 1.0]),
        vote=dice.choice([None, 0.0, 0.5, 2 / 3, 1.0]),
        estimate=dice.choice([None, dice.random()]),
        segments=groups,
        withdrawn=dice.random() < withdrawn,
    )


def filled(store: HotStore, dice: random.Random, *, withdrawn: float = 0.2) -> list[Inference | Feedback | Outcome]:
    """Write a history with duplicates and rewrites, and return the rows that there are in the end."""
    served = [some_inference(dice, number) for number in range(120)]
    said = [some_feedback(dice, number) for number in range(80)]
    events: list[Inference | Feedback] = dice.sample([*served, *said], 200)
    for start in range(0, 200, 40):
        lot = [*events[start : start + 40], *dice.choices(events[: start + 40], k=20)]
        store.append([a.arrival(each) for each in lot])
        store.append([a.arrival(each, "q") for each in lot[:3]])
    outcomes: dict[str, Outcome] = {}
    for _ in range(6):
        written = [some_outcome(dice, about, withdrawn=withdrawn) for about in dice.choices(served, k=60)]
        for _ in range(dice.choice([1, 2])):
            store.commit({P: Writes(outcomes=written), "q": Writes(outcomes=written[:2])})
        outcomes.update((each.inference_id, each) for each in written)
    return [*served, *said, *outcomes.values()]


@pytest.mark.parametrize("seed", [1, 2])
def test_counters_equal_a_recount_of_the_rows_over_any_span(store: HotStore, seed: int) -> None:
    dice = random.Random(seed)
    rows = filled(store, dice)
    steps: tuple[Step, ...] = ("minute", "hour", "day", "all")
    spans = [(NOON - DAY, NOON + 9 * DAY), (NOON, NOON), (NOON + 9 * DAY, NOON + 10 * DAY)]
    for _ in range(12):
        since = NOON + timedelta(seconds=dice.randrange(4 * 86_400), microseconds=dice.randrange(1_000_000))
        spans.append((since, since + timedelta(seconds=dice.randrange(1, 4 * 86_400))))
    for since, until in spans:
        step, feature = dice.choice(steps), dice.choice([None, "answer"])
        group_by = None if step == "minute" else dice.choice([None, "plan"])
        asked: dict[str, Any] = {"feature": feature, "group_by": group_by}
        expected = recount(rows, since, until, step, **asked)
        assert not differences(store, P, expected, since=since, until=until, step=step, **asked)


def test_whole_minutes_are_counted_at_the_edges(store: HotStore) -> None:
    served = [a.inference(created_at=NOON + timedelta(seconds=second)) for second in (-1, 0, 59, 60, 119, 120)]
    store.append([a.arrival(each) for each in served])
    since, until = NOON + timedelta(seconds=30), NOON + timedelta(seconds=61)
    found = store.counts(P, since=since, until=until, step="minute", metrics=["inferences"])
    assert found == [
        Count(NOON, "answer", None, "", "inferences", 2, 2.0),
        Count(NOON + MINUTE, "answer", None, "", "inferences", 2, 2.0),
    ]
    whole = store.counts(P, since=since, until=until, step="all", metrics=["inferences"])
    assert whole == [Count(since, "answer", None, "", "inferences", 4, 4.0)]


def test_an_hour_that_the_span_cuts_has_only_what_lies_in_the_span(store: HotStore) -> None:
    served = [a.inference(created_at=NOON + minutes * MINUTE) for minutes in (0, 30, 59, 60, 100, 130)]
    store.append([a.arrival(each) for each in served])
    told = {"since": NOON + 30 * MINUTE, "until": NOON + 101 * MINUTE, "metrics": ["inferences"]}
    hours = store.counts(P, step="hour", **told)  # type: ignore[arg-type]
    assert [(each.start, each.count) for each in hours] == [(NOON, 2), (NOON + HOUR, 2)]


def test_groups_are_counted_by_whole_hours(store: HotStore) -> None:
    judged = [a.inference(created_at=NOON + minutes * MINUTE) for minutes in (0, 59, 60, 120)]
    outcomes = [a.outcome(about, segments={"plan": "pro"}) for about in judged]
    store.commit({P: Writes(outcomes=[*outcomes, a.outcome(a.inference(created_at=NOON), segments={"model": "m"})])})
    told: dict[str, Any] = {"metrics": ["judged"], "group_by": "plan"}
    span: dict[str, Any] = {"since": NOON + 30 * MINUTE, "until": NOON + 61 * MINUTE}
    assert store.counts(P, step="hour", **span, **told) == [
        Count(NOON, "answer", None, "pro", "judged", 2, 2.0),
        Count(NOON + HOUR, "answer", None, "pro", "judged", 1, 1.0),
    ]
    with pytest.raises(InvalidField, match="step: expected 'hour'"):
        store.counts(P, step="minute", **span, **told)


def test_nothing_is_counted_of_what_no_metric_asks_for_or_another_project_has(store: HotStore) -> None:
    store.append([a.arrival(a.inference(latency_ms=1.0)), a.arrival(a.inference(), "q")])
    span: dict[str, Any] = {"since": a.NOW, "until": a.NOW + MINUTE, "step": "all"}
    assert [each.count for each in store.counts(P, metrics=["inferences"], **span)] == [1]
    assert store.counts(P, metrics=[], **span) == []
    assert store.counts(P, metrics=["nonsense"], **span) == []
    assert store.counts("r", metrics=["inferences"], **span) == []
    assert store.counts(P, metrics=["inferences"], group_by="plan", **span) == []


def test_a_transaction_that_fails_counts_nothing(store: HotStore) -> None:
    with pytest.raises(OverflowError):
        store.append([a.arrival(a.inference()), a.arrival(a.inference(input_tokens=2**70))])
    with pytest.raises(ValueError, match="expected a record of project"):
        store.commit({P: Writes(outcomes=[a.outcome(a.inference())], keys=[a.sealed(a.key(project_id="q"))])})
    assert store.counts(P, since=a.NOW - DAY, until=a.NOW + DAY, step="all", metrics=METRICS) == []


def test_summary_counts_inferences_judged_and_negatives_per_version_in_whole_minutes(store: HotStore) -> None:
    served = [a.inference(version_id=version_id) for version_id in ("v1", "v1", "v1", "v2", None)]
    late = a.inference(version_id="v1", created_at=a.NOW + MINUTE)
    store.append([a.arrival(item) for item in [*served, late]])
    judged = [a.outcome(served[0]), a.outcome(served[1], p_bad=0.5), a.outcome(served[3]), a.outcome(late)]
    store.commit({P: Writes(outcomes=judged)})
    assert store.summary(P, "answer", a.NOW, a.NOW + a.SECOND) == [
        VersionSummary(None, 1, 0, 0),
        VersionSummary("v1", 3, 2, 1),
        VersionSummary("v2", 1, 1, 1),
    ]


def test_writers_at_once_count_each_row_once(store: HotStore) -> None:
    shared = [a.inference(version_id=f"v{number % 3}", latency_ms=1.0) for number in range(40)]

    def send(number: int) -> None:
        dice = random.Random(number)
        own = [a.inference(version_id=f"v{place % 3}", latency_ms=1.0) for place in range(20)]
        store.append([a.arrival(each) for each in dice.sample([*shared, *own], 60)])
        store.commit({P: Writes(outcomes=[some_outcome(dice, about) for about in dice.sample(shared, 10)])})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(12)))
    rows = [row.record for row in store.inferences_after(0, 1000)]
    outcomes = [row.record for row in store.outcomes_after(0, 1000)]
    assert len(rows) == 40 + 12 * 20
    span: dict[str, Any] = {"since": a.NOW, "until": a.NOW + MINUTE, "step": "all"}
    for group_by in (None, "plan"):
        expected = recount([*rows, *outcomes], **span, group_by=group_by)
        assert not differences(store, P, expected, **span, group_by=group_by)


def recounted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty the counters and fill them as an upgrade does, in several lots."""
    monkeypatch.setattr(counting, "_LOT", 50)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        connection.exec_driver_sql("DELETE FROM counters")
        counting.count_all()


def test_an_upgrade_counts_what_was_there_before(
    store: HotStore,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dice = random.Random(3)
    rows = filled(store, dice, withdrawn=0.0)
    odd = a.outcome(a.inference(), segments={"plan": "a \x00 'quote'"})
    store.commit({P: Writes(outcomes=[odd])})
    span: dict[str, Any] = {"since": NOON - DAY, "until": NOON + 9 * DAY}
    before = store.counts(P, step="all", metrics=METRICS, group_by="plan", **span)
    if (tmp_path / "data" / "hot.db").exists():
        recounted(f"sqlite:///{tmp_path / 'data' / 'hot.db'}", monkeypatch)
    else:
        recounted(request.getfixturevalue("postgres_url").replace("postgresql:", "postgresql+psycopg:"), monkeypatch)
    for step in ("minute", "hour", "day", "all"):
        assert not differences(store, P, recount([*rows, odd], step=step, **span), step=step, **span)
    after = store.counts(P, step="all", metrics=METRICS, group_by="plan", **span)
    assert [each[:6] for each in after] == [each[:6] for each in before]
    assert "upgrading the database: counted 100 rows of inferences" in caplog.text
