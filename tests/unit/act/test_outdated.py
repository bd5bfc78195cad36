from __future__ import annotations

from datetime import UTC, datetime, timedelta

from trimtab.act.outdated import Suspected, suspected

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(weeks=1)
CARD, CASH = Suspected("pay by card", "pay by bank"), Suspected("pay by card", "pay in cash")


def test_one_contradiction_is_no_suspicion_and_two_the_same_way_are() -> None:
    assert suspected({CARD: [NOW], CASH: [NOW]}, {}, NOW) == []
    assert suspected({CARD: [NOW, NOW + WEEK], CASH: [NOW]}, {}, NOW + WEEK) == [CARD]


def test_contradictions_are_forgotten_after_eight_weeks() -> None:
    assert suspected({CARD: [NOW, NOW + 7 * WEEK]}, {}, NOW + 7 * WEEK) == [CARD]
    assert suspected({CARD: [NOW, NOW + 8 * WEEK]}, {}, NOW + 8 * WEEK) == []


def test_what_was_asked_rests_for_four_weeks_and_the_most_contradicted_comes_first() -> None:
    heard = {CARD: [NOW] * 2, CASH: [NOW] * 3}
    assert suspected(heard, {}, NOW) == [CASH, CARD]
    assert suspected(heard, {CASH: NOW}, NOW + 3 * WEEK) == [CARD]
    assert suspected(heard, {CASH: NOW}, NOW + 4 * WEEK) == [CASH, CARD]
