"""The review queue over HTTP: batches of themes with an audit, several reviewers, disagreement, and guests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import NOW, Live, live
from tests.review_world import BAD, FEATURE, answered, events, is_wrong
from trimtab.clock import SetClock
from trimtab.config import FeatureOverride, Outcomes, Reviewing, Settings
from trimtab.ids import new_id

SETTINGS = Settings(
    review=Reviewing(weekly_items=20, audit_share=0.2, idle_minutes=5, link_hours=2), outcome=Outcomes(bad_rate=0.15)
)


def opened(folder: Path, settings: Settings = SETTINGS) -> Any:
    return live(folder, settings, clock=SetClock(NOW))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with opened(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as mine:
        filled(mine)
        yield mine


def filled(client: httpx.Client, **told: Any) -> None:
    client.post("/v1/events", content=answered(events(NOW, **told))).raise_for_status()
    settled(client)


def settled(client: httpx.Client) -> None:
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


def batch(client: httpx.Client, **told: Any) -> dict[str, Any]:
    found: dict[str, Any] = (
        client.post("/v1/review/batches", json={"feature": FEATURE, **told}).raise_for_status().json()
    )
    return found


def taken(client: httpx.Client, reviewer: str, count: int = 1) -> list[dict[str, Any]]:
    told = {"reviewer": reviewer, "count": count}
    found: list[dict[str, Any]] = client.post("/v1/review/next", json=told).raise_for_status().json()["items"]
    return found


def ruled(client: httpx.Client, asked: dict[str, Any], reviewer: str, verdict: str, **told: Any) -> dict[str, Any]:
    ruling = {"reviewer": reviewer, "verdict": verdict, **told}
    answer = client.post(f"/v1/review/{asked['item']['id']}", json=ruling).raise_for_status()
    found: dict[str, Any] = answer.json()["item"]
    return found


def later(server: Live, minutes: float) -> None:
    assert isinstance(server.engine.clock, SetClock)
    server.engine.clock.advance(timedelta(minutes=minutes))


def test_a_batch_has_one_card_for_each_theme_of_what_looks_wrong_and_a_random_audit(client: httpx.Client) -> None:
    made = batch(client)
    assert (made["themes"], made["audits"], made["answers"], made["pool"]) == (16, 4, 300, 300)
    assert made["inclusion"] == pytest.approx(4 / 300)
    assert made["weights"].keys() == {"base", "signals", "margin", "nearest", "around", "answer"}
    cards = client.get("/v1/review/themes", params={"batch": made["id"]}).json()["items"]
    assert len(cards) == 16
    weights = [card["theme"]["weight"] for card in cards]
    assert weights == sorted(weights, reverse=True)
    texts = {each["id"]: each for each in client.get("/v1/inferences", params={"limit": 1000}).json()["items"]}
    kinds: Counter[str] = Counter()
    for card in cards:
        theme = card["theme"]
        assert theme["members"][0] == theme["inference_id"] == card["items"][0]["inference_id"]
        assert theme["size"] == len(theme["members"])
        assert 1 <= len(theme["words"]) <= 3
        kinds[texts[theme["inference_id"]]["output"]] += 1
    assert {f"about {kind}, wrongly" for kind in BAD} <= kinds.keys()
    items = client.get("/v1/review", params={"limit": 100}).json()["items"]
    drawn = [item for item in items if item["source"] == "random"]
    assert len(drawn) == 4
    assert {item["inclusion"] for item in drawn} == {made["inclusion"]}
    audited = client.get("/v1/audits").json()["items"]
    assert {each["inference_id"] for each in audited} == {item["inference_id"] for item in drawn}
    assert client.get("/v1/review/batches").json()["items"] == [made]


def test_reviewers_are_not_told_what_is_thought_of_an_answer(client: httpx.Client) -> None:
    batch(client)
    for asked in taken(client, "ada", 20):
        assert not {"p_wrong", "known", "inclusion"} & asked["item"].keys()
        assert "%" not in asked["item"]["reason"]
    assert all("p_wrong" in item for item in client.get("/v1/review").json()["items"])


def test_what_is_asked_stays_within_the_weeks_budget_of_the_feature(server: Live, client: httpx.Client) -> None:
    assert batch(client, items=15)["budget"] == 15
    assert batch(client)["budget"] == 5
    used = client.post("/v1/review/batches", json={"feature": FEATURE})
    assert (used.status_code, "20 items a week" in used.text) == (409, True)
    assert batch(client, items=3)["budget"] == 3
    asked = [item["inference_id"] for item in client.get("/v1/review", params={"limit": 100}).json()["items"]]
    assert len(asked) == len(set(asked)) == 23
    assert client.post("/v1/review/batches", json={"feature": "nobody"}).status_code == 404
    assert client.post("/v1/review/batches", json={"feature": FEATURE, "items": 0}).status_code == 400


def test_a_batch_comes_by_itself_once_a_week_and_replaces_what_nobody_began(server: Live, client: httpx.Client) -> None:
    later(server, 7 * 24 * 60 - 61)
    settled(client)
    assert client.get("/v1/review/batches").json()["items"] == []
    client.post("/v1/events", content=answered(events(server.engine.clock.now(), seed=1))).raise_for_status()
    later(server, 61)
    settled(client)
    [first] = client.get("/v1/review/batches").json()["items"]
    assert (first["by"], first["budget"]) == ("schedule", 20)
    [begun] = taken(client, "ada")
    later(server, 7 * 24 * 60)
    client.post("/v1/events", content=answered(events(server.engine.clock.now(), seed=2))).raise_for_status()
    settled(client)
    second, again = client.get("/v1/review/batches").json()["items"]
    assert again == first
    assert second["by"] == "schedule"
    states = {
        (item["batch_id"], item["source"], item["state"])
        for item in client.get("/v1/review", params={"limit": 100}).json()["items"]
    }
    assert states == {
        (first["id"], "queue", "skipped"),
        (first["id"], begun["item"]["source"], "reserved"),
        (first["id"], "random", "open"),
        (second["id"], "queue", "open"),
        (second["id"], "random", "open"),
    }


def test_a_feature_has_a_budget_of_its_own_and_none_means_never(tmp_path: Path) -> None:
    features = {FEATURE: FeatureOverride(review_items=0)}
    with opened(tmp_path, Settings(review=Reviewing(), features=features)) as server, server.client() as client:
        filled(client)
        later(server, 8 * 24 * 60)
        settled(client)
        assert client.get("/v1/review/batches").json()["items"] == []
        assert client.post("/v1/review/batches", json={"feature": FEATURE}).status_code == 409


def test_an_answer_that_was_judged_already_can_be_drawn_and_is_not_asked_about_again(
    server: Live, client: httpx.Client
) -> None:
    answers = [each for each in events(NOW) if each["type"] == "inference"]
    verdicts = [
        {
            "type": "feedback",
            "id": new_id(NOW),
            "kind": "thumb",
            "value": 1,
            "inference_id": each["id"],
            "source": "reviewer",
            "user_id": "ada",
            "created_at": NOW.isoformat(),
        }
        for each in answers[5:]
    ]
    client.post("/v1/events", json=verdicts).raise_for_status()
    settled(client)
    made = batch(client)
    items = client.get("/v1/review", params={"limit": 100}).json()["items"]
    assert made["audits"] == 4
    assert {item["inference_id"] for item in items} <= {each["id"] for each in answers[:5]}
    assert len(client.get("/v1/audits", params={"open": "false"}).json()["items"]) > 0


def test_of_very_many_answers_a_sample_is_looked_at_and_beside_it_what_looks_worst(tmp_path: Path) -> None:
    review = Reviewing(weekly_items=20, audit_share=0.5, pool_answers=50)
    with opened(tmp_path, Settings(review=review)) as server, server.client() as client:
        filled(client)
        made = batch(client)
        assert made["answers"] == 300
        assert made["pool"] > 50
        assert made["inclusion"] == pytest.approx(10 / 300)
        themes = client.get("/v1/review/themes", params={"batch": made["id"]}).json()["items"]
        members = {each for card in themes for each in card["theme"]["members"]}
        voted = {
            each["inference_id"]
            for each in client.get("/v1/outcomes", params={"limit": 1000}).json()["items"]
            if each["p_bad"] > 0.5
        }
        drawn = {each["inference_id"] for each in client.get("/v1/audits").json()["items"]}
        assert voted
        assert voted <= members | drawn


def test_p_wrong_learns_from_the_teams_own_verdicts(server: Live, client: httpx.Client) -> None:
    assert "reviews" not in batch(client, items=70)
    for asked in taken(client, "ada", 100):
        ruled(client, asked, "ada", "bad" if is_wrong(asked["output"]) else "good", seconds=6)
    settled(client)
    made = batch(client, items=10)
    assert made["reviews"] == 70
    assert made["weights"]["margin"] < -0.9  # the confidence tells more here than was assumed
    summary = client.get("/v1/review/summary", params={"feature": FEATURE}).json()
    found = {row["source"]: row for row in summary["found"]}
    assert found["queue"]["rate"] > found["random"]["rate"]
    assert (summary["done"], summary["open"], summary["measured"]) == (70, 10, 70)
    assert summary["minutes"] == pytest.approx(7.0)
    later(server, 61)
    settled(client)
    assert (
        client.get("/v1/calibrations").json()["items"][0]["audited"] > 0
    )  # the audit of the queue is that of outcomes


def test_two_reviewers_under_load_are_given_disjoint_items(server: Live, client: httpx.Client) -> None:
    batch(client, items=60)

    def work(name: str) -> list[str]:
        own: list[str] = []
        with server.client("admin") as mine:
            while found := taken(mine, name, 3):
                for asked in found:
                    own.append(asked["item"]["inference_id"])
                    ruled(mine, asked, name, "good")
        return own

    names = ["ada", "bob", *(f"r-{n}" for n in range(6))]
    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(work, names))
    everything = [each for share in shares for each in share]
    assert len(everything) == len(set(everything)) == 60
    done = client.get("/v1/review", params={"state": "done", "limit": 100}).json()["items"]
    assert Counter(item["reserved_by"] for item in done) == {
        name: len(share) for name, share in zip(names, shares, strict=True) if share
    }


def several(folder: Path, **told: Any) -> Any:
    return opened(folder, Settings(review=Reviewing(weekly_items=12, audit_share=0, **told)))


def test_every_answer_is_judged_by_as_many_different_people_as_were_wanted(tmp_path: Path) -> None:
    with several(tmp_path, reviewers=3) as server, server.client() as client:
        filled(client)
        batch(client)
        waiting = client.get("/v1/review", params={"limit": 100}).json()["items"]
        hard = set(sorted({item["inference_id"] for item in waiting})[:5])  # all agree which ones are bad

        def work(name: str) -> list[str]:
            own: list[str] = []
            with server.client("admin") as mine:
                while found := taken(mine, name, 5):
                    own += [asked["item"]["inference_id"] for asked in found]
                    for asked in found:
                        ruled(mine, asked, name, "bad" if asked["item"]["inference_id"] in hard else "good")
            return own

        with ThreadPoolExecutor(4) as pool:
            shares = list(pool.map(work, ["ada", "bob", "cyd", "dan"]))
        for share in shares:
            assert len(share) == len(set(share))
        judged = Counter(each for share in shares for each in share)
        assert len(judged) == 12
        assert set(judged.values()) == {3}
        agreement = client.get("/v1/review/summary").json()["agreement"]
        assert (agreement["kappa"], agreement["cards"]) == (1.0, 12)
        assert agreement["low"] < 1.0


def test_two_who_disagree_are_followed_by_a_third_who_hears_both(tmp_path: Path) -> None:
    with several(tmp_path, reviewers=2) as server, server.client() as client:
        filled(client)
        batch(client, items=1)
        [first] = taken(client, "ada", 9)
        ruled(client, first, "ada", "bad", correction="Ten days.")
        assert taken(client, "ada", 9) == []
        settled(client)
        [second] = taken(client, "bob", 9)
        assert all(said["source"] != "reviewer" for said in second["said"])
        ruled(client, second, "bob", "good")
        settled(client)
        assert taken(client, "ada", 9) == taken(client, "bob", 9) == []
        [third] = taken(client, "cyd", 9)
        assert third["item"]["referee"]
        assert {(said["kind"], said["source"]) for said in third["said"]} >= {
            ("thumb", "reviewer"),
            ("correction", "reviewer"),
        }
        ruled(client, third, "cyd", "bad")
        settled(client)
        assert taken(client, "dan", 9) == []
        [outcome] = [
            each
            for each in client.get("/v1/outcomes", params={"limit": 1000}).json()["items"]
            if each["inference_id"] == third["item"]["inference_id"]
        ]
        assert outcome["p_bad"] == pytest.approx(2 / 3)
        summary = client.get("/v1/review/summary").json()
        assert summary["found"][0] | {"low": 0, "high": 0} == {
            "source": "queue", "judged": 1, "bad": 1, "rate": 1.0, "low": 0, "high": 0
        }  # fmt: skip
        assert (summary["agreement"]["cards"], summary["agreement"]["observed"]) == (1, 0.0)
        assert [pair["reviewers"] for pair in summary["pairs"]] == [["ada", "bob"]]


def test_disagreement_goes_to_the_person_who_is_named_for_it(tmp_path: Path) -> None:
    with several(tmp_path, reviewers=2, referee="eve") as server, server.client() as client:
        filled(client)
        batch(client, items=2)
        for name, verdict in (("ada", "bad"), ("bob", "good")):
            for asked in taken(client, name, 9):
                ruled(client, asked, name, verdict)
        assert taken(client, "cyd", 9) == []
        assert [asked["item"]["asked_of"] for asked in taken(client, "eve", 9)] == ["eve", "eve"]


def test_an_expert_who_never_answers_holds_up_no_referee(tmp_path: Path) -> None:
    with several(tmp_path, reviewers=2) as server, server.client() as client:
        filled(client)
        batch(client, items=1)
        [first] = taken(client, "ada", 9)
        ruled(client, first, "ada", "bad")
        link = {"reviewer": "Prof. Curie", "hours": 24}
        client.post(f"/v1/review/{first['item']['id']}/links", json=link).raise_for_status()
        [second] = taken(client, "bob", 9)
        ruled(client, second, "bob", "good")
        settled(client)
        assert taken(client, "cyd", 9) == []
        later(server, 25 * 60)
        settled(client)
        [third] = taken(client, "cyd", 9)
        assert third["item"]["referee"]


def test_nobody_can_judge_one_answer_twice_by_naming_its_other_item(tmp_path: Path) -> None:
    with several(tmp_path, reviewers=2) as server, server.client() as client:
        filled(client)
        batch(client, items=1)
        [first] = taken(client, "ada")
        ruled(client, first, "ada", "bad")
        [other] = client.get("/v1/review", params={"state": "open"}).json()["items"]
        answer = client.post(f"/v1/review/{other['id']}", json={"reviewer": "ada", "verdict": "bad"})
        assert (answer.status_code, "judged by this reviewer" in answer.text) == (409, True)


def test_minutes_are_measured_from_taking_to_verdict_without_idle_time(server: Live, client: httpx.Client) -> None:
    batch(client)
    one, two, three = taken(client, "ada", 3)
    later(server, 2)
    assert ruled(client, one, "ada", "good")["minutes"] == 2.0
    later(server, 1)
    assert ruled(client, two, "ada", "good")["minutes"] == 1.0  # not three: she was busy with the first
    later(server, 20)
    assert ruled(client, three, "ada", "good")["minutes"] == 5.0  # she left the desk
    [waiting] = taken(client, "bob")
    assert ruled(client, waiting, "bob", "good", seconds=30)["minutes"] == 0.5
    [unseen] = client.get("/v1/review", params={"state": "open", "limit": 1}).json()["items"]
    assert "minutes" not in ruled(client, {"item": unseen}, "cyd", "good")


@pytest.fixture
def guest(server: Live, client: httpx.Client) -> Iterator[tuple[httpx.Client, dict[str, Any]]]:
    batch(client)
    [item] = client.get("/v1/review", params={"limit": 1}).json()["items"]
    made = (
        client.post(f"/v1/review/{item['id']}/links", json={"reviewer": "prof@example.org"}).raise_for_status().json()
    )
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as outside:
        yield outside, {**made, "asked": item}


def test_an_expert_with_a_link_judges_the_one_answer_and_sees_nothing_else(
    server: Live, client: httpx.Client, guest: tuple[httpx.Client, dict[str, Any]]
) -> None:
    outside, made = guest
    shown = outside.get("/v1/guest/review").raise_for_status().json()
    assert shown.keys() == {"reviewer", "feature", "expires_at", "input", "output"}
    assert "prof@" not in str(shown)
    for method, path in (("GET", "/v1/review"), ("GET", "/v1/inferences"), ("POST", "/v1/events"), ("GET", "/v1/keys")):
        assert outside.request(method, path).status_code in (401, 403)
    assert (
        outside.post(f"/v1/review/{made['link']['item_id']}", json={"reviewer": "x", "verdict": "good"}).status_code
        == 401
    )
    case = outside.post("/v1/guest/review", json={"verdict": "good", "case": True})
    assert case.status_code == 400  # a golden case is not a guest's to make
    later(server, 3)
    outside.post("/v1/guest/review", json={"verdict": "bad", "correction": "Ten days."}).raise_for_status()
    settled(client)
    heard = client.get("/v1/feedback", params={"limit": 1000}).json()["items"]
    mine = [each for each in heard if each["source"] == "reviewer"]
    assert {each["kind"] for each in mine} == {"thumb", "correction"}
    assert {each["inference_id"] for each in mine} == {made["asked"]["inference_id"]}
    done = next(item for item in client.get("/v1/review", params={"state": "done"}).json()["items"])
    assert (done["id"], done["minutes"]) == (made["link"]["item_id"], 3.0)
    assert outside.get("/v1/guest/review").status_code == 409
    assert outside.post("/v1/guest/review", json={"verdict": "good"}).status_code == 409


def test_an_item_of_a_link_is_the_experts_and_the_other_one_stays_the_teams(
    client: httpx.Client, guest: tuple[httpx.Client, dict[str, Any]]
) -> None:
    _, made = guest
    given = {asked["item"]["id"] for asked in taken(client, "ada", 100)}
    assert made["asked"]["id"] in given
    assert made["link"]["item_id"] not in given


def test_a_link_ends_when_it_expires_or_is_revoked(
    server: Live, client: httpx.Client, guest: tuple[httpx.Client, dict[str, Any]]
) -> None:
    outside, made = guest
    links = f"/v1/review/{made['asked']['id']}/links"
    again = client.post(links, json={"reviewer": "prof@example.org", "hours": 5}).raise_for_status().json()
    assert again["link"]["item_id"] == made["link"]["item_id"]
    [one, two] = client.get(links).json()["items"]
    assert {one["id"], two["id"]} == {made["link"]["id"], again["link"]["id"]}
    assert made["token"] not in client.get(links).text
    later(server, 121)
    assert outside.get("/v1/guest/review").status_code == 401
    second = {"Authorization": f"Bearer {again['token']}"}
    assert httpx.get(f"{server.url}/v1/guest/review", headers=second, trust_env=False).status_code == 200
    assert client.delete(f"{links}/{again['link']['id']}").json()["revoked"]
    assert httpx.get(f"{server.url}/v1/guest/review", headers=second, trust_env=False).status_code == 401
    assert client.delete(f"{links}/{new_id(NOW)}").status_code == 404


@pytest.mark.parametrize("token", ["tt_guest_", "tt_guest_" + "x" * 43, "tt_guest_%00"])
def test_a_guessed_token_opens_nothing(server: Live, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{server.url}/v1/guest/review", headers=headers, trust_env=False).status_code == 401


def test_metrics_tell_how_much_waits_and_since_when(server: Live, client: httpx.Client) -> None:
    batch(client)
    taken(client, "ada", 3)
    later(server, 1)
    told = client.get("/metrics").text
    named = f'feature="{FEATURE}",project="default"'
    assert f'trimtab_review_items{{{named},state="open"}} 17.0' in told
    assert f'trimtab_review_items{{{named},state="reserved"}} 3.0' in told
    assert f'trimtab_review_oldest_seconds{{{named},state="open"}} 60.0' in told
