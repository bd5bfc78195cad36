from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from tests.unit.study.worlds import small_table
from trimtab.errors import InputError
from trimtab.study.data import Labelled, Table
from trimtab.study.world import PILOT_WEEKS, START, Ask, Dials, build, react

DIALS = Dials(weeks=8, per_week=120, launch_labels_share=0.75, policy_changes=2, fresh_texts_per_label=4)


def asks_of(world_weeks: list[list[Ask]]) -> list[Ask]:
    return list(itertools.chain.from_iterable(world_weeks))


def test_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    table = small_table()
    assert build(table, DIALS) == build(table, DIALS)
    assert build(table, DIALS).weeks != build(table, Dials(weeks=8, per_week=120, seed=1)).weeks


def test_fresh_texts_never_appear_in_the_stream_or_at_launch() -> None:
    world = build(small_table(), DIALS)
    seen = {ask.text for ask in asks_of([world.pilot, *world.weeks])} | {row.text for row in world.launch}
    assert not seen & {text for texts in world.fresh.values() for text in texts}
    assert {len(texts) for texts in world.fresh.values()} == {4}


def test_every_week_has_its_interactions_within_its_days() -> None:
    world = build(small_table(), DIALS)
    assert len(world.pilot) == PILOT_WEEKS * 120
    for number, week in enumerate(world.weeks):
        assert len(week) == 120
        times = [ask.at for ask in week]
        assert times == sorted(times)
        assert START + timedelta(weeks=number) <= times[0]
        assert times[-1] < START + timedelta(weeks=number + 1)


def test_new_intents_are_asked_only_after_they_appear() -> None:
    world = build(small_table(), DIALS)
    appears = {drift.label: drift.week for drift in world.drifts if drift.kind == "appears"}
    assert len(appears) == 3
    assert not set(appears) & {row.label for row in world.launch}
    for number, week in enumerate(world.weeks):
        for ask in week:
            assert appears.get(ask.right, 0) <= number


def test_policy_gives_an_intent_another_right_answer_from_its_week_on() -> None:
    world = build(small_table(), DIALS)
    labels = {row.text: row.label for row in small_table().rows}
    policies = [drift for drift in world.drifts if drift.kind == "policy"]
    assert len(policies) == 2
    for drift in policies:
        for number, week in enumerate(world.weeks):
            rights = {ask.right for ask in week if labels[ask.text] == drift.label}
            assert rights <= ({drift.answer} if number >= drift.week else {drift.label})


def test_drift_zero_changes_nothing() -> None:
    world = build(small_table(), Dials(weeks=8, per_week=120, drift=0.0))
    assert world.drifts == []
    labels = {row.text: row.label for row in small_table().rows}
    assert all(ask.right == labels[ask.text] for ask in asks_of(world.weeks))
    assert world.fresh_cases(-1) == world.fresh_cases(7)


def test_fresh_cases_follow_what_is_alive_and_right() -> None:
    world = build(small_table(), DIALS)
    assert len(world.fresh_cases(7)) > len(world.fresh_cases(-1))
    policy = next(drift for drift in world.drifts if drift.kind == "policy")
    rights = dict(world.fresh_cases(7))
    assert {rights[text] for text in world.fresh[policy.label]} == {policy.answer}


def test_users_vote_as_often_and_as_rightly_as_the_dials_say() -> None:
    dials = Dials(weeks=2, per_week=20_000, votes_if_bad=0.5, votes_if_good=0.2)
    asks = asks_of(build(small_table(per_label=60), dials).weeks)
    labels = ["a", "b"]
    bad = [react(ask, "wrong", dials, labels) for ask in asks]
    good = [react(ask, ask.right, dials, labels) for ask in asks]
    voted = [reaction for reaction in bad if reaction.vote is not None]
    assert len(voted) / len(bad) == pytest.approx(0.5, abs=0.02)
    assert sum(reaction.vote == 0 for reaction in voted) / len(voted) == pytest.approx(0.85, abs=0.02)
    assert sum(reaction.vote == 0 for reaction in good) / len(good) == pytest.approx(0.2 * 0.06, abs=0.005)
    negative = [(reaction, ask) for reaction, ask in zip(bad, asks, strict=True) if reaction.vote == 0]
    corrected = [(reaction, ask) for reaction, ask in negative if reaction.correction is not None]
    assert len(corrected) / len(negative) == pytest.approx(0.15, abs=0.02)
    wrong = sum(reaction.correction != ask.right for reaction, ask in corrected)
    assert wrong / len(corrected) == pytest.approx(0.10, abs=0.03)


def test_few_users_speak_much() -> None:
    asks = asks_of(build(small_table(), Dials(weeks=4, per_week=1000)).weeks)
    counts = sorted(
        (sum(1 for _ in part) for _, part in itertools.groupby(sorted(a.user_id for a in asks))), reverse=True
    )
    assert sum(counts[: len(counts) // 10]) > 0.3 * len(asks)


def test_timed_texts_keep_their_own_order_and_drift() -> None:
    table = small_table(timed=True)
    world = build(table, Dials(weeks=6, per_week=30, fresh_texts_per_label=4))
    order = {row.text: row.at for row in table.rows}
    times = [order[ask.text] for ask in asks_of(world.weeks)]
    assert not world.injected
    assert times == sorted(times, key=lambda at: at or START)
    assert len({ask.text for ask in asks_of(world.weeks)}) == len(times)
    late = {"label-09", "label-10", "label-11"}
    assert {drift.label for drift in world.drifts} == late


def test_too_little_data_is_refused_with_what_is_missing() -> None:
    few = Table([Labelled(f"text {i}", f"label {i}") for i in range(9)], {"text": "text", "label": "label"}, 0)
    with pytest.raises(InputError, match="at least two labels with 5 texts each, got 0 of 9"):
        build(few, DIALS)
    with pytest.raises(InputError, match="at least 1040 timed texts after launch for 520 weeks"):
        build(small_table(timed=True), Dials(weeks=520))
