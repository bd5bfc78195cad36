"""Velocity against a computation in the plainest words, over random histories in a real store."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.ids import derived_id
from trimtab.measure.velocity import velocity
from trimtab.records import Change, Incident, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Writes

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FROM, UNTIL = 100, 900  # hours


def at(hours: int | None) -> datetime | None:
    return None if hours is None else START + hours * HOUR


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw incidents as hours: first signal, detection, and of one change exposure and what became of it."""
    found = []
    for _ in range(draw(st.integers(0, 8))):
        first = draw(st.integers(0, 1000))
        detected = first + draw(st.integers(0, 60))
        exposed = detected + draw(st.integers(0, 200)) if draw(st.booleans()) else None
        ends = ["none", "verified", "rolled_back"] if exposed is not None else ["none", "blocked"]
        end = draw(st.sampled_from([*ends, "manual", "superseded"]))
        ended = (detected if exposed is None else exposed) + draw(st.integers(0, 400))
        feature = draw(st.sampled_from(["a", "b"]))
        found.append(
            {"first": first, "detected": detected, "exposed": exposed, "end": end, "ended": ended, "feature": feature}
        )
    return found


def records(place: int, told: dict[str, Any]) -> tuple[Incident, Change | None]:
    end, name = told["end"], str(place)
    resolved = end in ("verified", "manual", "superseded")
    incident = Incident(
        id=derived_id("incident", name), feature=told["feature"], version_id=f"v{place}", monitor_id=derived_id("m"),
        state="resolved" if resolved else "firing", resolution=end if resolved else None,
        resolved_at=at(told["ended"]) if resolved else None, onset_at=START + told["first"] * HOUR,
        first_signal_at=START + told["first"] * HOUR, detected_at=START + told["detected"] * HOUR, reference=0.1,
        observed=0.3, events=10, negatives=5, users=5, log_evidence=10.0, log_threshold=9.0,
    )  # fmt: skip
    if told["exposed"] is None and end != "blocked":
        return incident, None
    states: dict[str, Any] = {"verified": "verified", "rolled_back": "rolled_back", "blocked": "blocked"}
    change = Change(
        id=derived_id("change", name), feature=told["feature"], kind="exemplar",
        state=states.get(end, "canary"),
        created_at=START + told["detected"] * HOUR, base_version_id=f"v{place}", candidate_version_id=f"w{place}",
        incident_id=incident.id, exposed_at=at(told["exposed"]),
        verified_at=at(told["ended"]) if end == "verified" else None,
        rolled_back_at=at(told["ended"]) if end == "rolled_back" else None,
    )  # fmt: skip
    return incident, change


def median(spans: list[tuple[float, bool]]) -> float | None:
    """Return the Kaplan-Meier median, by walking the hours at which something finished."""
    still_open = 1.0
    for time in sorted({span for span, done in spans if done}):
        at_risk = sum(span >= time for span, _ in spans)
        still_open *= 1 - sum(span == time and done for span, done in spans) / at_risk
        if still_open <= 0.5 + 1e-12:
            return time * 3600
    return None


def plain(history: list[dict[str, Any]], feature: str | None) -> dict[str, Any]:
    """Compute the same numbers hour by hour, from what had happened by the end."""
    known = [told for told in history if feature is None or told["feature"] == feature]
    counted = [told for told in known if FROM <= told["detected"] < UNTIL]
    dismissed = [told for told in counted if told["end"] == "manual" and told["ended"] < UNTIL]
    counted = [told for told in counted if told not in dismissed]
    detect, change, verify, fix = [], [], [], []
    for told in counted:
        over = told["ended"] < UNTIL
        last = told["ended"] if told["end"] in ("verified", "superseded") and over else UNTIL
        exposed = told["exposed"] if told["exposed"] is not None and told["exposed"] < UNTIL else None
        verified = told["ended"] if told["end"] == "verified" and over else None
        detect.append((told["detected"] - told["first"], True))
        done = exposed is not None
        change.append((exposed - told["detected"] if done else last - told["detected"], done))
        if exposed is not None:
            verify.append(((verified if verified is not None else last) - exposed, verified is not None))
        fix.append(((verified if verified is not None else last) - told["first"], verified is not None))
    tried = [told for told in known if told["exposed"] is not None and FROM <= told["exposed"] < UNTIL]
    failed = [
        told
        for told in tried
        if told["end"] == "rolled_back" and told["ended"] < UNTIL and told["ended"] - told["exposed"] <= 14 * 24
    ]
    return {
        "incidents": len(counted) + len(dismissed),
        "dismissed": len(dismissed),
        "verified": sum(done for _, done in fix),
        "open": sum(
            told["end"] not in ("verified", "superseded", "manual") or told["ended"] >= UNTIL for told in counted
        ),
        "exposed": len(tried),
        "failed": len(failed),
        "blocked": sum(told["end"] == "blocked" and FROM <= told["detected"] < UNTIL for told in known),
        "medians": [median(spans) for spans in (detect, change, verify, fix)],
    }


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from([None, "a"]))
def test_velocity_equals_the_plain_computation(history: list[dict[str, Any]], feature: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_sqlite(Path(folder) / "trimtab.db")
        made = [records(place, told) for place, told in enumerate(history)]
        writes = Writes(
            projects=[Project(id="p", created_at=START)],
            incidents=[incident for incident, _ in made],
            changes=[change for _, change in made if change is not None],
        )
        store.commit({"p": writes})
        found = velocity(store, "p", since=START + FROM * HOUR, until=START + UNTIL * HOUR, feature=feature)
        store.close()
    expected = plain(history, feature)
    medians = [found.time_to_detect, found.time_to_change, found.time_to_verify, found.time_to_verified_fix]
    assert [item.seconds for item in medians] == expected["medians"]
    numbers = {name: expected[name] for name in ("incidents", "dismissed", "verified", "open")}
    assert {name: getattr(found, name) for name in numbers} == numbers
    assert (found.changes_exposed, found.changes_failed, found.changes_blocked) == (
        expected["exposed"],
        expected["failed"],
        expected["blocked"],
    )
    weeks = (UNTIL - FROM) / (24 * 7)
    assert math.isclose(found.verified_per_week, expected["verified"] / weeks)
