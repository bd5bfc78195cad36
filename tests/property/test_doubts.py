"""Whatever reviewers say in whatever order, an answer is renewed when three looks confirmed it, and only then."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_world import FEATURE, KINDS, NOW, PROJECT, VOUCHER, ExampleWorld

QUESTIONS = list(KINDS)
RIGHTS = (VOUCHER, "Neither.")
FOUR_WEEKS = timedelta(weeks=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("correct"), st.integers(0, 1), st.sampled_from(RIGHTS)),
        st.tuples(st.just("raise")),
        st.tuples(
            st.just("judge"), st.integers(0, 5), st.sampled_from(["suspected", "suspected", "good", "bad", "skip"])
        ),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    max_size=30,
)


class History:
    """Carries out steps, and keeps beside the store what was said of which doubt."""

    def __init__(self, world: ExampleWorld) -> None:
        self.world, self.now = world, NOW
        self.said: dict[str, dict[str, str]] = defaultdict(dict)  # doubt -> example -> how it was judged
        self.raised: dict[str, tuple[Any, tuple[str, str]]] = {}

    def correct(self, kind: int, right: str) -> None:
        self.world.correct(QUESTIONS[kind], right, self.now - timedelta(minutes=1))

    def raise_(self) -> None:
        for item in self.world.raised(self.now):
            old = self.world.looks.shown(PROJECT, [item])[item.id].output
            instead = self.world.store.feedback(PROJECT, [str(item.instead_id)])[str(item.instead_id)]
            self.raised[str(item.doubt_id)] = (self.now, (old, str(instead.text)))

    def judge(self, place: int, how: str) -> None:
        waiting = self.world.reviews.next(PROJECT, "ada", 6, self.now, FEATURE)
        if not waiting:
            return
        item = waiting[place % len(waiting)]
        suspected = self.raised[str(item.doubt_id)][1][1]
        verdict: Any = "bad" if how == "suspected" else how
        self.world.judge(item, verdict, suspected if how == "suspected" else None, self.now)
        self.said[str(item.doubt_id)][str(item.exemplar_id)] = how

    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    def expected(self) -> set[tuple[str, str]]:
        """Return what three looks of the last four weeks confirmed, by what was told and not by the store."""
        return {
            pair
            for doubt, (at, pair) in self.raised.items()
            if self.now - at <= FOUR_WEEKS and list(self.said[doubt].values()) == ["suspected"] * 3
        }


def played(folder: Path, steps: Sequence[tuple[Any, ...]]) -> None:
    world = ExampleWorld(folder)
    history = History(world)
    for name, *told in steps:
        getattr(history, "raise_" if name == "raise" else name)(*told)
        found = world.looks.renewals(PROJECT, FEATURE, world.version, history.now)
        assert set(found.values()) == history.expected()
        for doubt in found:
            assert set(history.said[doubt].values()) == {"suspected"}
            assert len(history.said[doubt]) == 3
    world.store.close()


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nothing_is_renewed_without_three_looks_that_all_confirm_it(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        played(Path(folder), steps)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["suspected", "suspected", "suspected", "good", "bad", "skip"]), min_size=3, max_size=3)
)
def test_of_three_looks_every_one_counts(verdicts: list[str]) -> None:
    steps: list[tuple[Any, ...]] = [("correct", 0, VOUCHER)] * 2 + [("raise",)]
    with tempfile.TemporaryDirectory() as folder:
        played(Path(folder), [*steps, *(("judge", 0, each) for each in verdicts)])
