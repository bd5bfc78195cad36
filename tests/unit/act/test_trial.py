"""One change on trial, fed vote by vote."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from trimtab.act.trial import Trial, author_consumer, harm_consumer, help_consumer, people_consumer
from trimtab.config import Canary, Verification
from trimtab.ids import derived_id
from trimtab.records import CaseResult, Change, GateReport, Incident, Outcome, Rollout
from trimtab.stats.bucket import in_candidate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CANARY = Canary(steps=(0.1, 0.5), step_hours=24, step_exposures=100, horizon_hours=24 * 7)
INCIDENT = Incident(
    id=derived_id("incident"),
    feature="support",
    version_id="v_base",
    monitor_id=derived_id("monitor"),
    state="firing",
    onset_at=NOW - 2 * HOUR,
    first_signal_at=NOW - 2 * HOUR,
    detected_at=NOW - HOUR,
    reference=0.1,
    observed=0.5,
    events=50,
    negatives=25,
    users=20,
    log_evidence=11.0,
    log_threshold=10.0,
)


def change(state: Any = "canary", **more: Any) -> Change:
    told: dict[str, Any] = {
        "exposed_at": NOW,
        "step_at": NOW,
        "canary": {"steps": [[NOW.isoformat(), 0.1]]},
        "candidate_version_id": "v_new",
        **more,
    }
    return Change(
        id=derived_id("change"), feature="support", kind="exemplar", state=state, created_at=NOW,
        base_version_id="v_base", incident_id=INCIDENT.id, **told,
    )  # fmt: skip


def rollout(share: float = 0.1) -> Rollout:
    return Rollout(
        feature="support", stable_version_id="v_base", candidate_version_id="v_new", share=share, updated_at=NOW,
        id=derived_id("rollout"), revision=2,
    )  # fmt: skip


def trial_of(held: Change, settings: Canary = CANARY, incident: Incident | None = INCIDENT) -> Trial:
    return Trial(held, incident, settings, Verification(), 24.0)


def vote(place: int, said: float, *, new: bool, user: str | None = None, at: datetime = NOW) -> Outcome:
    return Outcome(
        inference_id=derived_id("inference", str(place)), feature="support", created_at=at, judged_at=at, p_bad=said,
        confidence=1.0, tier="A", evidence=[], version_id="v_new" if new else "v_base", vote=said, voted_at=at,
        voter_id=user or f"user-{place}",
    )  # fmt: skip


def feed(trial: Trial, count: int, said: float, *, new: bool, first: int = 0, at: datetime = NOW) -> None:
    for place in range(first, first + count):
        trial.take(vote(place, said, new=new, at=at), {})


def test_harm_rolls_back_even_where_a_step_or_proof_is_due() -> None:
    trial = trial_of(change())
    feed(trial, 20, 1.0, new=True)
    assert trial.decide(rollout(), 10_000, NOW + 100 * HOUR).verb == "roll_back"


@pytest.mark.parametrize("paused_by", [None, "hand"])
def test_harm_rolls_back_a_paused_trial(paused_by: str | None) -> None:
    trial = trial_of(change("paused", canary={"steps": [[NOW.isoformat(), 0.1]], "paused_by": paused_by}))
    feed(trial, 20, 1.0, new=True)
    assert trial.decide(rollout(), 0, NOW + HOUR).verb == "roll_back"


@pytest.mark.parametrize(
    ("hours", "exposures", "verb"), [(23.9, 1000, "stay"), (24, 99, "stay"), (24, 100, "step"), (1000, 99, "pause")]
)
def test_step_needs_its_hours_and_its_exposures(hours: float, exposures: int, verb: str) -> None:
    decision = trial_of(change()).decide(rollout(), exposures, NOW + hours * HOUR)
    assert decision.verb == verb
    if verb == "step":
        assert decision.share == 0.5


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.7])
def test_share_only_grows(share: float) -> None:
    decision = trial_of(change()).decide(rollout(share), 1000, NOW + 48 * HOUR)
    assert decision.verb == ("step" if share < 0.5 else "stay")
    assert decision.share >= share


def test_votes_that_prove_the_fix_promote_at_the_last_step_only() -> None:
    trial = trial_of(change())
    feed(trial, 60, 0.0, new=True)
    assert trial.decide(rollout(0.1), 1000, NOW + 24 * HOUR).verb == "step"
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == "promote"
    assert trial.decide(rollout(0.5), 1000, NOW + 23 * HOUR).verb == "stay"


def test_those_who_are_held_back_on_the_same_version_do_not_count_as_stable() -> None:
    trial = trial_of(change())
    for place in range(100):
        trial.take(msgspec.structs.replace(vote(place, 1.0, new=False), arm="holdback"), {})
    assert not trial.votes
    assert trial.decide(rollout(), 0, NOW).verb == "stay"


def test_negatives_that_all_come_from_stable_promote() -> None:
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}), incident=None)
    feed(trial, 40, 1.0, new=False)
    decision = trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR)
    assert (decision.verb, decision.share) == ("promote", 1.0)


def report(*, failing: int, fixed: int) -> GateReport:
    results = [
        CaseResult(
            case_id=derived_id("case", str(place)), target=True, stable_passed=False, candidate_passed=place < fixed
        )
        for place in range(failing)
    ]
    return GateReport(
        verdict="inconclusive", reason="few cases", cases=failing, broken=0, fixed=fixed, targets=failing,
        targets_fixed=fixed, must_pass_broken=0, lower_bound=-0.2, margin=0.05, rules_out=0.2, smoke=True,
        results=results,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failing", "fixed", "verb"), [(4, 2, "promote"), (4, 1, "stay"), (4, 0, "stay"), (0, 0, "stay")]
)
def test_not_worse_promotes_only_what_golden_cases_say_mends_something(failing: int, fixed: int, verb: str) -> None:
    gate = report(failing=failing, fixed=fixed)
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}, gate=gate), incident=None)
    feed(trial, 40, 1.0, new=False)
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == verb


def test_unchanged_rate_is_no_fix_however_bad_the_moment_of_the_alarm_looked() -> None:
    lucky = msgspec.structs.replace(INCIDENT, observed=0.6, events=20, negatives=12)  # in truth 0.3
    found = 0
    for seed in range(100):
        generator = random.Random(seed)
        trial = trial_of(change("promoted"), incident=lucky)
        for place in range(400):
            trial.take(vote(place, float(generator.random() < 0.3), new=True), {})
        found += trial.decide(rollout(), 0, NOW).verb == "verify"
    assert found <= 9


@pytest.mark.parametrize("said", [0.0, 1.0])
def test_no_votes_or_votes_of_stable_alone_prove_nothing_about_the_fix(said: float) -> None:
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}))
    feed(trial, 5, said, new=False)
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == "stay"


@pytest.mark.parametrize(("inconclusive", "verb"), [("pause", "pause"), ("ship", "promote")])
def test_horizon_ends_an_undecided_trial_as_the_settings_say(inconclusive: Any, verb: str) -> None:
    settings = msgspec.structs.replace(CANARY, inconclusive=inconclusive)
    trial = trial_of(change(), settings)
    assert trial.decide(rollout(0.5), 0, NOW + 167 * HOUR).verb == "stay"
    assert trial.decide(rollout(0.5), 0, NOW + 168 * HOUR).verb == verb


def test_paused_trial_goes_on_listening_and_is_promoted_on_proof() -> None:
    trial = trial_of(change("paused"))
    assert trial.decide(rollout(0.5), 0, NOW + 300 * HOUR).verb == "stay"
    feed(trial, 60, 0.0, new=True)
    assert trial.decide(rollout(0.5), 0, NOW + 300 * HOUR).verb == "promote"


def test_hand_paused_trial_stays_whatever_is_proven() -> None:
    trial = trial_of(change("paused", canary={"steps": [[NOW.isoformat(), 0.1]], "paused_by": "hand"}))
    feed(trial, 200, 0.0, new=True)
    assert trial.decide(rollout(0.5), 1000, NOW + 300 * HOUR).verb == "stay"


def test_resumed_trial_has_its_whole_horizon_again() -> None:
    resumed = (NOW + 100 * HOUR).isoformat()
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.1]], "resumed_at": resumed}))
    assert trial.decide(rollout(), 0, NOW + 267 * HOUR).verb == "stay"
    assert trial.decide(rollout(), 0, NOW + 268 * HOUR).verb == "pause"


def test_first_negative_of_a_person_counts_once_for_ever() -> None:
    trial = trial_of(change())
    for place in range(50):
        trial.take(vote(place, 1.0, new=True, user="ada", at=NOW + place * 25 * HOUR), {})
    assert trial.change.canary["harm"]["n"] == 1
    later = trial_of(trial.change)
    later.take(vote(99, 1.0, new=True, user="ada"), {harm_consumer(change().id): {"ada": NOW}})
    assert later.change.canary["harm"]["n"] == 1


def test_person_who_was_content_first_still_counts_at_the_first_negative() -> None:
    trial = trial_of(change())
    trial.take(vote(0, 0.0, new=True, user="ada"), {})
    trial.take(vote(1, 1.0, new=True, user="ada"), {})
    assert trial.change.canary["harm"]["n"] == 1


def test_verification_counts_a_person_once_per_window() -> None:
    trial = trial_of(change())
    for hours in (0, 1, 23, 24, 47, 48):
        trial.take(vote(hours, 0.0, new=True, user="ada", at=NOW + hours * HOUR), {})
    assert trial.change.verification["n"] == 3
    assert {item.consumer_id for item in trial.votes} == {help_consumer(change().id), people_consumer(change().id)}


def test_share_in_force_when_the_answer_was_served_is_used() -> None:
    steps = [[NOW.isoformat(), 0.1], [(NOW + 24 * HOUR).isoformat(), 0.5]]
    ends = []
    for hours in (23, 24):
        trial = trial_of(change(canary={"steps": steps}))
        late = msgspec.structs.replace(vote(0, 1.0, new=True, at=NOW + hours * HOUR), voted_at=NOW + 90 * HOUR)
        trial.take(late, {})
        ends.append(trial.change.canary["harm"])
    one_step = trial_of(change(canary={"steps": steps[:1]}))
    one_step.take(vote(0, 1.0, new=True), {})
    half = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}))
    half.take(vote(0, 1.0, new=True), {})
    assert ends == [one_step.change.canary["harm"], half.change.canary["harm"]]


@pytest.mark.parametrize("of", ["before", "other version", "nobody said"])
def test_what_is_not_of_this_trial_is_not_counted(of: str) -> None:
    trial = trial_of(change())
    said = vote(0, 1.0, new=True)
    changed: dict[str, dict[str, Any]] = {
        "before": {"created_at": NOW - timedelta(seconds=1)},
        "other version": {"version_id": "v_other"},
        "nobody said": {"vote": None},
    }
    trial.take(msgspec.structs.replace(said, **changed[of]), {})
    assert not trial.votes


def test_promoted_change_is_verified_by_votes_and_not_before() -> None:
    trial = trial_of(change("promoted"))
    feed(trial, 3, 0.0, new=True)
    assert trial.decide(rollout(), 0, NOW + HOUR).verb == "stay"
    feed(trial, 60, 0.0, new=True, first=100)
    assert trial.decide(rollout(), 0, NOW + HOUR).verb == "verify"


@pytest.mark.parametrize(("page", "verb"), [("returns", "verify"), ("opening-hours", "stay"), ("", "stay")])
def test_change_made_for_a_group_is_verified_by_votes_on_that_group_alone(page: str, verb: str) -> None:
    about = msgspec.structs.replace(INCIDENT, segment={"tags.page": "returns", "version": "v_base"})
    trial = trial_of(change("promoted", promoted_at=NOW), incident=about)
    for place in range(60):
        told = msgspec.structs.replace(vote(place, 0.0, new=True), segments={"tags.page": page} if page else {})
        trial.take(told, {})
    assert trial.decide(rollout(1.0), 0, NOW).verb == verb


def test_trial_kept_and_taken_up_again_decides_as_one_that_never_stopped() -> None:
    generator = random.Random(3)
    straight = trial_of(change())
    held = change()
    counted: dict[str, dict[str, datetime]] = defaultdict(dict)
    for place in range(300):
        said = vote(
            place, float(generator.random() < 0.3), new=generator.random() < 0.4,
            user=f"user-{generator.randrange(150)}", at=NOW + place * HOUR,
        )  # fmt: skip
        straight.take(said, {})
        again = trial_of(msgspec.json.decode(msgspec.json.encode(held), type=Change))
        again.take(said, counted)
        for item in again.votes:
            counted[item.consumer_id][item.user_id] = item.counted_at
        held = again.change
    assert held == straight.change


def live(seed: int, ratio: float) -> str:
    """Run one seeded trial of a candidate whose negatives are `ratio` times stable's, and say how it ended."""
    generator = random.Random(seed)
    settings = Canary(steps=(0.1, 0.5), step_hours=24, step_exposures=100, horizon_hours=24 * 14)
    held, share, at, salt = change(), 0.1, NOW, f"salt-{seed}"
    trial = trial_of(held, settings, incident=None)
    exposures, counted = 0, dict[str, datetime]()
    for place in range(14 * 400):
        at = NOW + place * timedelta(days=1) / 400
        user = f"user-{generator.randrange(20_000)}"
        new = in_candidate(salt, user, share)
        exposures += new
        if generator.random() < 0.1 * (ratio if new else 1.0):
            trial.take(vote(place, 1.0, new=new, user=user, at=at), {harm_consumer(held.id): counted})
        if place % 20:
            continue
        decision = trial.decide(rollout(share), exposures, at)
        if decision.verb in ("roll_back", "promote", "pause"):
            return decision.verb
        if decision.verb == "step":
            steps = [*trial.change.canary["steps"], [at.isoformat(), decision.share]]
            held = msgspec.structs.replace(trial.change, step_at=at, canary={**trial.change.canary, "steps": steps})
            counted |= {item.user_id: item.counted_at for item in trial.votes}
            trial, share, exposures = trial_of(held, settings, incident=None), decision.share, 0
    return "stay"


def test_harmful_candidate_is_rolled_back_and_an_equal_one_is_not() -> None:
    harmful = [live(seed, 2.0) for seed in range(100)]
    equal = [live(seed, 1.0) for seed in range(1000, 1100)]
    assert harmful.count("roll_back") >= 95
    # 5% promised; 9 of 100 is what chance allows once in thirty times
    assert equal.count("roll_back") <= 9
    assert harmful.count("promote") == 0


def known(users: int) -> dict[str, datetime]:
    return {f"user-{place}": NOW - timedelta(days=30) for place in range(users)}


def half(**more: Any) -> Change:
    return change(canary={"steps": [[NOW.isoformat(), 0.5]]}, **more)


def test_verdict_that_rests_on_newcomers_is_held_and_says_so() -> None:
    trial = trial_of(half(), incident=None)
    for place in range(40):  # the old hands find both the same; newcomers blame stable
        trial.take(vote(place, 1.0, new=place % 2 == 0), {}, pleased=known(40))
    for place in range(100, 160):
        trial.take(vote(place, 1.0, new=False), {}, pleased=known(40))
    decision = trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR)
    assert (decision.verb, decision.held) == ("stay", True)
    assert "60 accounts that first voted during the trial" in decision.reason
    late = trial.decide(rollout(0.5), 1000, NOW + 24 * 8 * HOUR)
    assert (late.verb, late.held, "60 accounts" in late.reason) == ("pause", True, True)


def test_verdict_that_the_known_bear_out_is_not_held() -> None:
    trial = trial_of(half(), incident=None)
    for place in range(60):
        trial.take(vote(place, 1.0, new=False), {}, pleased=known(40))
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == "promote"


def test_newcomers_decide_where_too_few_are_known() -> None:
    trial = trial_of(half(), incident=None)
    for place in range(60):
        trial.take(vote(place, 1.0, new=False), {}, pleased=known(19))
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == "promote"


def test_people_who_came_just_before_the_trial_are_newcomers() -> None:
    trial = trial_of(half(), incident=None)
    lately = {f"user-{place}": NOW - HOUR for place in range(60)}
    for place in range(60):
        trial.take(vote(place, 1.0, new=False), {}, pleased=lately)
    assert trial.change.canary["known"]["people"] == 0


def test_harm_among_the_known_rolls_back_however_newcomers_praise() -> None:
    trial = trial_of(half(), incident=None)
    for place in range(30):
        trial.take(vote(place, 1.0, new=True), {}, pleased=known(30))
        trial.take(vote(100 + place, 1.0, new=False), {}, pleased=known(30))
    assert trial.decide(rollout(0.5), 0, NOW + HOUR).verb == "roll_back"


def test_authors_of_what_a_candidate_rests_on_are_not_heard_in_its_trial() -> None:
    trial = trial_of(half(), incident=None)
    authors = {author_consumer(change().id): {f"user-{place}": NOW for place in range(60)}}
    for place in range(60):
        trial.take(vote(place, 1.0, new=False), authors)
    assert (trial.change.canary["harm"]["n"], trial.change.canary["people"]) == (0, 0)
    decision = trial.decide(rollout(0.5), 1000, NOW + 24 * 8 * HOUR)
    assert decision.verb == "pause"
    assert "60 people whose corrections it rests on were not heard" in decision.reason


@pytest.mark.parametrize(("people", "verb"), [(19, "stay"), (20, "promote")])
def test_few_voters_never_promote(people: int, verb: str) -> None:
    trial = trial_of(half(), incident=None)
    feed(trial, people, 1.0, new=False)
    assert trial.decide(rollout(0.5), 1000, NOW + 24 * HOUR).verb == verb


def test_promoted_change_is_verified_only_if_the_known_agree() -> None:
    trial = trial_of(change("promoted"))
    for place in range(20):  # half of the old hands say no
        trial.take(vote(place, float(place % 2), new=True), {}, pleased=known(20))
    for place in range(100, 300):
        trial.take(vote(place, 0.0, new=True), {}, pleased=known(20))
    decision = trial.decide(rollout(), 0, NOW + HOUR)
    assert (decision.verb, decision.held) == ("stay", True)


def listen(trial: Trial, *, untouched: bool) -> None:
    """Let 400 people vote, 30% of them no on the old version whatever it says and none on the new."""
    for place in range(400):
        new = in_candidate("control", f"user-{place}", 0.5)
        said = float(not new and place % 10 < 3)
        trial.take(vote(place, said, new=new), {}, untouched=untouched)


def test_votes_on_the_version_rather_than_on_the_answer_serve_it_to_nobody() -> None:
    half = {"steps": [[NOW.isoformat(), 0.5]]}
    trial = trial_of(change(canary=half))
    listen(trial, untouched=True)
    decision = trial.decide(rollout(0.5), 1000, NOW + 30 * HOUR)
    assert (decision.verb, decision.held) == ("stay", True)
    assert "they vote on the version, not on the answer" in decision.reason
    told = trial_of(trial.change)
    assert told.decide(rollout(0.5), 1000, NOW + 30 * HOUR).reason == decision.reason
    late = told.decide(rollout(0.5), 1000, NOW + 200 * HOUR)
    assert late.verb == "pause"


def test_the_same_votes_on_answers_that_the_change_touches_are_its_proof() -> None:
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}))
    listen(trial, untouched=False)
    assert trial.decide(rollout(0.5), 1000, NOW + 30 * HOUR).verb == "promote"


def test_where_the_control_must_prove_few_quiet_votes_are_not_enough() -> None:
    settings = msgspec.structs.replace(CANARY, control="prove")
    trial = trial_of(change(canary={"steps": [[NOW.isoformat(), 0.5]]}), settings)
    for place in range(24):
        trial.take(vote(place, 1.0, new=place % 2 == 0), {}, untouched=True)
    feed(trial, 200, 0.0, new=True, first=1000)
    held = trial.decide(rollout(0.5), 1000, NOW + 30 * HOUR)
    assert (held.verb, held.held) == ("stay", True)
    assert "does not touch, the old version may get" in held.reason
    for place in range(24, 300):
        trial.take(vote(place, 1.0, new=place % 2 == 0), {}, untouched=True)
    feed(trial, 900, 0.0, new=True, first=2000)
    assert trial.decide(rollout(0.5), 1000, NOW + 30 * HOUR).verb == "promote"
