"""What people did with an answer, judged by its weights; what they said overrides it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.config import Signals
from trimtab.enrich.outcome import judge, latest, reviewed, strongest
from trimtab.enrich.signals.event import done
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.weights import HINTS, table
from trimtab.ids import derived_id
from trimtab.records import Evidence, Inference, Opinion, Outcome, Signal
from trimtab.stats.logistic import sigmoid

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANSWER = Inference(id=derived_id("answer"), feature="support", created_at=NOW, input="Where is it?", user_id="ada")
TABLE = table("support", now=NOW)


def sign(kind: Signal, x: float = 1.0, **more: Any) -> Sign:
    return Sign(kind, ANSWER.id, more.pop("at", NOW), x=x, **more)


def opinion(name: str, kind: Any = "thumb", **more: Any) -> Opinion:
    told = {"created_at": NOW, "source": "user", "user_id": "ada", **more}
    return Opinion(inference_id=ANSWER.id, feedback_id=derived_id(name), kind=kind, **told)


def judged(signs: list[Sign], opinions: tuple[Opinion, ...] = (), **more: Any) -> Outcome:
    outcome = judge(ANSWER, opinions, signs, more.pop("calibration", TABLE), now=NOW, **more)
    assert outcome is not None
    return outcome


@pytest.mark.parametrize(
    ("kinds", "tier", "cap"),
    [(["copy"], "C", 0.5), (["copy", "regenerate"], "B", 0.8), (["objection", "thanks", "rephrase"], "B", 0.8)],
)
def test_p_bad_is_the_sum_of_weights_and_confidence_is_capped_by_the_best_tier(
    kinds: list[Signal], tier: str, cap: float
) -> None:
    outcome = judged([sign(kind) for kind in kinds])
    log_odds = TABLE.base + sum(TABLE.weights[kind] for kind in kinds)
    assert outcome.log_odds == pytest.approx(log_odds)
    assert outcome.p_bad == outcome.estimate == pytest.approx(sigmoid(log_odds))
    assert (outcome.tier, outcome.vote, outcome.voter_id) == (tier, None, None)
    assert outcome.confidence == pytest.approx(abs(2 * outcome.p_bad - 1) * cap)


def test_evidence_adds_up_to_the_log_odds() -> None:
    outcome = judged([sign("rephrase", 0.9, value=0.91, turn_id=derived_id("next")), sign("edit", value=0.6)])
    assert outcome.log_odds == pytest.approx(TABLE.base + sum(each.weight for each in outcome.evidence))
    heard = next(each for each in outcome.evidence if each.kind == "rephrase")
    assert heard == Evidence(
        kind="rephrase", x=0.9, weight=TABLE.weights["rephrase"], turn_id=derived_id("next"), value=0.91
    )


def test_a_kind_counts_once_by_its_strongest_sign() -> None:
    weak, strong = sign("rephrase", 0.6, value=0.86), sign("rephrase", 0.95, value=0.97)
    outcome = judged([weak, strong, weak])
    assert [each.value for each in outcome.evidence] == [0.97]
    assert outcome.log_odds == pytest.approx(TABLE.base + TABLE.weights["rephrase"])


def test_a_word_overrides_every_hint_and_the_hints_stay_to_be_seen() -> None:
    outcome = judged([sign("copy", 0.0), sign("thanks", 0.0)], (opinion("a", value=0),))
    assert (outcome.p_bad, outcome.confidence, outcome.tier, outcome.vote, outcome.estimate) == (
        1.0,
        1.0,
        "A",
        1.0,
        1.0,
    )
    assert {each.kind for each in outcome.evidence} == {"thumb", "copy", "thanks"}
    assert outcome.log_odds is not None
    assert outcome.log_odds < TABLE.base


def test_estimate_leaves_reviewers_and_judges_out() -> None:
    for source in ("reviewer", "judge"):
        outcome = judged([sign("copy", 0.0)], (opinion("a", value=0, source=source, user_id="rev"),))
        assert (outcome.p_bad, outcome.vote) == (1.0, None)
        assert outcome.estimate == pytest.approx(sigmoid(TABLE.base + TABLE.weights["copy"]))
    both = judged([], (opinion("a", value=1), opinion("b", value=0, source="reviewer", user_id="rev")))
    assert (both.p_bad, both.estimate) == (1.0, 0.0)


def test_neither_word_nor_hint_is_no_outcome() -> None:
    assert judge(ANSWER, [opinion("a", "comment")], [], TABLE, now=NOW) is None
    assert judge(ANSWER, [], [sign("comment"), sign("thumb")], TABLE, now=NOW) is None


def test_dwell_is_kept_and_counts_nothing() -> None:
    outcome = judged([sign("dwell", 0.5, value=40.0)])
    assert outcome.p_bad == pytest.approx(sigmoid(TABLE.base))
    assert [(each.kind, each.weight, each.value) for each in outcome.evidence] == [("dwell", 0.0, 40.0)]


def test_a_vote_taken_back_leaves_the_hints() -> None:
    outcome = judged([sign("regenerate")], (opinion("a", value=1, retracted=True),))
    assert (outcome.vote, outcome.tier) == (None, "B")
    assert outcome.p_bad == pytest.approx(sigmoid(TABLE.base + TABLE.weights["regenerate"]))


def test_outcome_says_which_calibration_it_stands_on() -> None:
    fitted = msgspec.structs.replace(TABLE, id=derived_id("c"), base=-1.0, weights={"copy": -2.0}, calibrated=True)
    outcome = judged([sign("copy", 0.0), sign("thanks", 0.0)], calibration=fitted, segments={"plan": "pro"})
    assert (outcome.calibration_id, outcome.calibrated, outcome.segments) == (fitted.id, True, {"plan": "pro"})
    assert outcome.p_bad == pytest.approx(sigmoid(-3.0))


def test_confidence_in_a_word_is_that_in_who_said_it() -> None:
    words = (opinion("a", value=0), opinion("b", value=0, user_id="ben"))
    assert judged([], words, reliability={"ada": 0.4}).confidence == pytest.approx(0.7)


def test_hints_sent_as_feedback_are_heard_unless_taken_back_small_or_a_reviewers() -> None:
    said = [
        opinion("a", "copy"),
        opinion("b", "regenerate", retracted=True),
        opinion("c", "edit", value=0.2),
        opinion("d", "edit", value=0.8, user_id="ben"),
        opinion("e", "click", source="reviewer"),
        opinion("f", "dwell", value=3.0),
        opinion("g", "comment"),
        opinion("h", "abandon"),
    ]
    heard = {(each.kind, each.feedback_id, each.x) for each in done(ANSWER, said, {}, Signals())}
    assert heard == {
        ("copy", derived_id("a"), 0.0),
        ("edit", derived_id("d"), 1.0),
        ("dwell", derived_id("f"), 0.5),
        ("abandon", derived_id("h"), 1.0),
    }


def test_reviewers_decide_as_they_do_in_the_outcome() -> None:
    said = [
        opinion("a", value=0),
        opinion("b", value=1, source="reviewer", user_id="r1"),
        opinion("c", "correction", source="reviewer", user_id="r1"),
        opinion("d", "correction", source="reviewer", user_id="r2"),
        opinion("e", value=0, source="judge", user_id="m"),
    ]
    assert reviewed(said) == judged([], tuple(said)).p_bad == 0.5
    assert reviewed(said[:1]) is None


signs = st.builds(
    Sign,
    kind=st.sampled_from([*HINTS, "comment"]),
    about=st.just(ANSWER.id),
    at=st.integers(0, 3).map(lambda second: NOW + timedelta(seconds=second)),
    value=st.sampled_from([None, 0.4, 0.9]),
    turn_id=st.sampled_from([None, derived_id("t1"), derived_id("t2")]),
    feedback_id=st.sampled_from([None, derived_id("f1")]),
    x=st.sampled_from([0.0, 0.5, 0.7, 1.0]),
)
words = st.builds(
    lambda name, kind, user, source, second, retracted: opinion(
        f"w{name}",
        kind,
        user_id=user,
        source=source,
        value=float(second % 2),
        created_at=NOW + timedelta(seconds=second),
        retracted=retracted,
    ),
    st.integers(0, 20),
    st.sampled_from(["thumb", "correction", "copy", "regenerate"]),
    st.sampled_from(["ada", "ben", None]),
    st.sampled_from(["user", "reviewer"]),
    st.integers(0, 3),
    st.booleans(),
)


@given(
    heard=st.lists(signs, max_size=8),
    said=st.lists(words, max_size=6, unique_by=lambda each: each.feedback_id),
    cut=st.integers(0, 8),
    order=st.randoms(),
)
def test_what_comes_bit_by_bit_in_any_order_and_twice_gives_the_outcome_of_all_at_once(
    heard: list[Sign], said: list[Opinion], cut: int, order: Any
) -> None:
    at_once = judge(ANSWER, said, [*heard, *done(ANSWER, latest(said), {}, Signals())], TABLE, now=NOW)
    again, spoken = [*heard, *heard[:3]], [*said, *said[:2]]
    order.shuffle(again)
    order.shuffle(spoken)
    kept, held = strongest(again[:cut]), latest(spoken[:cut])
    for one in again[cut:]:
        kept = strongest([one, *kept])
    for word in spoken[cut:]:
        held = latest([word, *held])
    assert judge(ANSWER, held, [*kept, *done(ANSWER, held, {}, Signals())], TABLE, now=NOW) == at_once


@given(heard=st.lists(signs, max_size=6), one=signs)
def test_a_new_hint_moves_the_log_odds_by_its_weight_or_not_at_all(heard: list[Sign], one: Sign) -> None:
    before = judge(ANSWER, [], heard, TABLE, now=NOW)
    after = judge(ANSWER, [], [*heard, one], TABLE, now=NOW)
    if after is None:
        assert one.kind not in HINTS
        return
    start = before.log_odds if before and before.log_odds is not None else TABLE.base
    known = one.kind in {each.kind for each in heard}
    step = 0.0 if known else float(TABLE.weights.get(one.kind, 0.0))
    assert after.log_odds == pytest.approx(start + step)
