"""The hot store beside a model of plain dictionaries, under any sequence of appends, commits and reopenings."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.contract import hot_store_sample as a
from tests.contract.recount import differences, recount
from trimtab.ids import derived_id
from trimtab.records import Inference
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Query, Step, Writes

PROJECTS = st.sampled_from(["p", "q"])
NUMBERS = st.integers(0, 9)
MINUTES = st.sampled_from([0, 1, 59, 60, 61, 720, 1439, 1440, 5000])
SHARES = st.sampled_from([None, 0.0, 0.5, 1 / 3, 1.0])


def event_id(number: int) -> str:
    return derived_id("model", str(number))


def asked(number: int, *, minute: int = 0, **fields: Any) -> Inference:
    measured = {"version_id": f"v{number}" if number % 3 else None, "latency_ms": 0.1 * number if number % 2 else None}
    at = a.NOW + timedelta(minutes=minute)
    return a.inference(id=event_id(number), created_at=at, **measured, **fields)


class HotStoreModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = open_sqlite(self.folder / "hot.db")
        self.events: dict[tuple[str, str], Any] = {}
        self.said: dict[tuple[str, str], Any] = {}
        self.outcomes: dict[tuple[str, str], Any] = {}
        self.words: dict[tuple[str, str, str], Any] = {}
        self.cursor = 0

    @rule(batch=st.lists(st.tuples(PROJECTS, NUMBERS, st.sampled_from(["one", "two"]), MINUTES), max_size=6))
    def append(self, batch: list[tuple[str, int, str, int]]) -> None:
        served = [(project, asked(number, input=text, minute=minute)) for project, number, text, minute in batch]
        expected = []
        for project, record in served:
            expected.append((project, record.id) not in self.events)
            self.events.setdefault((project, record.id), record)
        assert self.store.append([a.arrival(record, project) for project, record in served]) == expected

    @rule(batch=st.lists(st.tuples(PROJECTS, NUMBERS, st.booleans(), MINUTES), max_size=4))
    def say(self, batch: list[tuple[str, int, bool, int]]) -> None:
        for project, number, retracted, minute in batch:
            told = {"feature": "answer" if number % 2 else None, "created_at": a.NOW + timedelta(minutes=minute)}
            said = a.feedback(id=event_id(number), retracted=retracted, value=None if retracted else 1.0, **told)
            self.said.setdefault((project, said.id), said)
            self.store.append([a.arrival(said, project)])

    @rule(
        project=PROJECTS,
        judged=st.lists(st.tuples(NUMBERS, st.sampled_from(["free", "pro"]), st.booleans(), MINUTES), max_size=4),
        p_bad=st.sampled_from([0.0, 0.5, 1.0]),
        vote=SHARES,
        estimate=SHARES,
    )
    def judge(
        self,
        project: str,
        judged: list[tuple[int, str, bool, int]],
        p_bad: float,
        vote: float | None,
        estimate: float | None,
    ) -> None:
        told = {"p_bad": p_bad, "vote": vote, "estimate": estimate}
        written = [
            a.outcome(asked(number, minute=minute), segments={"plan": plan}, withdrawn=withdrawn, **told)
            for number, plan, withdrawn, minute in {each[0]: each for each in judged}.values()
        ]
        self.store.commit({project: Writes(outcomes=written)})
        for outcome in written:
            self.outcomes.pop((project, outcome.inference_id), None)
            self.outcomes[project, outcome.inference_id] = outcome

    @rule(project=PROJECTS, number=NUMBERS, user=st.sampled_from(["u", "w"]), at=st.lists(NUMBERS, max_size=3))
    def speak(self, project: str, number: int, user: str, at: list[int]) -> None:
        served = a.inference(id=event_id(number))
        said = [a.feedback(user_id=user, created_at=a.NOW + timedelta(seconds=second)) for second in at]
        words = [a.opinion(each, served) for each in said]
        self.store.commit({project: Writes(opinions=words)})
        for word in words:
            known = self.words.get((project, served.id, user))
            if known is None or (known.created_at, known.feedback_id) < (word.created_at, word.feedback_id):
                self.words[project, served.id, user] = word

    @rule(position=st.integers(0, 50))
    def move_cursor(self, position: int) -> None:
        self.store.commit({}, cursors={"stage": position})
        self.cursor = max(self.cursor, position)

    @rule(
        project=PROJECTS,
        span=st.tuples(MINUTES, MINUTES).map(sorted),
        step=st.sampled_from(["minute", "hour", "day", "all"]),
        group_by=st.sampled_from([None, "plan"]),
    )
    def count_some(self, project: str, span: list[int], step: Step, group_by: str | None) -> None:
        since, until = (a.NOW + timedelta(minutes=minute) for minute in span)
        told: dict[str, Any] = {"since": since, "until": until, "step": step}
        told["group_by"] = None if step == "minute" else group_by
        assert not differences(self.store, project, recount(self.rows(project), **told), **told)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_sqlite(self.folder / "hot.db")

    @invariant()
    def events_are_the_first_contents_in_order_of_arrival(self) -> None:
        found = [((row.project_id, row.record.id), row.record) for row in self.store.inferences_after(0, 1_000)]
        assert found == list(self.events.items())

    @invariant()
    def outcomes_are_in_order_of_their_last_write(self) -> None:
        found = [row.record for row in self.store.outcomes_after(0, 1_000)]
        assert found == list(self.outcomes.values())

    @invariant()
    def who_does_not_follow_sees_no_outcome_that_was_taken_back(self) -> None:
        for project in ("p", "q"):
            kept = {
                key: outcome
                for (owner, key), outcome in self.outcomes.items()
                if owner == project and not outcome.withdrawn
            }
            assert self.store.outcomes(project, list(kept)) == kept
            listed = [row.record for row in self.store.list_outcomes(project, Query(newest=False)).rows]
            assert listed == list(kept.values())

    @invariant()
    def counters_equal_a_recount_of_the_rows(self) -> None:
        for project, group_by in product(("p", "q"), (None, "plan")):
            told: dict[str, Any] = {"since": a.NOW, "until": a.NOW + timedelta(days=9), "group_by": group_by}
            expected = recount(self.rows(project), step="all", **told)
            assert not differences(self.store, project, expected, step="all", **told)

    @invariant()
    def each_project_sees_its_own(self) -> None:
        everything = [event_id(number) for number in range(10)]
        for project in ("p", "q"):
            own = [record for (owner, _), record in self.events.items() if owner == project]
            listed: list[Any] = []
            page = self.store.list_inferences(project, Query(limit=3, newest=False))
            while True:
                listed.extend(row.record for row in page.rows)
                if page.next is None:
                    break
                page = self.store.list_inferences(project, Query(limit=3, newest=False, after=page.next))
            assert listed == own
            opinions = self.store.opinions(project, everything)
            told = {(key, word.user_id): word for key, words in opinions.items() for word in words}
            assert told == {(key, user): word for (owner, key, user), word in self.words.items() if owner == project}

    @invariant()
    def the_cursor_stands_at_its_highest(self) -> None:
        assert self.store.cursor("stage") == self.cursor

    def rows(self, project: str) -> list[Any]:
        tables = (self.events, self.said, self.outcomes)
        return [row for held in tables for (owner, _), row in held.items() if owner == project]

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestHotStoreModel = HotStoreModel.TestCase
TestHotStoreModel.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
