"""Prompts over HTTP for apps without an SDK, and the users who are held back, over the whole engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import NOW, Live, live
from trimtab.client import Client
from trimtab.clock import SetClock
from trimtab.config import Canary, Settings
from trimtab.ids import new_id
from trimtab.stats.bucket import in_holdback

SHARE = 0.2


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = Settings(canary=Canary(holdback=SHARE))
    with live(tmp_path_factory.mktemp("held"), settings, clock=SetClock(NOW)) as running:
        yield running


def declare(client: httpx.Client, feature: str, *texts: str) -> list[str]:
    client.put(f"/v1/features/{feature}").raise_for_status()
    return [serve(client, feature, text) for text in texts]


def serve(client: httpx.Client, feature: str, text: str) -> str:
    body = {
        "messages": [{"role": "system", "content": text}],
        "rules": [{"id": "r1", "text": "Be brief."}],
        "exemplars": [{"id": f"e{at}", "input": f"case {at}", "output": f"{text} {at}"} for at in range(5)],
        "model": "small-1",
        "parameters": {"temperature": 0},
    }
    made = client.post(f"/v1/features/{feature}/versions", json=body)
    made.raise_for_status()
    return str(made.json()["version"]["id"])


def rendered(client: httpx.Client, feature: str, **told: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/features/{feature}/render", json=told)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def people(feature: str, *, held_back: bool, count: int) -> list[str]:
    named = (f"u-{number}" for number in range(10_000))
    return list(islice((user for user in named if in_holdback(feature, user, SHARE) is held_back), count))


def test_a_prompt_over_http_is_the_sdks(held: Live, tmp_path: Path) -> None:
    with held.client() as admin, held.client("ingest") as app:
        declare(admin, "both", "one", "two")
        with Client(held.url, held.keys["ingest"], feature="both", resolve_timeout_s=20, spool_dir=tmp_path) as sdk:
            for number in range(60):
                user, asked = f"u-{number}", f"about case {number % 5}"
                over_http = rendered(app, "both", input=asked, user_id=user, exemplars=2)
                resolved = sdk.resolve(user=user)
                assert resolved.version is not None
                assert resolved.rollout is not None
                assert over_http == {
                    "messages": sdk.prompt(input=asked, user=user, exemplars=2),
                    "version_id": resolved.version.id,
                    "arm": resolved.arm,
                    "rollout_id": resolved.rollout.id,
                    "revision": resolved.rollout.revision,
                    "model": resolved.version.model,
                    "parameters": resolved.version.parameters,
                }


def test_a_fallback_is_in_force_until_a_version_has_messages(held: Live) -> None:
    with held.client() as admin, held.client("ingest") as app:
        declare(admin, "bare")
        for fallback in ("Be kind.", [{"role": "system", "content": "Be kind."}]):
            told = rendered(app, "bare", input="Hi", fallback=fallback)
            assert [turn["content"] for turn in told["messages"]] == ["Be kind.", "Hi"]
        assert rendered(app, "bare")["messages"] == []


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        ({"input": 3}, 422, "invalid_field"),
        ({"inputs": "x"}, 422, "invalid_field"),
        ({"fallback": [{"role": "king", "content": "x"}]}, 422, "invalid_field"),
    ],
)
def test_what_cannot_be_rendered_is_told(held: Live, told: dict[str, Any], status: int, code: str) -> None:
    with held.client() as admin:
        declare(admin, "wrong")
        answer = admin.post("/v1/features/wrong/render", json=told)
        assert (answer.status_code, answer.json()["error"]["code"]) in ((status, code), (400, "invalid_field"))
        assert admin.post("/v1/features/nobody/render", json={}).status_code == 404


def test_some_keep_the_version_of_before_until_the_holdback_is_reset(held: Live) -> None:
    with held.client() as admin, held.client("ingest") as app:
        first, second = declare(admin, "keep", "one", "two")
        (kept,), (other,) = people("keep", held_back=True, count=1), people("keep", held_back=False, count=1)
        empty = admin.get("/v1/features/keep/versions").json()["items"][0]["id"]
        shown = admin.get("/v1/features/keep/holdback").json()
        assert (shown["version_id"], shown["share"], shown["change"]["value"]) == (empty, SHARE, None)
        assert rendered(app, "keep", user_id=kept)["version_id"] == empty  # it began when "one" was served to all
        moved = admin.post("/v1/features/keep/holdback/reset").json()
        assert moved["holdback_version_id"] == second
        third = serve(admin, "keep", "three")
        assert (rendered(app, "keep", user_id=kept)["version_id"], rendered(app, "keep", user_id=kept)["arm"]) == (
            second,
            "holdback",
        )
        assert rendered(app, "keep", user_id=other)["version_id"] == third
        assert rendered(app, "keep")["version_id"] == third
        admin.post("/v1/features/keep/rollback", json={"version_id": first}).raise_for_status()
        assert rendered(app, "keep", user_id=kept)["version_id"] == second
        assert set(admin.get("/v1/features/keep/rollout").json()["versions"]) == {first, second}


def test_the_holdback_says_what_the_changes_were_worth(held: Live) -> None:
    with held.client() as admin, held.client("ingest") as app:
        declare(admin, "worth", "old", "new")
        admin.post("/v1/features/worth/holdback/reset").raise_for_status()
        serve(admin, "worth", "better")
        events: list[dict[str, Any]] = []
        for held_back, bad in ((True, 20), (False, 5)):
            for number, user in enumerate(people("worth", held_back=held_back, count=50)):
                told = rendered(app, "worth", input="Hi", user_id=user)
                asked = new_id(NOW)
                events += [
                    {
                        "type": "inference",
                        "id": asked,
                        "feature": "worth",
                        "created_at": NOW.isoformat(),
                        "input": "Hi",
                        "output": "Ho",
                        "user_id": user,
                        "version_id": told["version_id"],
                        "arm": told["arm"],
                    },
                    {
                        "type": "feedback",
                        "id": new_id(NOW),
                        "kind": "thumb",
                        "value": float(number >= bad),
                        "created_at": NOW.isoformat(),
                        "inference_id": asked,
                        "user_id": user,
                    },
                ]
        app.post("/v1/events", json=events).raise_for_status()
        held.engine.settle()
        shown = admin.get("/v1/features/worth/holdback").json()
        assert (shown["holdback"]["count"], shown["holdback"]["n"]) == (20, 50)
        assert (shown["stable"]["count"], shown["stable"]["n"]) == (5, 50)
        assert shown["change"]["value"] == pytest.approx(-0.3)
        assert shown["change"]["high"] < 0
        watched = held.engine.store.monitors("default", "worth")
        assert [(one.version_id, one.votes) for one in watched] == [(shown["stable_version_id"], 50)]


def test_nobody_is_held_back_unless_told(server: Live) -> None:
    with server.client() as admin:
        declare(admin, "free", "one", "two")
        shown = admin.get("/v1/features/free/holdback").json()
        assert (shown["version_id"], shown["since"], shown["stable"]["n"]) == (None, None, 0)
        refused = admin.post("/v1/features/free/holdback/reset")
        assert refused.status_code == 409
        assert "canary.holdback" in refused.json()["error"]["message"]


def test_a_holdback_ends_with_the_next_switch_after_it_is_turned_off(tmp_path: Path) -> None:
    for share, expected in ((0.1, 0.1), (0.2, 0.2), (0.0, 0.0)):
        settings = Settings(canary=Canary(holdback=share))
        with live(tmp_path, settings, clock=SetClock(NOW)) as server, server.client() as admin:
            declare(admin, "turn", f"at {share}")
            told = admin.get("/v1/features/turn/rollout").json()["rollout"]
        assert told.get("holdback_share", 0.0) == expected
        assert ("holdback_version_id" in told) == (expected > 0)
