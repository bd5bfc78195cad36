"""The review queue and deliveries over HTTP: from an incident to a reviewer's verdict that counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.intake import body, inference
from tests.live import NOW, Live, live
from tests.webhook_receiver import Receiver
from trimtab.clock import SetClock
from trimtab.config import Monitoring, NotifyTarget, Playbook, Settings
from trimtab.errors import Unavailable
from trimtab.ids import derived_id, new_id
from trimtab.store.ports import Writes

MONITORING = Monitoring(reference_rate=0.1, min_users=5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as opened:
        yield opened


def asked_about(server: Live, client: httpx.Client, name: str = "one", **fields: Any) -> str:
    """Capture an answer, put it into the queue, and return the item's id."""
    answer = inference(name, input="Where is my parcel?", output="In Paris.", **fields)
    client.post("/v1/events", content=body(answer)).raise_for_status()
    item = a.review_item(
        id=derived_id("item", name), inference_id=answer["id"], feature=answer["feature"], opened_at=NOW
    )
    server.engine.store.commit({"default": Writes(reviews=[item])})
    return item.id


def settled(client: httpx.Client) -> None:
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


def test_a_verdict_becomes_reviewers_feedback_and_closes_the_item(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client)
    [asked] = client.post("/v1/review/next", json={"reviewer": "r-1"}).raise_for_status().json()["items"]
    assert (asked["item"]["id"], asked["input"], asked["output"]) == (item, "Where is my parcel?", "In Paris.")
    ruling = {"reviewer": "r-1", "verdict": "bad", "correction": "In Rome, ask jane.doe@example.com.", "seconds": 45}
    judged = client.post(f"/v1/review/{item}", json={**ruling, "label": "wrong place"}).raise_for_status().json()
    assert (judged["item"]["state"], judged["item"]["verdict"], judged["item"]["minutes"]) == ("done", "bad", 0.75)
    settled(client)
    heard = client.get("/v1/feedback").json()["items"]
    assert {(each["kind"], each["source"], each["user_id"]) for each in heard} == {
        ("thumb", "reviewer", "r-1"),
        ("correction", "reviewer", "r-1"),
        ("label", "reviewer", "r-1"),
    }
    assert {each["id"] for each in heard} == set(judged["feedback_ids"])
    assert "jane.doe" not in json.dumps(heard)
    [outcome] = client.get("/v1/outcomes").json()["items"]
    assert outcome["p_bad"] > 0.9
    assert client.post(f"/v1/review/{item}", json=ruling).status_code == 409
    assert client.get("/v1/review", params={"state": "done"}).json()["items"] == [judged["item"]]
    assert client.get("/v1/review", params={"state": "open,reserved"}).json()["items"] == []


def test_a_reviewer_sees_what_was_said_and_not_what_was_taken_back(server: Live, client: httpx.Client) -> None:
    asked_about(server, client)
    about = {"inference_id": client.get("/v1/inferences").json()["items"][0]["id"], "created_at": NOW.isoformat()}
    vote = {"type": "feedback", "kind": "thumb", "user_id": "u-1", **about}
    said = [
        {**vote, "id": new_id(NOW), "value": 0},
        {**vote, "id": new_id(NOW), "kind": "correction", "text": "In Rome."},
        {**vote, "id": new_id(NOW), "value": 1, "retracted": True, "created_at": NOW.isoformat()},
    ]
    client.post("/v1/events", content=json.dumps(said)).raise_for_status()
    settled(client)
    [asked] = client.post("/v1/review/next", json={"reviewer": "r-1"}).json()["items"]
    assert [(each["kind"], each.get("text")) for each in asked["said"]] == [("correction", "In Rome.")]


def test_a_correction_that_becomes_a_case_is_not_built_from(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client)
    ruling = {"reviewer": "r-1", "verdict": "bad", "correction": "In Rome.", "case": True}
    judged = client.post(f"/v1/review/{item}", json=ruling).raise_for_status().json()
    feature = judged["item"]["feature"]
    [case] = client.get(f"/v1/features/{feature}/cases").json()["items"]
    assert (case["id"], case["input"], case["expected"]) == (judged["case_id"], "Where is my parcel?", "In Rome.")
    settled(client)
    assert [each["kind"] for each in client.get("/v1/feedback").json()["items"]] == ["thumb"]


def test_a_good_answer_can_become_a_case_as_it_stands(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client)
    judged = client.post(f"/v1/review/{item}", json={"reviewer": "r-1", "verdict": "good", "case": True}).json()
    [case] = client.get(f"/v1/features/{judged['item']['feature']}/cases").json()["items"]
    assert case["expected"] == "In Paris."


def test_a_skip_says_nothing_of_the_answer(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client)
    judged = client.post(f"/v1/review/{item}", json={"reviewer": "r-1", "verdict": "skip"}).json()
    assert (judged["item"]["state"], judged["feedback_ids"]) == ("skipped", [])
    assert client.get("/v1/feedback").json()["items"] == []


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"verdict": "good", "correction": "x"}, "correction"),
        ({"verdict": "bad", "correction": "  "}, "correction"),
        ({"verdict": "bad", "case": True}, "case"),
        ({"verdict": "skip", "case": True}, "case"),
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": "bad", "seconds": -1}, "seconds"),
    ],
)
def test_a_verdict_that_does_not_fit_is_refused_and_reserves_nothing(
    server: Live, client: httpx.Client, told: dict[str, Any], word: str
) -> None:
    item = asked_about(server, client)
    answer = client.post(f"/v1/review/{item}", json={"reviewer": "r-1", **told})
    assert answer.status_code == 400
    assert word in answer.text
    assert client.get("/v1/review").json()["items"][0]["state"] == "open"


def test_what_another_reviewer_has_cannot_be_judged(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client)
    client.post("/v1/review/next", json={"reviewer": "r-1"}).raise_for_status()
    assert client.post(f"/v1/review/{item}", json={"reviewer": "r-2", "verdict": "good"}).status_code == 409


def test_of_two_verdicts_at_once_one_counts_and_says_the_same_everywhere(server: Live, client: httpx.Client) -> None:
    items = [asked_about(server, client, f"at-once-{place}") for place in range(8)]

    def judge(item: str, verdict: str) -> int:
        with server.client("admin") as mine:
            return mine.post(f"/v1/review/{item}", json={"reviewer": "r-1", "verdict": verdict}).status_code

    told = [(item, verdict) for item in items for verdict in ("good", "bad", "good", "bad")]
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda each: judge(*each), told))
    assert sorted(answers) == [200] * 8 + [409] * 24
    settled(client)
    said = {each["inference_id"]: each["value"] for each in client.get("/v1/feedback").json()["items"]}
    closed = client.get("/v1/review", params={"state": "done"}).json()["items"]
    assert {each["inference_id"]: float(each["verdict"] == "good") for each in closed} == said


def test_an_answer_that_is_no_longer_kept_can_only_be_skipped(server: Live, client: httpx.Client) -> None:
    item = a.review_item(opened_at=NOW)
    server.engine.store.commit({"default": Writes(reviews=[item])})
    [asked] = client.post("/v1/review/next", json={"reviewer": "r-1"}).json()["items"]
    assert asked["input"] is None
    assert client.post(f"/v1/review/{item.id}", json={"reviewer": "r-1", "verdict": "good"}).status_code == 409
    assert client.post(f"/v1/review/{item.id}", json={"reviewer": "r-1", "verdict": "skip"}).status_code == 200


def test_a_verdict_that_broke_off_can_be_given_again_and_counts_once(
    server: Live, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = asked_about(server, client)

    def broken(*_: Any) -> Any:
        raise Unavailable("the disk is full")

    ruling = {"reviewer": "r-1", "verdict": "bad", "correction": "In Rome.", "case": True}
    with monkeypatch.context() as patched:
        patched.setattr(server.engine.reviews, "close", broken)
        assert client.post(f"/v1/review/{item}", json=ruling).status_code == 503
    judged = client.post(f"/v1/review/{item}", json=ruling).raise_for_status().json()
    assert len(client.get("/v1/feedback").json()["items"]) == 1
    assert len(client.get(f"/v1/features/{judged['item']['feature']}/cases").json()["items"]) == 1


def test_who_asked_is_erased_from_the_queue_and_from_a_reviewers_case(server: Live, client: httpx.Client) -> None:
    item = asked_about(server, client, user_id="gone")
    ruling = {"reviewer": "r-1", "verdict": "bad", "correction": "In Rome.", "case": True}
    judged = client.post(f"/v1/review/{item}", json=ruling).raise_for_status().json()
    settled(client)
    client.delete("/v1/users/gone").raise_for_status()
    settled(client)
    assert client.get("/v1/review").json()["items"] == []
    assert client.get(f"/v1/features/{judged['item']['feature']}/cases").json()["items"] == []


def test_reviewers_under_load_are_given_disjoint_items(server: Live, client: httpx.Client) -> None:
    answer = inference("busy")
    client.post("/v1/events", content=body(answer)).raise_for_status()
    items = [a.review_item(opened_at=NOW, feature=answer["feature"], inference_id=answer["id"]) for _ in range(60)]
    server.engine.store.commit({"default": Writes(reviews=items)})

    def work(name: str) -> list[str]:
        taken: list[str] = []
        with server.client("admin") as mine:
            while found := mine.post("/v1/review/next", json={"reviewer": name, "count": 2}).json()["items"]:
                for each in found:
                    taken.append(each["item"]["id"])
                    ruling = {"reviewer": name, "verdict": "good", "seconds": 1}
                    mine.post(f"/v1/review/{each['item']['id']}", json=ruling).raise_for_status()
        return taken

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(work, [f"r-{n}" for n in range(6)]))
    taken = [each for share in shares for each in share]
    assert sorted(taken) == sorted(item.id for item in items)


def test_a_failed_delivery_is_shown_and_sent_again_on_demand(server: Live, client: httpx.Client) -> None:
    failed = a.delivery(state="failed", attempts=12, error="status_500", created_at=NOW, next_at=NOW)
    sent = a.delivery(state="sent", created_at=NOW, next_at=NOW)
    server.engine.store.commit({"default": Writes(deliveries=[failed, sent])})
    [shown] = client.get("/v1/deliveries", params={"state": "failed"}).json()["items"]
    assert (shown["id"], shown["error"], shown["attempts"]) == (failed.id, "status_500", 12)
    again = client.post(f"/v1/deliveries/{failed.id}/retry").raise_for_status().json()
    assert (again["state"], again.get("attempts", 0)) == ("waiting", 0)
    assert client.post(f"/v1/deliveries/{sent.id}/retry").status_code == 409
    assert client.post(f"/v1/deliveries/{new_id(NOW)}/retry").status_code == 404
    assert client.get("/v1/deliveries", params={"state": "lost"}).status_code == 400


def complaints(count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for place in range(count):
        answer = inference(f"bad-{place}", input=f"Question {place * 37}?", output="no", user_id=f"u-{place}")
        vote = {
            "type": "feedback",
            "id": derived_id("vote", str(place)),
            "kind": "thumb",
            "value": 0,
            "inference_id": answer["id"],
            "user_id": f"u-{place}",
            "created_at": answer["created_at"],
        }
        events += [answer, vote]
    return events


def test_an_incident_tells_and_asks_people_by_itself(tmp_path: Path) -> None:
    with Receiver(200) as receiver:
        settings = Settings(
            monitoring=MONITORING,
            playbook=Playbook(actions=("notify", "review", "exemplar")),
            notify={"ops": NotifyTarget(url=receiver.url, allow_private=True, on=("review.added",))},
        )
        settings = msgspec.structs.replace(settings)
        with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client("admin") as client:
            client.post("/v1/events", content=body(*complaints(40))).raise_for_status()
            settled(client)
            [incident] = client.get("/v1/incidents").json()["items"]
            kinds = [json.loads(request.body)["kind"] for request in receiver.requests]
            assert sorted(kinds) == ["incident.opened", "review.added"]
            items = client.get("/v1/review").json()["items"]
            assert 0 < len(items) <= 20
            assert {item["incident_id"] for item in items} == {incident["id"]}
            [run] = client.get("/v1/runs").json()["items"]
            steps = client.get(f"/v1/runs/{run['id']}").json()["steps"]
            assert [step["name"] for step in steps][:2] == ["do_notify", "do_review"]
