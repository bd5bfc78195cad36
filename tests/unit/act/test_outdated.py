from __future__ import annotations

from datetime import UTC, datetime, timedelta

from trimtab.act.outdated import Outdated, Suspected

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def test_one_contradiction_is_no_suspicion_and_two_the_same_way_are() -> None:
    outdated = Outdated()
    outdated.hear(NOW, ["pay by card"], ["pay by bank"])
    assert outdated.due(NOW) == []
    outdated.hear(NOW, ["pay by card"], ["pay in cash"])
    assert outdated.due(NOW) == []
    outdated.hear(NOW + WEEK, ["pay by card"], ["pay by bank"])
    assert outdated.due(NOW + WEEK) == [Suspected("pay by card", "pay by bank")]


def test_questions_typical_of_nothing_and_confirmed_answers_contradict_nothing() -> None:
    outdated = Outdated()
    outdated.hear(NOW, [None, None, "a", "a"], ["b", "b", "a", "a"])
    assert outdated.due(NOW) == []


def test_contradictions_are_forgotten_after_eight_weeks() -> None:
    outdated = Outdated()
    outdated.hear(NOW, ["a"], ["b"])
    outdated.hear(NOW + 9 * WEEK, ["a"], ["b"])
    assert outdated.due(NOW + 9 * WEEK) == []


def test_what_was_asked_rests_for_four_weeks_and_the_most_contradicted_comes_first() -> None:
    outdated = Outdated()
    outdated.hear(NOW, ["a", "a", "c", "c", "c"], ["b", "b", "d", "d", "d"])
    assert outdated.due(NOW) == [Suspected("c", "d"), Suspected("a", "b")]
    outdated.ask(Suspected("c", "d"), NOW)
    assert outdated.due(NOW + 3 * WEEK) == [Suspected("a", "b")]
    assert outdated.due(NOW + 4 * WEEK) == [Suspected("c", "d"), Suspected("a", "b")]
