"""Velocity, the digest and the log of work over HTTP, and the gauges that tell of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.contract import hot_store_sample as a
from tests.intake import body, inference
from tests.live import NOW, Live, live
from tests.webhook_receiver import Receiver
from trimtab.clock import SetClock
from trimtab.config import NotifyTarget, Settings
from trimtab.ids import derived_id
from trimtab.records import Feature
from trimtab.store.ports import Query, Writes

DAY = timedelta(days=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as opened:
        yield opened


def mended(server: Live) -> None:
    """Write an incident of ten days ago that was mended after six, with one that is open beside it."""
    begin = NOW - 10 * DAY
    done = a.incident(
        state="resolved", resolution="verified", feature="support", first_signal_at=begin, onset_at=begin,
        detected_at=begin + DAY, resolved_at=begin + 6 * DAY,
    )  # fmt: skip
    change = a.change(
        incident_id=done.id, feature="support", state="verified", created_at=begin + DAY, exposed_at=begin + 2 * DAY,
        promoted_at=begin + 5 * DAY, verified_at=begin + 6 * DAY, rolled_back_at=None,
    )  # fmt: skip
    still = a.incident(feature="support", first_signal_at=begin, onset_at=begin, detected_at=begin + DAY)
    feature = a.sealed(Feature(name="support", created_at=begin))
    server.engine.store.commit({"default": Writes(features=[feature], incidents=[done, still], changes=[change])})


def test_velocity_tells_times_with_their_n_and_what_is_not_known_as_null(server: Live, client: httpx.Client) -> None:
    mended(server)
    span = {"since": (NOW - 14 * DAY).isoformat(), "until": NOW.isoformat()}
    told = client.get("/v1/velocity", params=span).raise_for_status().json()
    assert told["time_to_verified_fix"] == {
        "seconds": 6 * 86_400.0,
        "low": pytest.approx(6 * 86_400.0),
        "high": None,
        "n": 2,
        "done": 1,
    }
    assert (told["incidents"], told["verified"], told["open"], told["verified_per_week"]) == (2, 1, 1, 0.5)
    assert (told["yield_per_1000"], told["signal_coverage"]["linked"]["value"]) == (None, None)
    other = client.get("/v1/velocity", params={**span, "feature": "search"}).json()
    assert (other["incidents"], other["time_to_verified_fix"]["seconds"]) == (0, None)
    wrong = client.get("/v1/velocity", params={"since": span["until"], "until": span["since"]})
    assert wrong.json()["error"]["param"] == "since"


def test_gauges_tell_of_each_feature_and_leave_out_what_is_not_reached(server: Live, client: httpx.Client) -> None:
    mended(server)
    client.post("/v1/events", content=body(inference(1, feature="quiet"))).raise_for_status()
    lines = client.get("/metrics").text.splitlines()
    of = 'feature="support",project="default"'
    assert f'trimtab_velocity_median_seconds{{{of},step="time_to_verified_fix"}} 518400.0' in lines
    assert f"trimtab_velocity_open{{{of}}} 1.0" in lines
    assert f"trimtab_velocity_fixes_verified{{{of}}} 1.0" in lines
    assert 'trimtab_velocity_open{feature="quiet",project="default"} 0.0' in lines
    assert not any("median" in line and "quiet" in line for line in lines)


def test_logged_work_is_told_measured_apart_from_assumed(client: httpx.Client) -> None:
    client.post("/v1/events", content=body(*(inference(n) for n in range(4)))).raise_for_status()
    for kind, minutes, source in (("triage", 30, "measured"), ("hotfix", 90, "assumed"), ("review", 60, "measured")):
        told = {"kind": kind, "minutes": minutes, "source": source, "at": (NOW - DAY).isoformat()}
        assert client.post("/v1/work", json=told).status_code == 201
    found = client.get("/v1/velocity", params={"since": (NOW - 7 * DAY).isoformat()}).json()
    assert (found["reactive"]["measured_hours"], found["reactive"]["assumed_hours"]) == (0.5, 1.5)
    assert [(each["kind"], each["hours"]) for each in found["work"]] == [
        ("hotfix", 1.5),
        ("review", 1.0),
        ("triage", 0.5),
    ]
    assert len(client.get("/v1/work").json()["items"]) == 3
    again = {"id": derived_id("shift"), "kind": "approve", "minutes": 5, "source": "measured"}
    for _ in range(2):  # an answer that got lost is asked for again
        assert client.post("/v1/work", json=again).json()["id"] == again["id"]
    assert len(client.get("/v1/work").json()["items"]) == 4
    wrong = client.post("/v1/work", json={"kind": "triage", "minutes": -1, "source": "measured"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "minutes")


def test_measured_minutes_of_a_review_are_work(server: Live, client: httpx.Client) -> None:
    answer = inference("one")
    client.post("/v1/events", content=body(answer)).raise_for_status()
    item = a.review_item(id=derived_id("item"), inference_id=answer["id"], feature=answer["feature"], opened_at=NOW)
    server.engine.store.commit({"default": Writes(reviews=[item])})
    ruling = {"reviewer": "ada", "verdict": "good", "seconds": 90}
    client.post(f"/v1/review/{item.id}", json=ruling).raise_for_status()
    (logged,) = client.get("/v1/work").json()["items"]
    assert (logged["kind"], logged["minutes"], logged["source"], logged["feature"]) == (
        "review",
        1.5,
        "measured",
        answer["feature"],
    )


def worse(server: Live, now: datetime = NOW) -> None:
    """Write votes of five weeks: in the last one the people of plan pro vote more answers down."""
    outcomes = []
    for place in range(900):
        week = place % 5
        bad = place % 10 == 0 if week or place % 2 else place % 3 == 0
        moment = now - week * 7 * DAY - DAY
        served = a.inference(created_at=moment, feature="support", version_id="v1")
        plan = "free" if place % 2 else "pro"
        said = {"vote": float(bad), "voter_id": f"u{place}", "voted_at": moment}
        outcomes.append(a.outcome(served, segments={"plan": plan}, **said))
    feature = a.sealed(Feature(name="support", created_at=now - 40 * DAY))
    server.engine.store.commit({"default": Writes(features=[feature], outcomes=outcomes)})


def test_the_digest_names_the_group_that_changed(server: Live, client: httpx.Client) -> None:
    worse(server)
    found = client.get("/v1/digest").raise_for_status().json()
    (told,) = found["findings"]
    assert (told["feature"], told["segment"], told["direction"]) == ("support", {"plan": "pro"}, "worse")
    assert told["size"] > 0
    assert client.get(told["evidence"]).status_code == 200
    assert client.get("/v1/digest", params={"feature": "search"}).json()["findings"] == []
    far = {"since": (NOW - 40 * DAY).isoformat(), "until": NOW.isoformat()}
    assert client.get("/v1/digest", params=far).json()["error"]["param"] == "since"


def test_the_digest_comes_by_webhook_once_a_week(tmp_path: Path) -> None:
    with Receiver() as receiver:
        team = NotifyTarget(url=receiver.url, on=("digest",), allow_private=True)
        with live(tmp_path, Settings(notify={"team": team}), clock=SetClock(NOW)) as server:
            later = NOW + 8 * DAY  # a Monday; the project was made now, and no week before it is told of
            worse(server, later)
            for _ in range(3):
                server.engine.settle(later)
            rows = server.engine.store.deliveries("default", Query()).rows
            assert [(row.record.kind, row.record.state) for row in rows] == [("digest", "sent")]
        (request,) = receiver.requests
        assert "support, plan pro: worse by at least" in json.loads(request.body)["text"]
