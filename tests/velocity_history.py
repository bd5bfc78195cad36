"""Random histories of incidents, changes, answers, rollouts and work, and how they are put into a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.contract import hot_store_sample as a
from trimtab.ids import derived_id
from trimtab.records import (
    Case,
    CaseResult,
    Change,
    Exemplar,
    Feature,
    GateReport,
    Incident,
    Project,
    ReviewItem,
    Rollout,
    Version,
    WorkLog,
)
from trimtab.store.ports import HotStore, Switch, Writes

__all__ = ["Facts", "at", "change_id", "histories", "timed", "write"]

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURES, VERSIONS, PLANS = ("a", "b"), ("v0", "v1"), (None, "pro", "free")

Facts = dict[str, Any]


hours = st.integers(0, 1500)
soon = st.integers(0, 400)
maybe_soon = st.none() | soon
feature = st.sampled_from(["a", "a", "b"])
version = st.sampled_from(VERSIONS)
results = st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())  # case, stable, candidate, target


@st.composite
def changes(draw: st.DrawFn) -> Facts:
    return {
        "delay": draw(soon),
        "exposed": draw(maybe_soon),
        "rolled_back": draw(maybe_soon),
        "verified": draw(maybe_soon),
        "candidate": draw(version),
        "base": draw(version),
        "blocked": draw(st.booleans()),
        "gated": draw(maybe_soon),
        "results": draw(st.lists(results, max_size=3)),
    }


@st.composite
def incidents(draw: st.DrawFn) -> Facts:
    return {
        "feature": draw(feature),
        "version": draw(st.sampled_from([*VERSIONS, "any"])),
        "plan": draw(st.sampled_from(PLANS)),
        "kind": draw(st.sampled_from(["rate", "rate", "rate", "threshold", "no_data", "propensity"])),
        "metric": draw(st.sampled_from(["vote", "vote", "latency"])),
        "first": draw(st.integers(0, 1000)),
        "detect": draw(st.integers(0, 60)),
        "resolution": draw(st.sampled_from([None, None, "verified", "manual", "manual", "superseded"])),
        "resolve": draw(soon),
        "changes": draw(st.lists(changes(), max_size=3)),
        "again": draw(st.none() | st.integers(0, 800)),
        "reopened": draw(st.none() | st.integers(0, 800)),
    }


@st.composite
def answers(draw: st.DrawFn) -> Facts:
    return {
        "feature": draw(feature),
        "version": draw(version),
        "plan": draw(st.sampled_from(PLANS)),
        "at": draw(hours),
        "voted": draw(st.none() | st.integers(0, 50)),
        "p_bad": draw(st.sampled_from([0.1, 0.5, 0.8, 1.0])),
        "reviewed": draw(maybe_soon),
        "case": draw(maybe_soon),
        "corrected": draw(maybe_soon),
        "held_by": draw(st.lists(version, max_size=2)),
    }


rollouts = st.tuples(hours, feature, version, st.none() | version, st.sampled_from([0.0, 0.05, 0.5]))
work = st.tuples(
    hours,
    st.sampled_from(["triage", "investigate", "hotfix", "review", "approve"]),
    st.sampled_from(["measured", "assumed"]),
    st.integers(0, 90),
    st.none() | feature,
)
histories = st.fixed_dictionaries(
    {
        "incidents": st.lists(incidents(), max_size=10),
        "answers": st.lists(answers(), max_size=8),
        "rollouts": st.lists(rollouts, max_size=6),
        "work": st.lists(work, max_size=5),
    }
)


def at(hour: int | None) -> Any:
    return None if hour is None else START + hour * HOUR


def timed(history: Facts) -> list[Facts]:
    """Return the incidents with hours from the start, not delays."""
    found = []
    for place, told in enumerate(history["incidents"]):
        detected = told["first"] + told["detect"]
        made = []
        for number, change in enumerate(told["changes"]):
            created = detected + change["delay"]
            exposed = None if change["exposed"] is None else created + change["exposed"]
            later = {
                name: None if exposed is None or change[name] is None else exposed + change[name]
                for name in ("rolled_back", "verified")
            }
            gated = None if change["gated"] is None else created + change["gated"]
            made.append(
                {**change, **later, "id": (place, number), "created": created, "exposed": exposed, "gated": gated}
            )
        resolved = None if told["resolution"] is None else detected + told["resolve"]
        found.append({**told, "id": place, "detected": detected, "resolved": resolved, "changes": made})
        verdicts = [change["verified"] for change in made if change["verified"] is not None]
        found[-1]["reopened"] = None
        if verdicts and told["reopened"] is not None and resolved is None:
            found[-1]["reopened"] = min(verdicts) + told["reopened"]
        if verdicts and told["again"] is not None:
            back = min(verdicts) + told["again"]
            anew: Facts = {"resolution": None, "resolved": None, "reopened": None, "changes": []}
            found.append({**told, "id": -1 - place, "first": back, "detected": back, **anew})
    return found


def write(store: HotStore, project: str, history: Facts) -> None:
    """Put the history into the store, as records."""
    writes = Writes(
        projects=[Project(id=project, created_at=START)],
        features=[a.sealed(Feature(name=name, created_at=START)) for name in FEATURES],
    )
    for told in timed(history):
        writes.incidents.append(incident_of(told))
        writes.changes += [change_of(told, change) for change in told["changes"]]
    events: list[Any] = []
    held: dict[tuple[str, str], list[Exemplar]] = {}
    for place, told in enumerate(history["answers"]):
        events += write_answer(writes, place, told, held)
    for name in FEATURES:
        for version_id in VERSIONS:
            shown = held.get((name, version_id), [])
            made = Version(feature=name, created_at=START, id=version_id, exemplars=shown)
            writes.versions.append(a.sealed(made))
    revisions = dict.fromkeys(FEATURES, 0)
    for hour, name, stable, candidate, share in sorted(history["rollouts"], key=lambda each: each[0]):
        rollout = Rollout(
            feature=name, stable_version_id=stable, updated_at=at(hour), id=derived_id("r", name, str(hour)),
            revision=revisions[name] + 1, candidate_version_id=candidate, share=share,
        )  # fmt: skip
        writes.switches.append(Switch(rollout, revisions[name]))
        revisions[name] += 1
    writes.work += [
        WorkLog(id=derived_id("w", str(n)), at=at(hour), kind=kind, source=source, minutes=minutes, feature=name)
        for n, (hour, kind, source, minutes, name) in enumerate(history["work"])
    ]
    store.append([a.arrival(event, project) for event in events])
    store.commit({project: writes})


def incident_of(told: Facts) -> Incident:
    return Incident(
        id=derived_id("incident", str(told["id"])), feature=told["feature"], version_id=told["version"],
        monitor_id=derived_id("m"), state="firing" if told["resolved"] is None else "resolved",
        resolution=told["resolution"], resolved_at=at(told["resolved"]), onset_at=at(told["first"]),
        first_signal_at=at(told["first"]), detected_at=at(told["detected"]), reference=0.1, observed=0.3, events=10,
        negatives=5, users=5, log_evidence=10.0, log_threshold=9.0, kind=told["kind"], metric=told["metric"],
        segment={} if told["plan"] is None else {"plan": told["plan"]},
        detail={} if told["reopened"] is None else {"reopened_at": at(told["reopened"]).isoformat()},
    )  # fmt: skip


def change_of(incident: Facts, told: Facts) -> Change:
    gate = None
    if told["gated"] is not None:
        results = [
            CaseResult(case_id=case_id(number), target=target, stable_passed=stable, candidate_passed=candidate)
            for number, stable, candidate, target in told["results"]
        ]
        gate = GateReport(
            verdict="pass", reason="", cases=3, broken=0, fixed=0, targets=0, targets_fixed=0, must_pass_broken=0,
            lower_bound=0.0, margin=0.05, rules_out=0.1, smoke=True, results=results,
        )  # fmt: skip
    return Change(
        id=change_id(told["id"]), feature=incident["feature"], kind="exemplar",
        state="blocked" if told["blocked"] else "canary", created_at=at(told["created"]),
        base_version_id=told["base"], candidate_version_id=told["candidate"],
        incident_id=derived_id("incident", str(incident["id"])), gate=gate, gated_at=at(told["gated"]),
        exposed_at=at(told["exposed"]), rolled_back_at=at(told["rolled_back"]), verified_at=at(told["verified"]),
    )  # fmt: skip


def change_id(place: tuple[int, int]) -> str:
    return derived_id("change", str(place))


def case_id(number: int) -> str:
    return derived_id("case", str(number))


def write_answer(writes: Writes, place: int, told: Facts, held: dict[tuple[str, str], list[Exemplar]]) -> list[Any]:
    """Add an answer with its outcome, and what was said of it and done about it; return its events."""
    moment, name = at(told["at"]), str(place)
    served = a.inference(
        id=derived_id("answer", name), feature=told["feature"], created_at=moment, version_id=told["version"]
    )
    voted = {} if told["voted"] is None else {"vote": 1.0, "voter_id": name, "voted_at": at(told["at"] + told["voted"])}
    segments = {} if told["plan"] is None else {"plan": told["plan"]}
    writes.outcomes.append(a.outcome(served, p_bad=told["p_bad"], segments=segments, **voted))
    events: list[Any] = [served]
    if told["reviewed"] is not None:
        done: Facts = {"state": "done", "verdict": "good", "closed_at": at(told["at"] + told["reviewed"])}
        item: ReviewItem = a.review_item(feature=told["feature"], inference_id=served.id, **done)
        writes.reviews.append(item)
    if told["case"] is not None:
        said = a.feedback(id=derived_id("said", name), inference_id=served.id, created_at=moment)
        events.append(said)
        writes.joined.append((said.id, served.id))
        case = Case(
            id=case_id(place), feature=told["feature"], created_at=at(told["at"] + told["case"]), input="x",
            expected="y", feedback_id=said.id,
        )  # fmt: skip
        writes.cases.append(a.sealed(case))
    if told["corrected"] is not None:
        given = at(told["at"] + told["corrected"])
        right = a.correction(served, id=derived_id("right", name), created_at=given, user_id=name)
        events.append(right)
        writes.joined.append((right.id, served.id))
        writes.opinions.append(a.opinion(right, served))
        for version_id in set(told["held_by"]):
            shown = Exemplar(id=f"e{place}", input="x", output="y", source_feedback_id=right.id)
            held.setdefault((told["feature"], version_id), []).append(shown)
    return events
