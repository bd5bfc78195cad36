"""Velocity against a computation in the plainest words, over random histories in real stores of both kinds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres import postgres_server
from tests.velocity_history import Facts, at, change_id, histories, timed, write
from trimtab.measure.velocity import Velocity, velocity
from trimtab.store.hot.postgres import open_postgres
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore

DAY = 24
FROM, UNTIL = 100, 1300  # hours
PROJECTS = count()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HotStore]:
    if request.param == "sqlite":
        opened = open_sqlite(tmp_path_factory.mktemp("velocity") / "hot.db")
        yield opened
        opened.close()
        return
    with postgres_server() as server:
        opened = open_postgres(server.database())
        yield opened
        opened.close()


def km_median(spans: list[tuple[float, bool]]) -> float | None:
    """Return the Kaplan-Meier median in seconds, by walking the hours at which something finished."""
    still_open = 1.0
    for time in sorted({span for span, done in spans if done}):
        at_risk = sum(span >= time for span, _ in spans)
        still_open *= 1 - sum(span == time and done for span, done in spans) / at_risk
        if still_open <= 0.5 + 1e-12:
            return time * 3600
    return None


def by_then(hour: int | None) -> int | None:
    return hour if hour is not None and hour < UNTIL else None


def known_incidents(history: Facts, wanted: str | None) -> list[Facts]:
    """Return what was known of each incident at the end, and of its changes."""
    found = []
    for told in timed(history):
        if told["detected"] >= UNTIL or wanted not in (None, told["feature"]):
            continue
        over = by_then(told["resolved"])
        made = [
            {**change, **{name: by_then(change[name]) for name in ("exposed", "rolled_back", "verified")}}
            for change in told["changes"]
            if change["created"] < UNTIL
        ]
        ended = told["resolution"] if over is not None else None
        verdicts = [change["verified"] for change in made if change["verified"] is not None]
        back = told["reopened"]
        if back is not None and back >= UNTIL and verdicts:  # it was not open again by then
            over, ended = max(verdicts), "verified"
        found.append({**told, "resolved": over, "resolution": ended, "changes": made, "reopened": by_then(back)})
    return found


def plain_times(known: list[Facts]) -> Facts:
    """Compute medians and counts of the incidents that were detected in the span."""
    told = [each for each in known if each["detected"] >= FROM and each["kind"] not in ("no_data", "propensity")]
    counted = [each for each in told if each["resolution"] != "manual"]
    detect, change, verify, fix = [], [], [], []
    for each in counted:
        last = UNTIL if each["resolved"] is None else each["resolved"]
        shown = [made["exposed"] for made in each["changes"] if made["exposed"] is not None]
        back = -1 if each["reopened"] is None else each["reopened"]
        proven = [made for made in each["changes"] if made["verified"] is not None and made["verified"] > back]
        best = min(proven, key=lambda made: (made["verified"], change_id(made["id"]))) if proven else None
        detect.append((each["detected"] - each["first"], True))
        change.append((min(shown) - each["detected"], True) if shown else (max(0, last - each["detected"]), False))
        if best is not None:
            verify.append((best["verified"] - best["exposed"], True))
            fix.append((best["verified"] - each["first"], True))
        else:
            fix.append((last - each["first"], False))
            if shown:
                verify.append((max(0, last - min(shown)), False))
    return {
        "incidents": len(told),
        "dismissed": len(told) - len(counted),
        "open": sum(each["resolution"] is None for each in counted),
        "verified": sum(done for _, done in fix),
        **{
            name: sum(
                each["resolution"] == how and all(made["verified"] is None for made in each["changes"])
                for each in counted
            )
            for name, how in (("recovered", "verified"), ("superseded", "superseded"))
        },
        "medians": [km_median(spans) for spans in (detect, change, verify, fix)],
        "of": [len(spans) for spans in (detect, change, verify, fix)],
        "recurrence": plain_recurrence(known, counted),
    }


def plain_recurrence(known: list[Facts], counted: list[Facts]) -> tuple[int, int, int]:
    came = again = young = 0
    for each in counted:
        verdicts = [made["verified"] for made in each["changes"] if made["verified"] is not None]
        if not verdicts:
            continue
        came, first = came + 1, min(verdicts)
        group = ("feature", "plan", "kind", "metric")
        back = any(
            all(other[part] == each[part] for part in group)
            and other["resolution"] != "manual"
            and first < other["detected"] <= first + 30 * DAY
            for other in known
        ) or (each["reopened"] is not None and first < each["reopened"] <= first + 30 * DAY)
        again += back
        young += not back and first + 30 * DAY >= UNTIL
    return came, again, young


def plain_changes(known: list[Facts]) -> Facts:
    every = [(each, made) for each in known for made in each["changes"]]
    shown = [(each, made) for each, made in every if made["exposed"] is not None and made["exposed"] >= FROM]
    failed = young = 0
    for each, made in shown:
        end = made["exposed"] + 14 * DAY
        bad = (made["rolled_back"] is not None and made["rolled_back"] <= end) or any(
            other["feature"] == each["feature"]
            and other["version"] == made["candidate"]
            and other["resolution"] != "manual"
            and other["kind"] not in ("no_data", "propensity")
            and made["exposed"] <= other["detected"] <= end
            for other in known
        )
        failed += bad
        young += not bad and end >= UNTIL
    fixes = sum(made["verified"] is not None and made["verified"] >= FROM for _, made in every)
    judged = [made for _, made in every if made["gated"] is not None and made["created"] >= FROM]
    return {
        "exposed": len(shown),
        "failed": failed,
        "young": young,
        "blocked": sum(made["blocked"] and made["created"] >= FROM for _, made in every),
        "gate": (sum(made["blocked"] for made in judged), len(judged)),
        "fixes": fixes,
    }


def plain_coverage(history: Facts, known: list[Facts], wanted: str | None) -> Facts:
    week, found = 7 * DAY, {"incident": 0, "case": 0, "review": 0, "none": 0}
    for told in history["answers"]:
        if wanted not in (None, told["feature"]) or not FROM <= told["at"] < UNTIL - week or told["p_bad"] <= 0.5:
            continue
        said = told["at"] + (told["voted"] or 0)
        end = min(said + week, UNTIL)
        dealt = any(
            each["feature"] == told["feature"]
            and each["kind"] in ("rate", "threshold")
            and each["metric"] == "vote"
            and each["version"] in (told["version"], "any")
            and each["plan"] in (None, told["plan"])
            and each["first"] <= said
            and (each["resolved"] is None or said <= each["resolved"])
            and each["detected"] <= end
            for each in known
        )
        cased = told["case"] is not None and told["at"] + told["case"] < UNTIL and told["at"] + told["case"] <= end
        looked = told["reviewed"] is not None and told["at"] + told["reviewed"] <= end
        found["incident" if dealt else "case" if cased else "review" if looked else "none"] += 1
    return found


def plain_adoption(history: Facts, wanted: str | None) -> tuple[float | None, int, int]:
    spans = []
    for told in history["answers"]:
        given = None if told["corrected"] is None else told["at"] + told["corrected"]
        if given is None or not FROM <= given < UNTIL or wanted not in (None, told["feature"]):
            continue
        served = [
            hour
            for hour, name, stable, candidate, share in history["rollouts"]
            if name == told["feature"]
            and hour < UNTIL
            and (stable in told["held_by"] or (candidate in told["held_by"] and share > 0))
        ]
        spans.append((max(0, min(served) - given), True) if served else (UNTIL - given, False))
    return km_median(spans), len(spans), sum(done for _, done in spans)


def plain_forgetting(history: Facts, known: list[Facts], wanted: str | None) -> tuple[int, int, int]:
    mended = {
        number
        for each in known
        for made in each["changes"]
        if made["verified"] is not None and made["gated"] is not None
        for number, _, passed, target in made["results"]
        if target and passed
    }
    failing = tested = cases = 0
    for place, told in enumerate(history["answers"]):
        if told["case"] is None or place not in mended or wanted not in (None, told["feature"]):
            continue
        if told["at"] + told["case"] >= UNTIL:
            continue
        cases += 1
        switches = [each for each in history["rollouts"] if each[1] == told["feature"] and each[0] < UNTIL]
        served = max(enumerate(switches), key=lambda each: (each[1][0], each[0]))[1][2] if switches else None
        said: list[tuple[int, int, int, bool]] = []
        for each in known:
            for made in each["changes"]:
                if each["feature"] != told["feature"] or by_then(made["gated"]) is None:
                    continue
                for nth, (number, stable, candidate, _) in enumerate(made["results"]):
                    if number == place and made["base"] == served:
                        said.append((made["gated"], made["order"], 2 * nth, stable))
                    if number == place and made["candidate"] == served:
                        said.append((made["gated"], made["order"], 2 * nth + 1, candidate))
        if said:
            tested += 1
            failing += not max(said)[3]
    return failing, tested, cases


def check_loop(found: Velocity, known: list[Facts]) -> None:
    times, made = plain_times(known), plain_changes(known)
    medians = [found.time_to_detect, found.time_to_change, found.time_to_verify, found.time_to_verified_fix]
    assert [item.seconds for item in medians] == times["medians"]
    assert [item.n for item in medians] == times["of"]
    names = ("incidents", "dismissed", "open", "verified", "recovered", "superseded")
    assert {name: getattr(found, name) for name in names} == {name: times[name] for name in names}
    assert (found.recurrence.n, found.recurrence.count, found.recurrence_young) == times["recurrence"]
    told = (found.changes_exposed, found.changes_failed, found.changes_young, found.changes_blocked)
    assert told == (made["exposed"], made["failed"], made["young"], made["blocked"])
    assert (found.change_failure_rate.count, found.change_failure_rate.n) == (made["failed"], made["exposed"])
    assert (found.gate_block_rate.count, found.gate_block_rate.n) == made["gate"]
    assert found.fixes_verified == made["fixes"]
    assert math.isclose(found.verified_per_week, made["fixes"] / ((UNTIL - FROM) / (7 * DAY)))


def check_people(found: Velocity, history: Facts, known: list[Facts], wanted: str | None) -> None:
    mine = [told for told in history["answers"] if wanted in (None, told["feature"]) and FROM <= told["at"] < UNTIL]
    bad = sum(told["p_bad"] > 0.5 for told in mine)
    assert (found.answers, found.negative_signals) == (len(mine), bad)
    assert found.yield_per_1000 == (1000 * found.fixes_verified / bad if bad else None)
    covered = plain_coverage(history, known, wanted)
    cover = found.signal_coverage
    told = {"incident": cover.by_incident, "case": cover.by_case, "review": cover.by_review}
    assert {**told, "none": cover.linked.n - cover.linked.count} == covered
    adopted = found.correction_adoption
    assert (adopted.seconds, adopted.n, adopted.done) == plain_adoption(history, wanted)
    forgot = found.forgetting
    assert (forgot.failing.count, forgot.failing.n, forgot.cases) == plain_forgetting(history, known, wanted)
    for source, shown in (("measured", found.reactive.measured_hours), ("assumed", found.reactive.assumed_hours)):
        minutes = sum(
            minutes
            for hour, kind, how, minutes, name in history["work"]
            if FROM <= hour < UNTIL
            and how == source
            and wanted in (None, name)
            and kind in ("triage", "investigate", "hotfix")
        )
        assert math.isclose(shown, minutes / 60, abs_tol=1e-9)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories, st.sampled_from([None, "a"]))
def test_velocity_equals_the_plain_computation(store: HotStore, history: Facts, wanted: str | None) -> None:
    project = f"p{next(PROJECTS)}"
    write(store, project, history)
    found = velocity(store, project, since=at(FROM), until=at(UNTIL), feature=wanted)
    known = known_incidents(history, wanted)
    order = count()
    for each in known:
        for made in each["changes"]:
            made["order"] = next(order)
    check_loop(found, known)
    check_people(found, history, known, wanted)
    assert found.complete
