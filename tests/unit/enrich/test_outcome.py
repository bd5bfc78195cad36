from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.enrich.outcome import judge, latest, spoken
from trimtab.enrich.weights import table
from trimtab.ids import derived_id
from trimtab.records import Inference, Opinion, Outcome

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANSWER = Inference(id=derived_id("answer"), feature="support", created_at=NOW, input="Where is it?", user_id="ada")


def opinion(name: str, kind: Any = "thumb", **more: Any) -> Opinion:
    more.setdefault("created_at", NOW)
    more.setdefault("source", "user")
    more.setdefault("user_id", "ada")
    return Opinion(inference_id=ANSWER.id, feedback_id=derived_id(name), kind=kind, **more)


def word(answer: Inference, opinions: Iterable[Opinion]) -> Outcome | None:
    """Judge by words alone."""
    return judge(answer, opinions, (), table("support", now=NOW), now=NOW)


@pytest.mark.parametrize(
    ("said", "x"),
    [
        (opinion("a", "thumb", value=1), 0.0),
        (opinion("a", "thumb", value=0), 1.0),
        (opinion("a", "rating", value=1, best=5), 1.0),
        (opinion("a", "rating", value=4, best=5), 0.25),
        (opinion("a", "accept"), 0.0),
        (opinion("a", "reject"), 1.0),
        (opinion("a", "outcome", value=1), 0.0),
        (opinion("a", "correction"), 1.0),
        (opinion("a", "comment"), None),
        (opinion("a", "copy"), None),
    ],
)
def test_explicit_kind_says_what_it_means(said: Opinion, x: float | None) -> None:
    assert spoken(said) == x


def test_nobody_spoke_means_no_outcome() -> None:
    assert word(ANSWER, [opinion("a", "comment"), opinion("b", "copy")]) is None


def test_changed_thumb_counts_once_and_as_last_said() -> None:
    down, up = opinion("a", value=0), opinion("b", value=1, created_at=NOW + timedelta(seconds=5))
    outcome = word(ANSWER, [up, down])
    assert outcome is not None
    assert (outcome.p_bad, outcome.vote, len(outcome.evidence)) == (0.0, 0.0, 1)


def test_retracted_vote_says_nothing_any_more() -> None:
    taken_back = opinion("b", retracted=True, created_at=NOW + timedelta(seconds=5))
    assert word(ANSWER, [opinion("a", value=0), taken_back]) is None
    outcome = word(ANSWER, [opinion("a", value=0), taken_back, opinion("c", value=1, user_id="ben")])
    assert outcome is not None
    assert (outcome.p_bad, outcome.vote, len(outcome.evidence)) == (0.0, 0.0, 1)


def test_correction_stands_for_a_vote_only_without_one() -> None:
    alone = word(ANSWER, [opinion("a", "correction")])
    beside = word(ANSWER, [opinion("a", "correction"), opinion("b", value=1)])
    assert alone is not None
    assert beside is not None
    assert (alone.vote, beside.vote) == (1.0, 0.0)


def test_two_people_weigh_the_same_however_much_one_says() -> None:
    ada = [opinion("a", value=0), opinion("b", "reject"), opinion("c", "rating", value=1, best=5)]
    outcome = word(ANSWER, [*ada, opinion("d", value=1, user_id="bob")])
    assert outcome is not None
    assert outcome.vote == 0.5


def test_reviewer_decides_the_outcome_but_never_the_vote() -> None:
    outcome = word(ANSWER, [opinion("a", value=1), opinion("r", "correction", source="reviewer", user_id="rev")])
    assert outcome is not None
    assert (outcome.p_bad, outcome.vote, outcome.voter_id) == (1.0, 0.0, "ada")


def test_unknown_voter_is_told_apart_by_session_then_by_inference() -> None:
    stranger = Inference(id=derived_id("s"), feature="support", created_at=NOW, input="?", session_id="s1")
    nobody = Inference(id=derived_id("n"), feature="support", created_at=NOW, input="?")
    said = [opinion("a", value=0, user_id=None)]
    in_session, alone = word(stranger, said), word(nobody, said)
    assert in_session is not None
    assert alone is not None
    assert (in_session.voter_id, alone.voter_id) == ("session:s1", f"inference:{nobody.id}")


@st.composite
def opinions(draw: st.DrawFn) -> list[Opinion]:
    said = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["thumb", "rating", "accept", "reject", "correction", "comment"]),
                st.sampled_from(["ada", "bob", None]),
                st.sampled_from(["user", "reviewer"]),
                st.integers(0, 3),
                st.booleans(),
            ),
            max_size=8,
        )
    )
    return [
        opinion(
            f"f{place}",
            kind,
            user_id=user,
            source=source,
            created_at=NOW + timedelta(seconds=second),
            value=float(second % 2) if kind == "thumb" else float(second + 1),
            best=5.0,
            retracted=retracted,
        )
        for place, (kind, user, source, second, retracted) in enumerate(said)
    ]


@given(said=opinions(), order=st.randoms())
def test_order_and_repetition_never_change_the_outcome(said: list[Opinion], order: Any) -> None:
    shuffled = [*said, *said[:2]]
    order.shuffle(shuffled)
    assert word(ANSWER, shuffled) == word(ANSWER, said)
    assert latest(latest(shuffled)) == latest(said)


@given(said=opinions(), cut=st.integers(0, 8))
def test_outcome_by_parts_equals_outcome_at_once(said: list[Opinion], cut: int) -> None:
    assert word(ANSWER, [*latest(said[:cut]), *said[cut:]]) == word(ANSWER, said)
