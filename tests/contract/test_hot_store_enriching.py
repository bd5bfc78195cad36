"""The contract of what enriching keeps: aims, sessions, users, groups, audits and what is to be judged again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import SECOND, SESSION, P
from trimtab.errors import WallBreach
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.hot import events
from trimtab.store.ports import Backfill, HotStore, Query, Session, Target, Turn, VersionScores, VersionSummary, Writes


def stored(store: HotStore, *events: Inference | Feedback, project_id: str = P) -> None:
    assert all(store.append([a.arrival(event, project_id) for event in events]))


def turn(about: Inference, at: datetime | None = None) -> Turn:
    return Turn("s-1", at or about.created_at, about.id, about.feature)


def test_what_was_said_about_a_target_is_found_joined_or_not(store: HotStore) -> None:
    about, first, second, other = a.inference(), a.feedback(), a.feedback(), a.feedback()
    stored(store, about, first, second)
    stored(store, other, project_id="q")
    store.commit({P: Writes(aims=[(second.id, SESSION), (first.id, SESSION)]), "q": Writes(aims=[(other.id, SESSION)])})
    assert store.aimed(P, [SESSION, Target("trace", "s-1")]) == [(SESSION, first), (SESSION, second)]
    store.commit({P: Writes(joined=[(first.id, about.id)], aims=[(first.id, SESSION)])})
    assert [word.id for _, word in store.aimed(P, [SESSION])] == [first.id, second.id]
    assert store.joined(P, [first.id, second.id, "no id"]) == {first.id: about.id}
    assert store.joined("q", [first.id]) == {}


def test_a_word_moves_to_another_answer(store: HotStore) -> None:
    early, late, word, more = a.inference(), a.inference(), a.feedback(), a.feedback()
    stored(store, early, late, word, more)
    store.commit({P: Writes(joined=[(more.id, early.id), (word.id, early.id)], opinions=[a.opinion(word, early)])})
    assert store.joined_to(P, [early.id, late.id]) == {early.id: [word, more]}
    moved = Writes(joined=[(word.id, late.id)], replaced=[early.id, late.id], opinions=[a.opinion(word, late)])
    store.commit({P: moved})
    store.commit({P: moved})
    assert store.joined_to(P, [early.id, late.id]) == {early.id: [more], late.id: [word]}
    assert store.opinions(P, [early.id, late.id]) == {late.id: [a.opinion(word, late)]}


def test_replaced_opinions_may_be_older_than_those_before(store: HotStore) -> None:
    about = a.inference()
    late = a.opinion(a.feedback(created_at=a.NOW + SECOND), about)
    early = a.opinion(a.feedback(), about)
    store.commit({P: Writes(opinions=[late])})
    store.commit({P: Writes(opinions=[early])})
    assert store.opinions(P, [about.id]) == {about.id: [late]}
    store.commit({P: Writes(opinions=[early], replaced=[about.id])})
    assert store.opinions(P, [about.id]) == {about.id: [early]}


def test_an_outcome_that_was_taken_back_is_told_to_who_follows_and_to_nobody_else(store: HotStore) -> None:
    served = a.inference(), a.inference()
    stored(store, *served)
    store.commit({P: Writes(outcomes=[a.outcome(each, vote=1.0, voter_id="u") for each in served])})
    place = store.outcomes_after(0, 10)[-1].seq
    gone, kept = served[0].id, served[1].id
    back = a.outcome(served[0], p_bad=0.5, confidence=0.0, withdrawn=True)
    for _ in range(2):
        store.commit({P: Writes(outcomes=[back]), "q": Writes(outcomes=[a.outcome(served[1], withdrawn=True)])})
        assert back in [row.record for row in store.outcomes_after(place, 10)]
    assert list(store.outcomes(P, [gone, kept])) == [kept]
    assert [row.record.inference_id for row in store.list_outcomes(P, Query()).rows] == [kept]
    assert [each.inference_id for each in store.outcomes_in(Backfill(P, "feature", "answer", a.NOW), 9)] == [kept]
    until = a.NOW + SECOND
    assert store.summary(P, "answer", a.NOW, until) == [VersionSummary(None, 2, 1, 1)]
    assert [row.votes for row in store.scores(P, "answer", a.NOW, until)] == [1]
    assert {each.id for each in store.sample(P, "answer", a.NOW, until, 9, seed=1)} == {gone, kept}
    store.commit({P: Writes(outcomes=[a.outcome(served[0])])})
    assert sorted(store.outcomes(P, [gone, kept])) == sorted([gone, kept])
    assert store.summary(P, "answer", a.NOW, until) == [VersionSummary(None, 2, 2, 2)]


def test_a_session_is_its_newest_turns_in_order_of_time(store: HotStore) -> None:
    answers = [a.inference(created_at=a.NOW + SECOND * place) for place in (3, 1, 2)]
    store.commit({P: Writes(turns=[turn(answer) for answer in answers])})
    store.commit({P: Writes(turns=[turn(answers[0])])})
    assert store.turns(P, ["s-1", "s-2"]) == {"s-1": [turn(answers[1]), turn(answers[2]), turn(answers[0])]}
    assert store.turns(P, ["s-1"], limit=2) == {"s-1": [turn(answers[2]), turn(answers[0])]}
    assert store.turns("q", ["s-1"]) == {}


def test_a_session_closes_unless_it_moved_on_and_opens_again(store: HotStore) -> None:
    later = a.NOW + SECOND
    store.commit({P: Writes(sessions=[("s-1", later), ("s-1", a.NOW), ("s-2", a.NOW)]), "q": Writes()})
    first, second = Session(P, "s-1", later, closed=False), Session(P, "s-2", a.NOW, closed=False)
    assert store.quiet_sessions(later + SECOND, 10) == [second, first]
    assert store.quiet_sessions(later, 10) == [second]
    assert store.quiet_sessions(later + SECOND, 1) == [second]
    store.commit({P: Writes(closed=[second, first._replace(last_at=a.NOW)])})
    assert store.sessions(P, ["s-1", "s-2", "s-3"]) == {"s-1": first, "s-2": second._replace(closed=True)}
    assert store.quiet_sessions(later + SECOND, 10) == [first]
    store.commit({P: Writes(sessions=[("s-2", a.NOW)])})
    assert store.sessions(P, ["s-2"])["s-2"].closed
    store.commit({P: Writes(sessions=[("s-2", later)])})
    assert store.sessions(P, ["s-2"]) == {"s-2": Session(P, "s-2", later, closed=False)}


def test_of_what_is_known_of_a_user_the_latest_stays(store: HotStore) -> None:
    new, old = a.user(updated_at=a.NOW + SECOND, plan="free"), a.user(plan="pro")
    store.commit({P: Writes(users=[a.sealed(new)])})
    store.commit({P: Writes(users=[a.sealed(old)]), "q": Writes(users=[a.sealed(old)])})
    assert store.users(P, ["u-1", "u-2"]) == {"u-1": new}
    assert store.users("q", ["u-1"]) == {"u-1": old}
    with pytest.raises(WallBreach):
        store.commit({P: Writes(users=[old])})  # type: ignore[list-item]


def test_values_of_a_grouping_are_kept_once_and_sorted(store: HotStore) -> None:
    store.commit({P: Writes(segments=[("answer", "plan", "pro"), ("answer", "plan", "free"), ("b", "plan", "x")])})
    store.commit({P: Writes(segments=[("answer", "plan", "pro"), ("answer", "locale", "de")])})
    assert store.segments(P, "answer") == {"locale": ["de"], "plan": ["free", "pro"]}
    assert store.segments("q", "answer") == {}


def test_the_newest_calibration_of_a_feature_counts(store: HotStore) -> None:
    old, new = a.calibration(), a.calibration(created_at=a.NOW + SECOND, base=-2.0)
    store.commit({P: Writes(calibrations=[new, old, a.calibration(feature="other", created_at=a.NOW + 2 * SECOND)])})
    assert store.calibration(P, "answer") == new
    assert store.calibration("q", "answer") is None


def test_a_draw_from_very_many_is_uniform_too(store: HotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LISTED", 100)  # from here on places are guessed
    rows = [
        a.inference(feature="other" if place % 2 else "answer", created_at=a.NOW + SECOND * place)
        for place in range(2400)
    ]
    stored(store, *rows)
    span = (a.NOW, a.NOW + 2000 * SECOND)
    quarters = [0] * 4
    for seed in range(200):
        drawn = store.sample(P, "answer", *span, 5, seed)
        assert len({each.id for each in drawn}) == 5
        for each in drawn:
            assert each.feature == "answer"
            quarters[int((each.created_at - a.NOW) / (500 * SECOND))] += 1
    assert sum((count - 250) ** 2 / 250 for count in quarters) < 16.3  # chi squared, 3 degrees: P < 0.001
    drawn = store.sample(P, "answer", *span, 5, 7)
    store.commit({P: Writes(audits=[a.audit_item(each) for each in drawn])})
    assert not {each.id for each in drawn} & {each.id for each in store.sample(P, "answer", *span, 5, 7)}
    assert len(store.sample(P, "answer", *span, 2000, 7)) == 995


def test_a_draw_is_uniform_and_never_draws_twice(store: HotStore) -> None:
    answers = [a.inference(created_at=a.NOW + SECOND * place) for place in range(40)]
    stored(store, *answers, a.inference(feature="other"))
    span = (a.NOW, a.NOW + 20 * SECOND)
    drawn = store.sample(P, "answer", *span, 5, 1)
    assert drawn == store.sample(P, "answer", *span, 5, 1)
    assert {each.id for each in drawn} < {each.id for each in answers[:20]}
    assert {each.id for each in drawn} != {each.id for each in store.sample(P, "answer", *span, 5, 2)}
    store.commit({P: Writes(audits=[a.audit_item(each) for each in drawn])})
    rest = store.sample(P, "answer", *span, 100, 1)
    assert {each.id for each in rest} == {each.id for each in answers[:20]} - {each.id for each in drawn}
    found = store.audits(P, Query(feature="answer"))
    assert {row.record.inference_id for row in found.rows} == {each.id for each in drawn}
    counts = dict.fromkeys((each.id for each in answers), 0)
    for seed in range(400):
        for each in store.sample(P, "answer", a.NOW, a.NOW + 40 * SECOND, 7, seed):
            counts[each.id] += 1
    left = [count for key, count in counts.items() if key not in {each.id for each in drawn}]
    assert len(left) == 35
    assert all(40 < count < 130 for count in left)  # 80 expected, standard deviation 8


def test_what_is_to_be_judged_again_is_gone_through_in_lots(store: HotStore) -> None:
    mine = [a.outcome(a.inference(user_id="u-1")) for _ in range(3)]
    other = a.outcome(a.inference(user_id="u-2"))
    store.commit({P: Writes(outcomes=[*mine, other])})
    asked = Backfill(P, "user", "u-1", a.NOW)
    store.commit({P: Writes(backfills=[asked, Backfill(P, "feature", "answer", a.NOW + SECOND)])})
    assert store.backfills(1) == [asked]
    lot = store.outcomes_in(asked, 2)
    ordered = sorted(mine, key=lambda outcome: outcome.inference_id)
    assert lot == ordered[:2]
    moved = asked._replace(after=lot[-1].inference_id)
    store.commit({P: Writes(backfills=[moved])})
    assert store.backfills(1) == [moved]
    assert store.outcomes_in(moved, 2) == ordered[2:]
    anew = asked._replace(asked_at=a.NOW + 2 * SECOND)
    store.commit({P: Writes(backfills=[anew])})
    store.commit({P: Writes(backfills=[moved], backfilled=[moved])})  # what was under way when it was asked anew
    assert store.backfills(9)[1:] == [anew]
    store.commit({P: Writes(backfilled=[anew])})
    feature = store.backfills(9)
    assert [each.scope for each in feature] == ["feature"]
    assert len(store.outcomes_in(feature[0], 9)) == 4


def test_scores_add_up_estimates_and_votes_of_each_version(store: HotStore) -> None:
    answers = [a.inference(version_id=name) for name in ("v1", "v1", "v1", "v2")]
    stored(store, *answers)

    def scored(place: int, estimate: float | None, vote: float | None, voter: str | None) -> Outcome:
        about = answers[place]
        told = {"estimate": estimate, "vote": vote, "voter_id": voter, "version_id": about.version_id}
        return a.outcome(about, **told)

    store.commit(
        {P: Writes(outcomes=[scored(0, 0.5, None, None), scored(1, 1.0, 1.0, "u"), scored(3, None, 0.0, "u")])}
    )
    until = a.NOW + timedelta(minutes=1)
    assert store.scores(P, "answer", a.NOW, until) == [
        VersionScores("v1", 3, 2, 1.5, 1.25, 1, 1.0),
        VersionScores("v2", 1, 0, 0.0, 0.0, 1, 0.0),
    ]
    assert store.scores(P, "answer", until, until + SECOND) == []


def test_voters_are_distinct_people_of_each_version(store: HotStore) -> None:
    answers = [a.inference(version_id=name) for name in ("v1", "v1", "v1", "v2", None)]
    late = a.inference(version_id="v1", created_at=a.NOW + SECOND)
    people = ["u", "u", "w", "u", None]
    voted = [
        a.outcome(about, vote=None if who is None else 0.0, voter_id=who)
        for about, who in zip(answers, people, strict=True)
    ]
    store.commit({P: Writes(outcomes=[*voted, a.outcome(late, vote=1.0, voter_id="x")])})
    assert store.voters(P, "answer", a.NOW, a.NOW + SECOND) == {"v1": 2, "v2": 1}
