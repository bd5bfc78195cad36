"""What votes do not say of a candidate: answers of both arms, fed in order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from trimtab.act.guard.refusal import refuses
from trimtab.act.guardrails import Guardrails, bad_consumer, limits_of, seen_consumer, weighed
from trimtab.act.trial import Decision
from trimtab.config import Canary
from trimtab.ids import derived_id
from trimtab.records import Change, Inference, Rollout
from trimtab.stats.bucket import in_candidate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CANARY = Canary(steps=(0.2, 0.5))
LIMITS = {"latency": 1000.0, "cost": 0.01}


def change(state: Any = "canary", **more: Any) -> Change:
    told: dict[str, Any] = {"canary": {"steps": [[NOW.isoformat(), 0.2]]}, **more}
    return Change(
        id=derived_id("change"), feature="f", kind="exemplar", state=state, created_at=NOW, base_version_id="v_base",
        candidate_version_id="v_new", exposed_at=NOW, step_at=NOW, **told,
    )  # fmt: skip


def rollout(**more: Any) -> Rollout:
    told: dict[str, Any] = {"stable_version_id": "v_base", "candidate_version_id": "v_new", "share": 0.2, **more}
    return Rollout(feature="f", updated_at=NOW, id=derived_id("rollout"), revision=2, **told)


def answer(user: str, *, new: bool, at: datetime = NOW, **more: Any) -> Inference:
    told: dict[str, Any] = {"output": "Here it is.", "latency_ms": 300.0, "cost_usd": 0.001, **more}
    return Inference(
        id=derived_id(user, at.isoformat(), str(told)), feature="f", created_at=at, input="?", user_id=user,
        version_id="v_new" if new else "v_base", arm="candidate" if new else "stable", **told,
    )  # fmt: skip


def nobodys(count: int, *, first: int = 0, **more: Any) -> list[Inference]:
    """Return answers of the candidate to people nobody knows: they count for sums only."""
    rows = [answer(f"u{place}", new=True, **more) for place in range(first, first + count)]
    return [msgspec.structs.replace(row, user_id=None) for row in rows]


def guard_of(settings: Canary = CANARY, held: Change | None = None) -> Guardrails:
    made = Guardrails(held or change(), settings)
    if made.wants_limits:
        made.limit(LIMITS)
    return made


def served(users: int, bad: dict[str, Any], *, rate_new: float, rate_old: float, seed: int = 0) -> list[Inference]:
    """Return an answer to each of these users, split as the SDKs split, some of them bad."""
    dice = random.Random(seed)
    rows = []
    for place in range(users):
        new = in_candidate(f"salt{seed}", f"user-{place}", 0.2)
        hit = dice.random() < (rate_new if new else rate_old)
        rows.append(answer(f"user-{place}", new=new, at=NOW + timedelta(seconds=place), **(bad if hit else {})))
    return rows


BAD: dict[str, dict[str, Any]] = {
    "error": {"error": "timeout", "output": None},
    "latency": {"latency_ms": 4000.0},
    "cost": {"cost_usd": 0.2},
    "refusal": {"output": "I'm sorry, but I can't help with that."},
}


@pytest.mark.parametrize("metric", sorted(BAD))
def test_candidate_worse_by_a_measure_is_taken_back_by_that_measure(metric: str) -> None:
    guard = guard_of()
    guard.take(served(1500, BAD[metric], rate_new=0.2, rate_old=0.02), rollout(), {})
    decision = guard.decide(rollout(), NOW + HOUR)
    assert decision is not None
    assert (decision.verb, decision.by) == ("roll_back", metric)
    assert metric in decision.reason


@pytest.mark.parametrize("metric", sorted(BAD))
def test_trouble_that_hits_both_arms_takes_nothing_back(metric: str) -> None:
    guard = guard_of()
    guard.take(served(3000, BAD[metric], rate_new=0.3, rate_old=0.3), rollout(), {})
    assert guard.decide(rollout(), NOW + HOUR) is None


def test_harmless_candidates_are_seldom_taken_back_over_all_measures_together() -> None:
    taken = 0
    for seed in range(200):
        guard = guard_of()
        for bad in BAD.values():
            guard.take(served(150, bad, rate_new=0.3, rate_old=0.3, seed=seed), rollout(), {})
        taken += guard.decide(rollout(), NOW + HOUR) is not None
    assert taken <= 10  # 2.5% are allowed for: 5 expected at most


def test_measure_that_is_not_named_is_not_tested() -> None:
    guard = guard_of(msgspec.structs.replace(CANARY, guardrails=("error",)))
    guard.take(served(1500, BAD["cost"], rate_new=0.5, rate_old=0.0), rollout(), {})
    assert guard.decide(rollout(), NOW + HOUR) is None


def test_one_person_counts_once_per_measure_however_often_it_fails() -> None:
    guard = guard_of()
    often = [answer("ada", new=True, at=NOW + timedelta(seconds=place), error="x") for place in range(500)]
    guard.take(often, rollout(), {})
    again = Guardrails(guard.change, CANARY)
    again.take(often, rollout(), {bad_consumer(change().id, "error"): {"ada": NOW}})
    assert again.decide(rollout(), NOW + HOUR) is None
    assert guard.change.canary["guardrails"]["tests"]["error"]["n"] == 1
    assert again.change.canary["guardrails"]["tests"]["error"]["n"] == 1


@pytest.mark.parametrize(
    ("settings", "more", "by"),
    [
        ({"max_error_rate": 0.05}, {"error": "x"}, "error"),
        ({"max_latency_p95_ms": 500.0}, {"latency_ms": 600.0}, "latency"),
        ({"max_cost_usd": 0.005}, {"cost_usd": 0.02}, "cost"),
    ],
)
def test_hard_limit_takes_a_candidate_back_whatever_stable_does(
    settings: dict[str, float], more: dict[str, Any], by: str
) -> None:
    guard = guard_of(Canary(guardrails=(), **settings))  # type: ignore[arg-type]
    guard.take(nobodys(49, **more), rollout(), {})
    assert guard.decide(rollout(), NOW) is None, "too few to ask a plain threshold"
    guard.take(nobodys(1, first=50, **more), rollout(), {})
    decision = guard.decide(rollout(), NOW)
    assert decision is not None
    assert (decision.verb, decision.by) == ("roll_back", by)
    fine = guard_of(Canary(guardrails=(), **settings))  # type: ignore[arg-type]
    fine.take(nobodys(500), rollout(), {})
    assert fine.decide(rollout(), NOW) is None


def test_hard_limits_hold_after_the_promotion_day_by_day() -> None:
    settings = Canary(max_error_rate=0.1)
    held = change("promoted", promoted_at=NOW)
    guard = guard_of(settings, held)
    now_served = rollout(stable_version_id="v_new", candidate_version_id=None, share=0.0)
    good = [answer(f"u{place}", new=True, at=NOW + place * timedelta(seconds=1)) for place in range(900)]
    bad = [answer(f"u{place}", new=True, at=NOW + 25 * HOUR, error="x") for place in range(50)]
    guard.take(good, now_served, {})
    assert guard.decide(now_served, NOW + HOUR) is None
    guard.take(bad, now_served, {})
    decision = guard.decide(now_served, NOW + 25 * HOUR)
    assert decision is not None
    assert (decision.verb, decision.by) == ("roll_back", "error")


def test_after_the_promotion_those_held_back_are_what_it_is_measured_by() -> None:
    held = change("promoted", promoted_at=NOW)
    beside = rollout(
        stable_version_id="v_new", candidate_version_id=None, share=0.0, holdback_version_id="v_old", holdback_share=0.2
    )
    dice, guard = random.Random(1), guard_of(CANARY, held)
    for place in range(2000):
        back = place % 5 == 0
        row = answer(f"u{place}", new=True, error="x" if dice.random() < (0.02 if back else 0.2) else None)
        row = msgspec.structs.replace(row, version_id="v_old", arm="holdback") if back else row
        guard.take([row], beside, {})
    decision = guard.decide(beside, NOW + HOUR)
    assert decision is not None
    assert (decision.verb, decision.by) == ("roll_back", "error")


def test_traffic_that_is_not_split_as_meant_pauses_and_says_so() -> None:
    guard = guard_of()
    guard.take([answer(f"u{place}", new=place % 3 == 0) for place in range(1500)], rollout(), {})
    decision = guard.decide(rollout(), NOW + HOUR)
    assert decision is not None
    assert (decision.verb, decision.by) == ("pause", "split")
    assert "500 of 1500 people were served the candidate first" in decision.reason


def test_sound_split_pauses_nothing_through_a_step() -> None:
    steps = [[NOW.isoformat(), 0.2], [(NOW + HOUR).isoformat(), 0.5]]
    guard = guard_of(held=change(canary={"steps": steps}))
    for place in range(6000):
        at, share = (NOW, 0.2) if place < 3000 else (NOW + HOUR, 0.5)
        user = f"u{place % 4000}"  # some come again, and moved to the candidate with the step
        guard.take([answer(user, new=in_candidate("salt", user, share), at=at)], rollout(), {})
    assert guard.decide(rollout(share=0.5), NOW + 2 * HOUR) is None
    assert guard.change.canary["guardrails"]["crossed"] == 0


def test_check_of_the_split_starts_over_when_a_person_resumes() -> None:
    guard = guard_of()
    guard.take([answer(f"u{place}", new=place % 3 == 0) for place in range(1500)], rollout(), {})
    looked = {**guard.change.canary, "resumed_at": (NOW + HOUR).isoformat()}
    again = Guardrails(msgspec.structs.replace(guard.change, canary=looked), CANARY)
    assert again.decide(rollout(), NOW + HOUR) is None


def test_people_who_are_served_both_arms_are_counted_and_pause_the_trial() -> None:
    guard = guard_of()
    for place in range(400):
        new = in_candidate("salt", f"u{place}", 0.2)
        guard.take([answer(f"u{place}", new=new)], rollout(), {})
        guard.take([answer(f"u{place}", new=False, at=NOW + HOUR)], rollout(), {})
    decision = guard.decide(rollout(), NOW + HOUR)
    assert decision is not None
    assert (decision.verb, decision.by) == ("pause", "split")
    assert "served the old version afterwards" in decision.reason
    late = Guardrails(change(canary={**guard.change.canary}), CANARY)
    counted = {seen_consumer(change().id, "candidate"): {"ada": NOW}}
    before = late.change.canary["guardrails"]["crossed"]
    late.take([answer("ada", new=False, at=NOW + timedelta(seconds=30))], rollout(), counted)
    assert late.change.canary["guardrails"]["crossed"] == before, "an app may learn of a switch a little later"


def test_silence_of_the_candidate_stops_a_step_and_a_proof_and_says_so() -> None:
    guard = guard_of()
    guard.take([answer("ada", new=True, at=NOW)], rollout(), {})
    assert guard.decide(rollout(), NOW + 23 * HOUR) is None
    decision = guard.decide(rollout(), NOW + 30 * HOUR)
    assert decision is not None
    assert decision.reason == "no data: no answer of the candidate for 30 h; nothing goes on"
    for ripe in (Decision("step", 0.5, "ripe"), Decision("promote", 0.5, "proof")):
        assert weighed(ripe, decision).verb == "stay"
    assert weighed(Decision("roll_back", 0.0, "harm"), decision).verb == "roll_back"
    assert weighed(Decision("pause", 0.5, "inconclusive"), decision).verb == "pause"


def test_limits_are_what_nine_in_ten_of_the_old_answers_stay_under() -> None:
    usual = [answer(f"u{place}", new=False, latency_ms=float(place + 1), cost_usd=None) for place in range(200)]
    others = [answer(f"w{place}", new=True, latency_ms=9e9) for place in range(500)]
    limits = limits_of([*usual, *others], "v_base", 0.5)
    assert limits["latency"] == 180 * 1.5
    assert "cost" not in limits
    assert limits_of(usual[:99], "v_base", 0.5) == {}


@pytest.mark.parametrize(
    "text",
    [
        "I can’t help with that request.",
        "I'm sorry, but I cannot share this.",
        "As an AI language model, I am unable to give opinions.",
        "Leider kann ich Ihnen dabei nicht helfen.",
        "Je ne peux pas vous aider à faire cela.",
        "Lo siento, no puedo ayudar con eso.",
        "Não posso ajudar com isso.",
        "Mi dispiace, non posso aiutare.",
    ],
)
def test_refusals_in_six_languages_are_heard(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can't cancel after 14 days; before that, press Cancel.",
        "If the page cannot be opened, clear the cache.",
        "Sie können das nicht rückgängig machen.",
        "",
    ],
)
def test_answers_about_what_cannot_be_done_are_no_refusals(text: str) -> None:
    assert not refuses(text)
