from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.stats.batch import choose, themes

Rows = NDArray[np.float64]


def unit(rows: Rows) -> Rows:
    found: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def groups(seed: int, sizes: list[int], spread: float = 0.03) -> tuple[Rows, list[int]]:
    """Return unit rows around as many directions as there are sizes, and which each is of."""
    random = np.random.default_rng(seed)
    of = [group for group, size in enumerate(sizes) for _ in range(size)]
    centres = np.eye(len(sizes), max(8, len(sizes)))
    return unit(centres[of] + spread * random.normal(size=(len(of), centres.shape[1]))), of


def test_each_group_of_suspect_answers_gets_one_card() -> None:
    vectors, of = groups(1, [30, 20, 10, 5, 100])
    p = np.array([0.9] * 65 + [0.01] * 100)
    batch = choose(p, vectors, budget=4, audit=0, top=65, seed=1)
    assert [of[theme.pick] for theme in batch.themes] == [0, 1, 2, 3]
    assert [len(theme.members) for theme in batch.themes] == [30, 20, 10, 5]
    assert [theme.weight for theme in batch.themes] == pytest.approx([27.0, 18.0, 9.0, 4.5])


def brute(p: Rows, vectors: Rows, count: int) -> list[int]:
    """Pick by looking at every row each time."""
    alike = np.maximum(vectors @ vectors.T, 0) ** 4
    np.fill_diagonal(alike, 1.0)
    picks: list[int] = []
    while len(picks) < min(count, len(p)):
        covered = alike[picks].max(axis=0) if picks else np.zeros(len(p))
        worth = [
            -1.0
            if i in picks
            else p[i] * (1 - covered[i] + sum(p[j] * max(0, alike[i, j] - covered[j]) for j in range(len(p)) if j != i))
            for i in range(len(p))
        ]
        picks.append(int(np.argmax(worth)))
    return picks


@given(n=st.integers(1, 25), count=st.integers(1, 30), seed=st.integers(0, 9999))
@settings(max_examples=100, deadline=None)
def test_picks_are_worth_most_one_after_the_other(n: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    p, vectors = random.random(n), unit(random.normal(size=(n, 6)) + random.normal(size=6))
    assert {theme.pick for theme in themes(p, vectors, count)} == set(brute(p, vectors, count))


def test_one_that_is_sure_and_speaks_for_many_comes_before_one_that_is_surer_and_alone() -> None:
    vectors, of = groups(2, [12, 1], spread=0.2)
    p = [0.5] * 12 + [0.9]
    assert of[themes(p, vectors, 1)[0].pick] == 0
    assert of[themes([0.1] * 12 + [0.9], vectors, 1)[0].pick] == 1


def test_every_answer_belongs_to_the_pick_it_is_most_like() -> None:
    vectors, _ = groups(3, [20, 20], spread=0.4)
    found = themes(np.linspace(0.05, 0.9, 40), vectors, 5)
    picks = [theme.pick for theme in found]
    assert sorted(member for theme in found for member in theme.members) == list(range(40))
    for theme in found:
        assert theme.members[0] == theme.pick
        assert all((vectors[picks] @ vectors[row]).argmax() == picks.index(theme.pick) for row in theme.members)


def test_suspect_answers_draw_the_picks() -> None:
    vectors, of = groups(3, [50, 3])
    alone = themes([0.01] * 50 + [1.0] * 3, vectors, 1)[0]
    assert of[alone.pick] == 1


@given(
    n=st.integers(0, 120),
    budget=st.integers(0, 60),
    audit=st.floats(0, 1),
    top=st.integers(0, 80),
    seed=st.integers(0, 999),
    coincide=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_a_batch_keeps_its_budget_and_asks_about_nothing_twice(
    n: int, budget: int, audit: float, top: int, seed: int, coincide: bool
) -> None:
    random = np.random.default_rng(seed)
    vectors = np.ones((n, 5)) if coincide else random.normal(size=(n, 5))
    judged = random.random(n) < 0.3
    batch = choose(random.random(n), vectors, budget=budget, audit=audit, top=top, seed=seed, judged=judged.tolist())
    picks = batch.picks
    assert len(set(picks)) == len(picks)
    assert sum(not judged[pick] for pick in picks) <= budget
    assert not any(judged[theme.pick] for theme in batch.themes)
    members = [member for theme in batch.themes for member in theme.members]
    assert len(set(members)) == len(members)
    assert not set(members) & set(batch.audit)
    assert 0 <= batch.inclusion <= 1


def test_the_same_seed_gives_the_same_batch() -> None:
    random = np.random.default_rng(7)
    p, vectors = random.random(500), unit(random.normal(size=(500, 16)))
    assert choose(p, vectors, seed=[7, 3]) == choose(p, vectors, seed=[7, 3])
    assert choose(p, vectors, seed=[7, 3]).audit != choose(p, vectors, seed=[7, 4]).audit


def test_every_row_is_drawn_as_often_as_the_inclusion_says() -> None:
    vectors, _ = groups(8, [10, 10])
    p = np.linspace(0, 1, 20)
    counts = np.zeros(20)
    rounds = 4000
    for seed in range(rounds):
        batch = choose(p, vectors, budget=12, audit=0.2, top=0, seed=seed, judged=[True] * 20)
        counts[list(batch.audit)] += 1
        assert len(batch.audit) in (2, 3)
        assert batch.inclusion == pytest.approx(2.4 / 20)
    expected = rounds * 2.4 / 20
    assert (((counts - expected) ** 2) / (expected * (1 - 0.12))).sum() < 45  # chi squared, 19 degrees: P < 0.001


def test_judged_answers_cost_nothing_and_are_no_theme() -> None:
    vectors, _ = groups(9, [20, 20])
    batch = choose([0.5] * 40, vectors, budget=10, audit=0.5, top=40, seed=1, judged=[True] * 20 + [False] * 20)
    paid = [row for row in batch.audit if row >= 20]
    assert len(batch.themes) == 10 - len(paid)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="one vector for each"):
        choose([0.5, 0.5], np.eye(3), seed=1)
    with pytest.raises(ValueError, match="finite vectors"):
        themes([0.5], [[float("nan")]], 1)
