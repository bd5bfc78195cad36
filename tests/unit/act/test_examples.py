"""Old examples that corrections contradict are put to people, and only what they all confirm is renewed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.example_world import CARD, FEATURE, KINDS, NOW, PROJECT, REFUND, VOUCHER, WEEK, ExampleWorld, examples
from trimtab.config import NotifyTarget, Reviewing, Settings
from trimtab.errors import Conflict
from trimtab.ids import content_id, new_id
from trimtab.records import Erasure, Exemplar, Feedback, ReviewItem
from trimtab.redact.wall import seal, seal_all
from trimtab.store.erasing import person
from trimtab.store.ports import Arrival, Query, Writes

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ExampleWorld]:
    made = ExampleWorld(tmp_path)
    yield made
    made.store.close()


def split() -> tuple[list[Exemplar], list[Exemplar]]:
    """Return the examples about refunds, and the others."""
    every = examples()
    return [each for each in every if each.output == CARD], [each for each in every if each.output != CARD]


def confirmed(world: ExampleWorld, items: list[ReviewItem]) -> None:
    for item in items:
        assert world.judge(item, "bad", VOUCHER, NOW + MINUTE).confirms


def test_two_contradictions_put_three_old_examples_into_the_queue_and_three_confirmations_renew(
    world: ExampleWorld,
) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    shown = world.looks.shown(PROJECT, items)
    assert [shown[item.id].output for item in items] == [CARD] * 3
    assert len({shown[item.id].input for item in items}) == 3
    assert {(item.source, item.state, item.confirms) for item in items} == {("example", "open", None)}
    assert len({item.doubt_id for item in items}) == 1
    for item in items:
        assert world.renewals(NOW + MINUTE) == []
        assert world.judge(item, "bad", f" {VOUCHER.upper()}  ", NOW + MINUTE).confirms
    assert world.renewals(NOW + MINUTE) == [(CARD, VOUCHER)]


def test_nothing_is_asked_while_only_one_correction_contradicts(world: ExampleWorld) -> None:
    world.contradict(NOW, count=1)
    assert world.raised(NOW) == []
    world.correct(REFUND, VOUCHER, NOW - MINUTE, reviewer="user", source="user")
    assert world.raised(NOW) == []  # users are not asked
    world.correct(REFUND, "Ask the bank.", NOW - MINUTE)
    assert world.raised(NOW) == []  # says another thing


def test_two_reviewers_of_one_answer_contradict_once(world: ExampleWorld) -> None:
    world.correct(REFUND, VOUCHER, NOW - MINUTE)
    world.correct(REFUND, VOUCHER, NOW - MINUTE, reviewer="ben", again=True)
    world.contradict(NOW, count=1, question=list(KINDS)[1])
    assert world.raised(NOW) == []


def test_questions_that_are_typical_of_nothing_and_confirmed_answers_contradict_nothing(world: ExampleWorld) -> None:
    for _ in range(2):
        world.correct("Will it snow on the mountain tomorrow evening?", VOUCHER, NOW - MINUTE)
        world.correct(REFUND, f"{CARD.lower()} ", NOW - MINUTE)
    assert world.raised(NOW) == []


def test_contradictions_of_more_than_eight_weeks_ago_are_forgotten(world: ExampleWorld) -> None:
    world.contradict(NOW - 8 * WEEK)
    assert world.raised(NOW) == []


@pytest.mark.parametrize("added", [NOW - timedelta(days=55), NOW])
def test_examples_younger_than_the_contradictions_are_not_in_doubt(tmp_path: Path, added: object) -> None:
    world = ExampleWorld(tmp_path, held=[msgspec.structs.replace(each, added_at=added) for each in examples()])
    world.contradict(NOW)
    assert world.raised(NOW) == []
    world.store.close()


@pytest.mark.parametrize("texts", [2, 3])
def test_fewer_than_three_old_examples_are_not_asked_about(tmp_path: Path, texts: int) -> None:
    cards, others = split()
    openings = ["hello"] * 5 + ["good morning dear team"] * 2 + ["please" if texts == 3 else "good morning dear team"]
    same = [
        msgspec.structs.replace(each, input=f"{opening} {REFUND}")
        for each, opening in zip(cards, openings, strict=True)
    ]
    world = ExampleWorld(tmp_path, held=[*same, *others])
    world.contradict(NOW, question=f"hello {REFUND}")
    assert len(world.raised(NOW)) == (3 if texts == 3 else 0)  # eight, but with the words of so many
    world.store.close()


@pytest.mark.parametrize("told", [{"audience": "u1"}, {"added_at": NOW - timedelta(days=55)}])
def test_examples_for_one_user_and_young_ones_are_not_asked_about(tmp_path: Path, told: dict[str, Any]) -> None:
    cards, others = split()
    held = [msgspec.structs.replace(each, **told) if n >= 3 else each for n, each in enumerate(cards)]
    world = ExampleWorld(tmp_path, held=[*held, *others])
    world.contradict(NOW)
    assert {item.exemplar_id for item in world.raised(NOW)} == {each.id for each in cards[:3]}
    world.store.close()


def test_doubt_that_lost_an_example_to_an_erasure_renews_nothing(tmp_path: Path) -> None:
    cards, others = split()
    said = a.feedback(id=new_id(NOW), user_id="gone", session_id=None, external_id="none")
    theirs = msgspec.structs.replace(cards[0], id=content_id("x", said.id.encode()))
    world = ExampleWorld(tmp_path, held=[theirs, *cards[1:3], *others])
    world.store.append([Arrival(PROJECT, seal(world.redactor, said), NOW)])
    world.contradict(NOW)
    confirmed(world, world.raised(NOW))
    assert world.renewals(NOW + MINUTE) == [(CARD, VOUCHER)]
    asked = Erasure(id=new_id(NOW), person=person(PROJECT, "gone"), asked_at=NOW, state="working")
    asked = world.store.bury(PROJECT, asked, ["gone"])
    world.store.collect(PROJECT, asked.id)
    world.store.erase(PROJECT, asked)
    assert len(world.store.review_looks(PROJECT, FEATURE, NOW)) == 2
    assert world.renewals(NOW + MINUTE) == []
    world.store.close()


@pytest.mark.parametrize("right", [None, "Ask the bank."])
def test_last_of_three_that_does_not_confirm_renews_nothing(world: ExampleWorld, right: str | None) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    confirmed(world, items[:2])
    world.judge(items[2], "bad", right, NOW + MINUTE)
    assert world.states(items) == ["done"] * 3
    assert world.renewals(NOW + MINUTE) == []


def test_a_feature_that_serves_nothing_or_has_no_examples_asks_nothing(tmp_path: Path) -> None:
    world = ExampleWorld(tmp_path, held=[])
    world.contradict(NOW)
    assert world.raised(NOW) == []
    assert world.looks.raise_doubts(PROJECT, "another", NOW) == []
    world.store.close()


def test_what_was_asked_rests_for_four_weeks_whatever_came_of_it(world: ExampleWorld) -> None:
    world.contradict(NOW)
    first = world.raised(NOW)
    world.judge(first[0], "good", None, NOW + MINUTE)
    world.contradict(NOW)
    assert world.raised(NOW + 4 * WEEK - MINUTE) == []
    again = world.raised(NOW + 4 * WEEK)
    assert len(again) == 3
    assert {item.id for item in first}.isdisjoint(item.id for item in again)


@pytest.mark.parametrize(
    ("verdict", "right"), [("good", None), ("bad", None), ("bad", "Ask the bank."), ("skip", None)]
)
def test_one_that_does_not_confirm_ends_the_question(world: ExampleWorld, verdict: str, right: str | None) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    world.judge(items[0], "bad", VOUCHER, NOW + MINUTE)
    ended = world.judge(items[1], verdict, right, NOW + MINUTE)  # type: ignore[arg-type]
    assert not ended.confirms
    assert world.states(items) == ["done", "skipped" if verdict == "skip" else "done", "skipped"]
    assert world.reviews.next(PROJECT, "ada", 10, NOW + MINUTE) == []
    assert world.renewals(NOW + MINUTE) == []


def test_one_that_somebody_has_before_them_is_left_to_them_and_closed_when_they_leave_it(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.reviews.next(PROJECT, "ben", 1, NOW) or world.raised(NOW)
    [held] = world.reviews.next(PROJECT, "ben", 1, NOW)
    other = next(item for item in items if item.id != held.id)
    world.judge(other, "good", None, NOW + MINUTE)
    assert sorted(world.states(items)) == ["done", "reserved", "skipped"]
    world.raised(NOW + MINUTE)
    assert world.states([held]) == ["reserved"]
    world.raised(NOW + timedelta(hours=1))
    assert world.states([held]) == ["skipped"]


def test_what_nobody_began_in_four_weeks_is_closed_and_proves_nothing(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    confirmed(world, items[:2])
    world.raised(NOW + 4 * WEEK)
    assert world.states(items) == ["done", "done", "skipped"]
    assert world.renewals(NOW + 4 * WEEK) == []


def test_confirmations_hold_for_four_weeks(world: ExampleWorld) -> None:
    world.contradict(NOW)
    confirmed(world, world.raised(NOW))
    assert world.renewals(NOW + 4 * WEEK - MINUTE) == [(CARD, VOUCHER)]
    assert world.renewals(NOW + 4 * WEEK + MINUTE) == []


def test_an_answer_that_was_renewed_is_not_renewed_again(world: ExampleWorld) -> None:
    world.contradict(NOW)
    confirmed(world, world.raised(NOW))
    later = NOW + MINUTE
    renewed = [
        msgspec.structs.replace(each, output=VOUCHER, added_at=later) if each.output == CARD else each
        for each in world.version.exemplars
    ]
    world.serve(renewed)
    assert world.renewals(later) == []
    assert world.raised(later + 5 * WEEK) == []


def test_doubts_rest_on_words_that_are_still_there(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    confirmed(world, items)
    kept = [each for each in world.version.exemplars if each.id != items[0].exemplar_id]
    before = list(world.version.exemplars)
    world.serve(kept)
    assert items[0].id not in world.looks.shown(PROJECT, items)
    assert world.renewals(NOW + MINUTE) == []
    world.serve(before)
    assert world.renewals(NOW + MINUTE) == [(CARD, VOUCHER)]
    instead = world.store.feedback(PROJECT, [str(items[0].instead_id)])[str(items[0].instead_id)]
    taken_back = Feedback(
        id="00000000-0000-7000-8000-000000000001",
        kind="correction",
        created_at=NOW,
        inference_id=instead.inference_id,
        user_id=instead.user_id,
        source="reviewer",
        retracted=True,
    )
    world.store.append([Arrival(PROJECT, each, NOW) for each in seal_all(world.redactor, [taken_back])])
    world.settle(NOW)
    assert world.renewals(NOW + MINUTE) == []


def test_a_look_at_an_example_that_was_renewed_meanwhile_shows_nothing(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    now_right = [msgspec.structs.replace(each, output=VOUCHER, added_at=NOW + MINUTE) for each in examples()]
    world.serve(now_right)
    assert world.looks.shown(PROJECT, items) == {}


def test_doubts_stay_within_the_weeks_budget(tmp_path: Path) -> None:
    world = ExampleWorld(tmp_path, settings=Settings(review=Reviewing(weekly_items=5)))
    world.contradict(NOW)
    parcel, said = list(KINDS.items())[1]
    world.contradict(NOW, count=3, question=parcel)
    items = world.raised(NOW)
    assert {world.looks.shown(PROJECT, items)[each.id].output for each in items} == {said}  # contradicted more often
    assert len(items) == 3
    assert world.raised(NOW + WEEK - MINUTE) == []
    assert len(world.raised(NOW + WEEK)) == 3
    world.store.close()


def test_an_example_is_asked_once_however_many_reviewers_an_answer_has(tmp_path: Path) -> None:
    world = ExampleWorld(tmp_path, settings=Settings(review=Reviewing(reviewers=3)))
    world.contradict(NOW)
    items = world.raised(NOW)
    assert len(items) == len({item.exemplar_id for item in items}) == 3
    assert len(world.reviews.next(PROJECT, "ada", 10, NOW)) == 3
    assert world.reviews.next(PROJECT, "ben", 10, NOW) == []
    world.store.close()


def test_a_link_hands_the_one_item_of_an_example_to_the_expert(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    [held] = world.reviews.next(PROJECT, "ben", 1, NOW)
    with pytest.raises(Conflict, match="asked once"):
        world.reviews.asked_of(PROJECT, held.id, "expert", NOW)
    free = next(item for item in items if item.id != held.id)
    given = world.reviews.asked_of(PROJECT, free.id, "expert", NOW)
    assert (given.id, given.asked_of) == (free.id, "expert")
    with pytest.raises(Conflict, match="somebody else"):
        world.reviews.claim(PROJECT, free.id, "ada", NOW)
    assert world.judge(free, "bad", VOUCHER, NOW, reviewer="expert").confirms
    assert len(world.store.review_looks(PROJECT, FEATURE, NOW)) == 3


def test_a_correction_is_compared_as_it_is_stored(world: ExampleWorld) -> None:
    right = "Write to jane.doe@example.com about refunds."
    world.contradict(NOW, right=right)
    items = world.raised(NOW)
    assert [world.judge(item, "bad", right, NOW + MINUTE).confirms for item in items] == [True] * 3
    [(old, new)] = world.renewals(NOW + MINUTE)
    assert (old, "jane" in new) == (CARD, False)


def test_items_hold_no_words(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    told = msgspec.json.encode(items).decode()
    assert not any(word in told for word in ("efund", "oucher", "card"))
    page = world.store.reviews(PROJECT, Query())
    assert [row.record for row in page.rows] == items[::-1]


def test_what_is_erased_raises_no_doubt(world: ExampleWorld) -> None:
    world.contradict(NOW)
    items = world.raised(NOW)
    world.store.commit(
        {PROJECT: Writes(reviewed=[seal(world.redactor, msgspec.structs.replace(items[0], instead_id=None))])}
    )
    assert world.judge(items[0], "bad", VOUCHER, NOW).confirms is False
    assert world.states(items) == ["done", "skipped", "skipped"]


def test_whoever_is_told_of_new_items_is_told_of_looks(tmp_path: Path) -> None:
    target = NotifyTarget(url="https://a.example", on=("review.added",))
    world = ExampleWorld(tmp_path, settings=Settings(notify={"desk": target}))
    world.contradict(NOW)
    world.raised(NOW)
    [told] = [row.record for row in world.store.deliveries(PROJECT, Query()).rows]
    assert (told.kind, told.feature, told.body["review"]["items"]) == ("review.added", FEATURE, 3)
    world.store.close()


def test_two_who_look_at_once_raise_one_doubt(world: ExampleWorld) -> None:
    world.contradict(NOW)
    with ThreadPoolExecutor(4) as pool:
        raised = list(pool.map(lambda n: world.raised(NOW + n * MINUTE), range(4)))
    assert sorted(len(items) for items in raised) == [0, 0, 0, 3]
    assert len(world.store.review_looks(PROJECT, FEATURE, NOW - WEEK)) == 3
