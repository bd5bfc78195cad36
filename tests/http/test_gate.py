"""Golden cases, gates and their judges over HTTP: from what people say to whether anyone may see the candidate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.answering_app import SECRET, AnsweringApp
from tests.contract import hot_store_sample as a
from tests.intake import body, inference
from tests.judging import judging
from tests.live import NOW, Live, live
from trimtab.clock import SetClock
from trimtab.config import Canary, Embedding, FeatureOverride, Gate, Judge, Lake, Monitoring, Playbook, Runner, Settings
from trimtab.ids import derived_id
from trimtab.redact.wall import seal_all
from trimtab.store.ports import Writes

TRUTH = {
    "How long does a refund take?": "A refund takes five working days.",
    "Where do I find my invoice?": "Your invoice lies under Wallet.",
    "Which batteries fit the drill?": "Only the flat batteries fit.",
    "Can I return opened paint?": "Opened paint cannot be returned.",
    "Is the ladder safe outdoors?": "The ladder may stand outdoors all year.",
    "Do you sell gift cards?": "Gift cards lie beside every till.",
}
KNOWN = {ask: TRUTH[ask] for ask in list(TRUTH)[:2]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(
        tmp_path, Settings(embedding=Embedding(kind="none"), lake=Lake(enabled=False)), clock=SetClock(NOW)
    ) as on:
        yield on


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client("admin") as opened:
        opened.put("/v1/features/support").raise_for_status()
        yield opened


def settled(client: httpx.Client) -> None:
    while client.post("/v1/tick").raise_for_status().json()["rows"]:
        pass


# ---------------------------------------------------------------- cases


@pytest.mark.parametrize(
    ("told", "param", "words"),
    [
        ({"check": "regex", "expected": "(unclosed"}, "expected", "unterminated subpattern"),
        ({"check": "json_schema", "expected": "{"}, "expected", "not JSON"),
        ({"check": "json_schema", "expected": '{"type": "strng"}'}, "expected", "strng"),
        ({"check": "json_schema", "expected": '{"$ref": "http://169.254.169.254/"}'}, "expected", "inside the schema"),
        ({"check": "judge", "expected": "Two days."}, "check", "judge.model"),
        ({"check": "embedding", "expected": "Two days."}, "check", "embedding.kind"),
        ({"check": "exact", "expected": "  "}, "expected", "got none"),
        ({"check": "guess", "expected": "x"}, "check", "guess"),
        ({"expected": "x", "likeness": 2}, "likeness", "likeness"),
        ({"expected": "x", "incident_id": derived_id("none")}, "incident_id", "incident of 'support'"),
    ],
)
def test_a_case_that_could_never_be_checked_is_refused_where_it_is_made(
    client: httpx.Client, told: dict[str, Any], param: str, words: str
) -> None:
    answer = client.post("/v1/features/support/cases", json={"input": "How long?", **told})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert client.get("/v1/features/support/cases").json()["items"] == []


def test_cases_of_every_check_are_taken(tmp_path: Path) -> None:
    settings = Settings(judge=Judge(model="m", base_url="http://127.0.0.1:9"), lake=Lake(enabled=False))
    told = {
        "regex": r"\d+ days",
        "json_schema": '{"type": "object"}',
        "embedding": "Two days.",
        "judge": "Names two days and promises nothing.",
        "contains": "two",
        "similar": "Two days.",
    }
    with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client("admin") as client:
        client.put("/v1/features/support").raise_for_status()
        for check, expected in told.items():
            sent = {"input": "How long?", "expected": expected, "check": check, "likeness": 0.7}
            client.post("/v1/features/support/cases", json=sent).raise_for_status()
        found = client.get("/v1/features/support/cases").json()["items"]
    assert {each["check"]: each["expected"] for each in found} == told


def test_cases_come_from_incidents_and_from_reviewers(server: Live, client: httpx.Client) -> None:
    incident, other = a.incident(feature="support"), a.incident(feature="search")
    given = inference("one", feature="support", input="Where is it?", output="In Paris.")
    client.post("/v1/events", content=body(given)).raise_for_status()
    item = a.review_item(feature="support", inference_id=given["id"], incident_id=incident.id, opened_at=NOW)
    server.engine.store.commit({"default": Writes(incidents=[incident, other], reviews=[item])})
    by_hand = {"input": "When?", "expected": "Today.", "incident_id": incident.id, "severity": "must_pass"}
    client.post("/v1/features/support/cases", json=by_hand).raise_for_status()
    refused = client.post("/v1/features/support/cases", json={**by_hand, "incident_id": other.id})
    assert refused.status_code == 400
    ruling = {"reviewer": "r-1", "verdict": "bad", "correction": "In Rome.", "case": True}
    client.post(f"/v1/review/{item.id}", json=ruling).raise_for_status()
    cases = client.get("/v1/features/support/cases").json()["items"]
    assert [(each["input"], each["expected"], each["incident_id"]) for each in cases] == [
        ("When?", "Today.", incident.id),
        ("Where is it?", "In Rome.", incident.id),
    ]


def test_a_case_is_retired_and_restored_and_twice_is_once(server: Live, client: httpx.Client) -> None:
    sent = {"input": "How long?", "expected": "Two days."}
    for _ in range(2):
        client.post("/v1/features/support/cases", json=sent).raise_for_status()
    made = client.get("/v1/features/support/cases").json()["items"]
    one = f"/v1/features/support/cases/{made[0]['id']}"

    def listed(**told: str) -> list[str]:
        return [each["id"] for each in client.get("/v1/features/support/cases", params=told).json()["items"]]

    gone = [client.delete(one).raise_for_status().json() for _ in range(2)]
    assert gone[0] == gone[1] == {**made[0], "retired_at": gone[0]["retired_at"]}
    assert (listed(), listed(retired="true")) == ([made[1]["id"]], [made[0]["id"]])
    back = [client.post(f"{one}/restore").raise_for_status().json() for _ in range(2)]
    assert back == [made[0], made[0]]
    assert (listed(retired="false"), listed(retired="true")) == ([each["id"] for each in made], [])


def test_a_case_is_retired_under_its_own_feature_alone(client: httpx.Client) -> None:
    client.put("/v1/features/search").raise_for_status()
    made = client.post("/v1/features/support/cases", json={"input": "How long?", "expected": "Two days."}).json()
    assert client.delete(f"/v1/features/search/cases/{made['id']}").status_code == 404
    assert client.delete(f"/v1/features/support/cases/{derived_id('none')}").status_code == 404
    assert [each["id"] for each in client.get("/v1/features/support/cases").json()["items"]] == [made["id"]]


def test_answers_to_a_retired_case_wait_for_nobodys_ruling(server: Live, client: httpx.Client) -> None:
    made = client.post("/v1/features/support/cases", json={"input": "How long?", "expected": "Two days."}).json()
    case = a.case(id=made["id"], feature="support")
    answer = a.case_answer(case, judge="j", opinion="good")
    server.engine.store.commit({"default": Writes(case_answers=[a.sealed(answer)])})
    assert len(client.get("/v1/features/support/answers").json()["items"]) == 1
    client.delete(f"/v1/features/support/cases/{case.id}").raise_for_status()
    assert client.get("/v1/features/support/answers").json()["items"] == []


# ---------------------------------------------------------------- the whole way, with each runner


def settings_of(runner: Runner, **more: Any) -> Settings:
    told: dict[str, Any] = {
        "monitoring": Monitoring(reference_rate=0.1, horizon_votes=2000),
        "playbook": Playbook(cooldown_hours=1),
        "canary": Canary(steps=(0.2, 0.5), step_hours=1, step_exposures=20),
        "lake": Lake(enabled=False),
        "embedding": Embedding(kind="none"),
        "features": {"support": FeatureOverride(runner="app")},
        "runners": {"app": runner},
    }
    return Settings(**{**told, **more})


def said(count: int) -> Iterator[dict[str, Any]]:
    """People ask, get what the version knows, and vote; who was left without an answer says what is right."""
    for place in range(count):
        ask = list(TRUTH)[place % len(TRUTH)]
        user, answer = f"user-{place}", derived_id("answer", str(place))
        output = KNOWN.get(ask, "")
        common = {"created_at": (NOW - timedelta(minutes=10)).isoformat(), "user_id": user}
        yield {
            "type": "inference", "id": answer, "feature": "support", "input": ask, "output": output or "Sorry.",
            "arm": "stable", **common,
        }  # fmt: skip
        about = {"type": "feedback", "inference_id": answer, **common}
        yield {**about, "id": derived_id("vote", answer), "kind": "thumb", "value": float(bool(output))}
        if not output:
            yield {**about, "id": derived_id("word", answer), "kind": "correction", "text": TRUTH[ask]}


def taught(client: httpx.Client, count: int = 240) -> dict[str, Any]:
    """Serve a version that knows a third, let people speak, and return the change that comes of it."""
    client.put("/v1/features/support").raise_for_status()
    shown = [{"id": f"x{place}", "input": ask, "output": KNOWN[ask]} for place, ask in enumerate(KNOWN)]
    served = client.post("/v1/features/support/versions", json={"exemplars": shown}).raise_for_status().json()
    version_id = served["version"]["id"]
    for ask, right in KNOWN.items():  # what is right already must stay so
        sent = {"input": ask, "expected": right, "check": "contains", "severity": "must_pass"}
        client.post("/v1/features/support/cases", json=sent).raise_for_status()
    events = [each | ({"version_id": version_id} if each["type"] == "inference" else {}) for each in said(count)]
    client.post("/v1/events", json=events).raise_for_status()
    settled(client)
    changes: list[dict[str, Any]] = client.get("/v1/changes").json()["items"]
    assert len(changes) == 1, changes
    return changes[0]


APP = """
from tests.answering_app import answered

def answer(question):
    return answered(question["messages"])
"""


@pytest.mark.parametrize("kind", ["memory", "llm", "webhook", "python"])
def test_a_gate_passes_what_its_runner_shows_to_be_mended(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_SECRET", SECRET)
    monkeypatch.syspath_prepend(str(tmp_path))
    tmp_path.joinpath("shop_app.py").write_text(APP, "utf-8")
    with ExitStack() as undo:
        app = undo.enter_context(AnsweringApp())
        runner = {
            "memory": Runner(),
            "llm": Runner(kind="llm", base_url=f"{app.url}/v1", model="m"),
            "webhook": Runner(kind="webhook", url=f"{app.url}/hook", secret_env="APP_SECRET", allow_private=True),
            "python": Runner(kind="python", entry="shop_app:answer", parallel=2),
        }[kind]
        server = undo.enter_context(live(tmp_path / "data", settings_of(runner), clock=SetClock(NOW)))
        client = undo.enter_context(server.client("admin"))
        change = taught(client)
        gate = change["gate"]
        cases = client.get("/v1/features/support/cases").json()["items"]
        assert change["state"] == "canary", change
        assert gate["verdict"] in ("pass", "inconclusive")
        assert (gate["broken"], gate["must_pass_broken"], gate.get("undecided", 0)) == (0, 0, 0)
        assert gate["cases"] == len(cases) > 20
        assert gate["targets_fixed"] == gate["targets"] == gate["fixed"]  # the candidate knows what the judges asked
        assert (
            gate["proves"] == f"{len(cases)} cases can rule out drops larger than {100 * gate['rules_out']:.1f} points"
        )
        checks = {each.get("check", "exact") for each in cases if each.get("severity", "normal") == "normal"}
        assert checks == {"exact" if kind == "memory" else "similar"}
        if kind in ("llm", "webhook"):
            assert app.minded == 2 * len(cases)  # each version, each case, once


def test_whoever_approves_a_change_sees_it_in_the_shadow(tmp_path: Path) -> None:
    settings = settings_of(
        Runner(), gate=Gate(shadow=50), playbook=Playbook(mode="ask", cooldown_hours=1), features={}, runners={}
    )
    with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client("admin") as client:
        change = taught(client)
        found = client.get(f"/v1/changes/{change['id']}").json()
        rollout = client.get("/v1/features/support/rollout").json()["rollout"]
    assert found["state"] == "awaiting"
    beside = found["gate"]["shadow"]
    assert (beside["n"], beside["same"]) == (len(TRUTH), len(KNOWN))  # what was right stays word for word
    assert rollout.get("candidate_version_id") is None


def test_a_candidate_that_breaks_a_must_pass_case_is_blocked_through_the_apps_own_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_SECRET", SECRET)

    def grumpy(messages: list[dict[str, str]]) -> str:
        """Answer nothing right once more than one thing was taught."""
        return "Sorry." if len(messages) > 5 else next(iter(KNOWN.values())) if len(messages) == 5 else ""

    with AnsweringApp(mind=grumpy) as app:
        runner = Runner(kind="webhook", url=f"{app.url}/hook", secret_env="APP_SECRET", allow_private=True)
        with live(tmp_path, settings_of(runner), clock=SetClock(NOW)) as server, server.client("admin") as client:
            change = taught(client)
    assert (change["state"], change["gate"]["verdict"]) == ("blocked", "fail")
    assert "must-pass" in change["reason"]


def test_a_gate_whose_app_is_away_blocks_the_change_and_shows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_SECRET", SECRET)
    runner = Runner(kind="webhook", url="http://127.0.0.1:9/", secret_env="APP_SECRET", allow_private=True, retries=0)
    with live(tmp_path, settings_of(runner), clock=SetClock(NOW)) as server, server.client("admin") as client:
        change = taught(client)
        rollout = client.get("/v1/features/support/rollout").json()["rollout"]
    assert (change["state"], change.get("gate")) == ("blocked", None)
    assert "cannot be reached" in change["reason"]
    assert rollout.get("candidate_version_id") is None


# ---------------------------------------------------------------- the judge


def test_a_judge_informs_until_people_have_ruled_and_then_decides(tmp_path: Path) -> None:
    clock = SetClock(NOW)
    with ExitStack() as undo:
        app, model = undo.enter_context(AnsweringApp()), undo.enter_context(judging())
        settings = settings_of(
            Runner(kind="llm", base_url=f"{app.url}/v1", model="m"),
            gate=Gate(check="judge"),
            judge=Judge(model="judge-1", base_url=f"{model.url}/v1", min_rulings=10, min_kappa=0.2),
        )
        server = undo.enter_context(live(tmp_path, settings, clock=clock))
        client = undo.enter_context(server.client("admin"))
        change = taught(client)
        gate = change["gate"]
        assert (gate["verdict"], change["state"]) == ("inconclusive", "canary")
        assert gate["undecided"] == gate["targets"] > 20
        assert gate["judge"]["may_decide"] is False
        before = client.get("/v1/features/support/judge").json()
        assert (before["may_decide"], before["good"]) == (False, 0)  # people have only said what was wrong

        told = client.get("/v1/features/support/answers", params={"limit": 1000}).json()["items"]
        assert told
        assert all(each["answer"].get("opinion") is None and each["answer"].get("judge") is None for each in told)
        for each in told:
            right = each["expected"] in each["answer"]["output"]
            url = f"/v1/answers/{each['answer']['id']}/ruling"
            ruled = client.post(url, json={"ruling": "good" if right else "bad"}).raise_for_status().json()
            assert ruled["opinion"] is not None  # told once the person has spoken
        assert client.get("/v1/features/support/answers").json()["items"] == []

        report = client.post("/v1/features/support/judge", json={"most": 100}).raise_for_status().json()
        assert (report["may_decide"], report["kappa"], report["waiting"]) == (True, 1.0, 0), report
        assert report == client.get("/v1/features/support/judge").json()
        clock.advance(timedelta(hours=1))
        client.post(f"/v1/changes/{change['id']}/rollback").raise_for_status()
        candidate = server.engine.store.version("default", "support", change["candidate_version_id"])
        assert candidate is not None
        cases = server.engine.store.cases("default", "support")
        marks = server.engine.exams.sit("default", "support", cases, clock.now()).exam.marks(candidate, cases)
        assert all(mark.decided and mark.passed for mark in marks)


def test_without_a_judge_there_is_nothing_to_measure(client: httpx.Client) -> None:
    assert client.get("/v1/features/support/judge").json()["reason"] == "no model judges: judge.model is empty"
    assert client.post("/v1/features/support/judge").status_code == 409
    assert client.get("/v1/features/nowhere/judge").status_code == 404
    assert client.post(f"/v1/answers/{derived_id('none')}/ruling", json={"ruling": "good"}).status_code == 404
    assert client.post(f"/v1/answers/{derived_id('none')}/ruling", json={"ruling": "maybe"}).status_code == 400


def test_a_stored_pattern_that_is_broken_holds_up_no_gate(tmp_path: Path) -> None:
    with live(tmp_path, settings_of(Runner()), clock=SetClock(NOW)) as server, server.client("admin") as client:
        client.put("/v1/features/support").raise_for_status()
        cleaner = server.engine.redactor.of("default")
        broken = [
            a.case(feature="support", check="regex", expected="("),
            a.case(feature="support", check="json_schema"),
        ]
        server.engine.store.commit({"default": Writes(cases=seal_all(cleaner, broken))})
        change = taught(client)
    assert change["state"] == "canary"
    assert change["gate"]["undecided"] == 2
    assert json.dumps(change["gate"]["proves"]).count("2 of them could not be decided") == 1
