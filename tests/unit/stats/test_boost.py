from __future__ import annotations

import math

import pytest

from trimtab.stats.boost import Use, boosts


def test_a_document_with_few_uses_hardly_moves() -> None:
    usual = [Use("usual", float(at < 20), 0.0) for at in range(100)]
    (few,) = [item for item in boosts([*usual, Use("few", 1.0, 0.0)]) if item.document == "few"]
    assert -0.3 < few.boost < 0
    (many,) = [item for item in boosts([*usual, *[Use("many", 1.0, 0.0)] * 40]) if item.document == "many"]
    assert many.boost == -1.0


def test_the_formula_is_the_one_that_is_written_down() -> None:
    uses = [Use("a", 0.0, 0.0)] * 6 + [Use("a", 1.0, 0.0)] * 2 + [Use("b", 1.0, 0.0)] * 2
    usual = (6 + 1) / (10 + 2)
    a, b = 20 * usual, 20 * (1 - usual)
    (found,) = [item for item in boosts(uses) if item.document == "a"]
    assert found.boost == pytest.approx(math.log((6 + a) / (2 + b)) - math.log(a / b))
    assert (found.uses, found.good, found.bad) == (8, 6.0, 2.0)


def test_what_was_said_a_half_life_ago_counts_half() -> None:
    (old,) = boosts([Use("a", 0.0, 90.0)] * 4)
    assert (old.uses, old.good) == (4, 2.0)


def test_the_most_harmful_comes_first_and_nothing_gives_nothing() -> None:
    assert boosts([]) == []
    uses = [Use("good", 0.0, 0.0)] * 9 + [Use("bad", 1.0, 0.0)] * 9
    assert [item.document for item in boosts(uses)] == ["bad", "good"]
