"""Which answers people are asked about, in which order, and who has which."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.loop import FEATURE, PROJECT
from tests.unit.act.test_stage import Desk
from trimtab.act.actions.port import Situation
from trimtab.act.actions.review import ReviewEffect
from trimtab.act.review import Candidate, Reviews, chosen, item_id, priority
from trimtab.config import Reviewing
from trimtab.errors import Conflict, NotFound
from trimtab.records import Evidence, Outcome, ReviewItem
from trimtab.redact.engine import Redactor
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes

P = "default"
REDACTOR = Redactor(key=bytes(32))


def outcome(p_bad: float, confidence: float = 1.0, **fields: Any) -> Outcome:
    told = {"p_bad": p_bad, "confidence": confidence, "evidence": [], **fields}
    return msgspec.structs.replace(a.outcome(a.inference()), **told)


def test_priority_is_the_formula() -> None:
    assert priority(outcome(0.8, 0.5), 0, corrected=False) == pytest.approx(0.4)
    assert priority(outcome(0.8, 0.5), 3, corrected=True) == pytest.approx(0.4 * (1 + 1.3862943611) + 0.5)


def test_first_come_the_surely_bad_the_many_and_the_corrected_oldest_first_on_ties() -> None:
    corrected = [Evidence(kind="correction", x=1.0)]
    late = Candidate(outcome(0.6, created_at=a.NOW + a.SECOND), "what about lemons?")
    rows = [
        late,
        Candidate(outcome(0.6), "and how are pears sold?"),
        Candidate(outcome(0.9), "is tomorrow a holiday?"),
        Candidate(outcome(0.6, evidence=corrected), "who wrote this letter?"),
        *(Candidate(outcome(0.7), f"Where is my parcel number {n}?") for n in (1, 2, 3, 4, 5)),
    ]
    found = chosen(rows, budget=20, alike=3)
    assert [candidate.question for candidate, _, _ in found[:3]] == [
        f"Where is my parcel number {n}?" for n in (1, 2, 3)
    ]
    assert [alike for _, _, alike in found[:3]] == [4, 4, 4]
    assert [candidate.question for candidate, _, _ in found[3:]] == [
        "who wrote this letter?",
        "is tomorrow a holiday?",
        "and how are pears sold?",
        "what about lemons?",
    ]
    assert all(one[1] >= two[1] for one, two in pairwise(found))
    assert len(chosen(rows, budget=2, alike=3)) == 2
    assert chosen([], budget=2, alike=3) == []


def test_of_alike_questions_the_surest_are_taken() -> None:
    rows = [Candidate(outcome(p), "Where is my parcel?") for p in (0.6, 0.9, 0.7, 0.8)]
    assert [candidate.outcome.p_bad for candidate, _, _ in chosen(rows, budget=9, alike=2)] == [0.9, 0.8]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.until("canary")
    yield made
    made.world.close()


def test_an_incident_asks_about_its_bad_answers_once_and_within_its_budget(desk: Desk) -> None:
    effect = ReviewEffect(desk.store, desk.world.redactor, Reviewing(incident_items=4, alike=2))
    situation = Situation(PROJECT, desk.incident, desk.base, desk.now)
    assert effect.plan(situation).detail == {"items": 4}
    writes, done = effect.apply(situation)
    desk.store.commit({PROJECT: writes})
    items = writes.reviews
    assert done == {"items": [item.id for item in items]}
    assert len({item.inference_id for item in items}) == 4
    judged = desk.store.outcomes(PROJECT, [item.inference_id for item in items])
    for item in items:
        found = judged[item.inference_id]
        assert found.p_bad > 0.5
        assert found.version_id == desk.incident.version_id
        assert found.created_at >= desk.incident.onset_at
        assert (item.source, item.incident_id, item.feature) == ("incident", desk.incident.id, FEATURE)
        assert item.id == item_id(item.inference_id)
        assert "How do I" not in item.reason
    again = effect.apply(situation)[0].reviews
    assert not {item.id for item in again} & {item.id for item in items}


def test_taking_the_asking_back_leaves_what_somebody_began(desk: Desk) -> None:
    effect = ReviewEffect(desk.store, desk.world.redactor, Reviewing(incident_items=3))
    situation = Situation(PROJECT, desk.incident, desk.base, desk.now)
    writes, done = effect.apply(situation)
    desk.store.commit({PROJECT: writes})
    [begun] = Reviews(desk.store, desk.world.redactor, Reviewing()).next(PROJECT, "r-1", 1, desk.now)
    desk.store.commit({PROJECT: effect.revert(situation, done)})
    found = [desk.store.review(PROJECT, each) for each in done["items"]]
    assert sorted(item.state for item in found if item) == ["reserved", "skipped", "skipped"]
    assert desk.store.review(PROJECT, begun.id) == begun


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    yield opened
    opened.close()


def queue(store: HotStore, count: int) -> list[ReviewItem]:
    items = [a.review_item(priority=float(count - place)) for place in range(count)]
    store.commit({P: Writes(reviews=items)})
    return items


def test_reviewers_who_ask_at_once_get_disjoint_items(store: HotStore) -> None:
    items = queue(store, 120)
    reviews = Reviews(store, REDACTOR, Reviewing())

    def work(name: str) -> list[str]:
        taken: list[str] = []
        while found := [item for item in reviews.next(P, name, 3, a.NOW) if item.id not in taken]:
            for item in found:
                taken.append(item.id)
                reviews.close(P, reviews.claim(P, item.id, name, a.NOW), "good", a.NOW, 1.0)
        return taken

    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(work, [f"r-{n}" for n in range(8)]))
    taken = [each for share in shares for each in share]
    assert len(taken) == len(set(taken)) == len(items)


def test_a_reservation_ends_and_then_another_reviewer_is_given_it(store: HotStore) -> None:
    [item] = queue(store, 1)
    reviews = Reviews(store, REDACTOR, Reviewing(reserve_minutes=10))
    assert [each.id for each in reviews.next(P, "r-1", 5, a.NOW)] == [item.id]
    assert reviews.next(P, "r-2", 5, a.NOW + timedelta(minutes=9)) == []
    with pytest.raises(Conflict, match="another reviewer"):
        reviews.claim(P, item.id, "r-2", a.NOW + timedelta(minutes=9))
    [again] = reviews.next(P, "r-2", 5, a.NOW + timedelta(minutes=10))
    assert (again.id, again.reserved_by) == (item.id, "r-2")
    with pytest.raises(Conflict, match="another reviewer"):
        reviews.claim(P, item.id, "r-1", a.NOW + timedelta(minutes=11))


def test_asking_again_gives_the_same_reviewer_the_same_items(store: HotStore) -> None:
    queue(store, 6)
    reviews = Reviews(store, REDACTOR, Reviewing())
    first = [item.id for item in reviews.next(P, "r-1", 2, a.NOW)]
    assert [item.id for item in reviews.next(P, "r-1", 3, a.NOW)][:2] == first


def test_a_reviewer_is_known_by_a_pseudonym_where_the_name_is_personal(store: HotStore) -> None:
    [item] = queue(store, 1)
    reviews = Reviews(store, REDACTOR, Reviewing())
    [held] = reviews.next(P, "jane.doe@example.com", 1, a.NOW)
    assert "jane" not in (held.reserved_by or "")
    assert reviews.claim(P, item.id, "jane.doe@example.com", a.NOW).id == item.id


def test_a_closed_item_is_closed(store: HotStore) -> None:
    [item] = queue(store, 1)
    reviews = Reviews(store, REDACTOR, Reviewing())
    closed = reviews.close(P, reviews.claim(P, item.id, "r-1", a.NOW), "bad", a.NOW, 30.0)
    assert (closed.state, closed.verdict, closed.minutes, closed.closed_at) == ("done", "bad", 0.5, a.NOW)
    with pytest.raises(Conflict, match="done"):
        reviews.claim(P, item.id, "r-1", a.NOW)
    with pytest.raises(NotFound):
        reviews.claim(P, "nonsense", "r-1", a.NOW)
    assert reviews.next(P, "r-1", 1, a.NOW) == []


HOUR = timedelta(hours=1)


def asked_of_a_guest(store: HotStore, reviews: Reviews, **link: Any) -> ReviewItem:
    """Return the item of a guest, with a link to it, beside one that a reviewer found bad and one found good."""
    [first] = queue(store, 1)
    guest = reviews.asked_of(P, first.id, "guest", a.NOW)
    if link:
        told = a.review_link(item_id=guest.id, reviewer="guest", expires_at=a.NOW + HOUR, revoked_at=None)
        store.commit({P: Writes(review_links=[a.sealed(msgspec.structs.replace(told, **link))])})
    reviews.close(P, reviews.claim(P, first.id, "ada", a.NOW), "bad", a.NOW, 30.0)
    other = reviews.asked_of(P, first.id, "bob", a.NOW)
    reviews.close(P, reviews.claim(P, other.id, "bob", a.NOW), "good", a.NOW, 30.0)
    return guest


def referees(store: HotStore, item: ReviewItem) -> list[ReviewItem]:
    return [each for each in store.review_card(P, str(item.card_id)) if each.referee]


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("link", [{"expires_at": a.NOW + HOUR}, {"revoked_at": a.NOW}], ids=["expired", "revoked"])
def test_a_guest_whose_link_is_over_is_waited_for_no_more(
    store: HotStore, link: dict[str, Any], *, opened: bool
) -> None:
    reviews = Reviews(store, REDACTOR, Reviewing(reserve_minutes=600))
    guest = asked_of_a_guest(store, reviews, **link)
    if opened:
        reviews.claim(P, guest.id, "guest", a.NOW, shown=True)
    assert referees(store, guest) == []
    reviews.let_go(P, guest.feature, a.NOW + HOUR)
    reviews.let_go(P, guest.feature, a.NOW + HOUR)
    [referee] = referees(store, guest)
    closed = store.review(P, guest.id)
    assert closed is not None
    assert (referee.state, closed.state, closed.reserved_by, closed.verdict) == ("open", "skipped", None, None)
    assert reviews.asked_of(P, guest.id, "guest", a.NOW + HOUR).state == "open"  # and may be asked anew


@pytest.mark.parametrize("link", [{}, {"expires_at": a.NOW + 2 * HOUR}], ids=["none yet", "lasting"])
def test_a_guest_who_may_still_answer_is_waited_for(store: HotStore, link: dict[str, Any]) -> None:
    reviews = Reviews(store, REDACTOR, Reviewing())
    guest = asked_of_a_guest(store, reviews, **link)
    reviews.let_go(P, guest.feature, a.NOW + HOUR)
    assert referees(store, guest) == []
    assert reviews.claim(P, guest.id, "guest", a.NOW + HOUR).id == guest.id


def test_a_referee_who_was_sent_a_link_besides_stays_the_referee(store: HotStore) -> None:
    reviews = Reviews(store, REDACTOR, Reviewing(referee="eve"))
    guest = asked_of_a_guest(store, reviews, revoked_at=a.NOW)
    reviews.let_go(P, guest.feature, a.NOW)
    [referee] = referees(store, guest)
    told = a.review_link(item_id=referee.id, reviewer="eve", revoked_at=a.NOW)
    store.commit({P: Writes(review_links=[a.sealed(told)])})
    reviews.let_go(P, guest.feature, a.NOW)
    assert [each.state for each in referees(store, guest)] == ["open"]
