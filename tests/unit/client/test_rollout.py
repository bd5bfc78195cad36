"""What a feature serves: from memory, sticky, fresh within seconds, and there when the server is not."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.conftest import Make
from tests.wire_server import Step, WireServer
from trimtab.client import Resolved, Version
from trimtab.client.assignment import bucket

SALT = "018f0000-0000-7000-8000-000000000000"
STABLE: dict[str, Any] = {"id": "v_1", "feature": "answer", "messages": [{"role": "system", "content": "Be kind."}]}
CANDIDATE: dict[str, Any] = {
    **STABLE,
    "id": "v_2",
    "rules": [{"id": "r1", "text": "Never promise a date."}],
    "exemplars": [{"id": "e1", "input": "late parcel", "output": "Sorry about that."}],
    "model": "small-1",
    "parameters": {"temperature": 0},
}


def rollout(revision: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": SALT, "revision": revision, "stable_version_id": "v_1", **more}


def test_a_user_keeps_the_arm_the_engine_gives(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(candidate_version_id="v_2", share=0.3), [STABLE, CANDIDATE])
    client = make(resolve_timeout_s=10)
    for number in range(100):
        resolved = client.resolve(user=f"u-{number}")
        expected = "candidate" if bucket(SALT, f"u-{number}") < 0.3 else "stable"
        assert resolved.arm == expected
        assert resolved.version is not None
        assert resolved.version.id == {"stable": "v_1", "candidate": "v_2"}[expected]
        assert resolved.rollout is not None
        assert resolved.rollout.revision == 1
    assert client.resolve().arm == "stable"  # nobody in particular
    assert client.resolve(session="s-1") == client.resolve(session="s-1")
    assert len(wire.gets()) <= 2


def test_a_switch_reaches_the_app_by_itself_and_polling_costs_304(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02)
    assert client.resolve(user="u").arm == "stable"
    wire.await_that(lambda: len(wire.gets()) > 3)
    assert wire.gets()[-1].headers["if-none-match"] == '"1"'
    wire.serve("answer", rollout(2, candidate_version_id="v_2", share=1.0), [STABLE, CANDIDATE])
    seen = len(wire.gets())
    wire.await_that(lambda: len(wire.gets()) > seen + 2)
    assert client.resolve(user="u").arm == "candidate"


def test_the_last_known_version_stays_while_the_server_is_away(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02)
    known = client.resolve()
    assert known.version is not None
    for step in (Step("status", status=500), Step("html"), Step("garbage"), Step("reset")):
        wire.rollout_default = step
        seen = len(wire.gets())
        wire.await_that(lambda seen=seen: len(wire.gets()) > seen)  # type: ignore[misc]
        assert client.resolve() == known


def test_a_server_that_was_away_for_long_is_asked_when_it_is_back(make: Make) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = make(refresh_s=0.001, resolve_timeout_s=0.001, url=f"http://127.0.0.1:{port}")
    client.watch("answer", *(f"feature-{number}" for number in range(200)))
    cache = client._rollouts
    while cache._failures < 2000 and (cache._thread is None or cache._thread.is_alive()):  # a day's worth
        time.sleep(0.01)
    with WireServer(port) as back:
        back.serve("answer", rollout(), [STABLE])
        back.await_that(lambda: client.resolve().version is not None)
        client.close(0.2)


def test_a_process_that_starts_while_the_server_is_away_has_the_last_known_version(
    make: Make, wire: WireServer
) -> None:
    wire.serve("answer", rollout(), [STABLE])
    first = make(resolve_timeout_s=10)
    known = first.resolve()
    assert known.version is not None
    first.close()
    wire.rollout_default = Step("status", status=503)
    assert make(resolve_timeout_s=10).resolve() == known


@pytest.mark.parametrize("step", [Step("status", status=500), Step("html"), Step("garbage"), Step("reset")])
def test_without_any_answer_the_fallback_is_served(make: Make, wire: WireServer, step: Step) -> None:
    wire.rollout_default = step
    own = Version(id="own", feature="answer")
    client = make(resolve_timeout_s=10)
    assert client.resolve(fallback=own) == Resolved(own)
    assert client.prompt(input="hi", fallback="Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
    ]


def test_only_the_first_call_waits_for_a_hanging_server(make: Make, wire: WireServer) -> None:
    wire.rollout_default = Step("hang")
    client = make(resolve_timeout_s=0.05)
    assert client.resolve() == Resolved()
    client._resolve_timeout_s = 3600  # a second wait would not end within this test
    assert client.resolve() == Resolved()
    wire.release()


def test_an_unknown_feature_is_followed_until_it_is_known(make: Make, wire: WireServer) -> None:
    client = make(resolve_timeout_s=10, refresh_s=0.02)
    assert client.resolve() == Resolved()
    wire.serve("answer", rollout(), [STABLE])
    deadline = time.monotonic() + 10
    while client.resolve().version is None:
        assert time.monotonic() < deadline
        seen = len(wire.gets())
        wire.await_that(lambda seen=seen: len(wire.gets()) > seen)  # type: ignore[misc]


def test_watch_fetches_before_anyone_asks(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=0, refresh_s=0.02)
    client.watch()
    wire.await_that(lambda: len(wire.gets()) > 1)  # the second request is sent after the first answer was read
    assert client.resolve().version is not None


def test_a_prompt_is_the_version_with_rules_examples_and_input(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(candidate_version_id="v_2", share=1.0), [STABLE, CANDIDATE])
    client = make(resolve_timeout_s=10)
    assert client.prompt(user="u", input="where?", fallback="not used") == [
        {"role": "system", "content": "Be kind.\n\nFollow these rules:\n- Never promise a date."},
        {"role": "user", "content": "late parcel"},
        {"role": "assistant", "content": "Sorry about that."},
        {"role": "user", "content": "where?"},
    ]
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert client.prompt(user="u", input=turns, exemplars=0)[1:] == turns


def test_the_examples_nearest_to_the_input_are_shown_last(make: Make, wire: WireServer) -> None:
    asked = ["reset my password", "where is my parcel", "cancel my order", "parcel is damaged", "change my address"]
    exemplars = [{"id": str(n), "input": text, "output": text.upper()} for n, text in enumerate(asked)]
    wire.serve("answer", rollout(), [{**STABLE, "exemplars": exemplars}])
    client = make(resolve_timeout_s=10)
    shown = client.prompt(input="my parcel is damaged and late", exemplars=2)
    assert [turn["content"] for turn in shown[1:5:2]] == ["where is my parcel", "parcel is damaged"]


def test_an_inference_carries_the_version_it_was_served(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(candidate_version_id="v_2", share=1.0), [STABLE, CANDIDATE])
    client = make(resolve_timeout_s=10, strict=True)
    with client.inference(input="x", user="u-1") as handle:
        client.prompt(input="x")  # user and feature are those of the inference
    with client.inference(input="x", user="u-1") as asked:
        assert asked.version is not None
        assert (asked.version.id, asked.arm) == ("v_2", "candidate")
        assert asked.version.parameters == {"temperature": 0}
    after = client.record(input="x", user="u-1")
    told = client.record(input="x", user="u-1", version="v_mine", arm="holdback")
    resolved = client.record(input="x", version=client.resolve(user="u-9"))
    client.flush()
    for inference_id in (handle.id, asked.id, after, resolved):
        event = wire.events[inference_id]
        assert (event["version_id"], event["arm"]) == ("v_2", "candidate")
    assert (wire.events[told]["version_id"], wire.events[told]["arm"]) == ("v_mine", "holdback")


def test_a_switch_in_the_middle_of_an_inference_does_not_change_its_version(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(resolve_timeout_s=10, refresh_s=0.02, strict=True)
    with client.inference(input="x", user="u-1") as handle:
        assert client.resolve().arm == "stable"
        wire.serve("answer", rollout(2, candidate_version_id="v_2", share=1.0), [STABLE, CANDIDATE])
        seen = len(wire.gets())
        wire.await_that(lambda: len(wire.gets()) > seen + 2)
        assert client.resolve().arm == "stable"
    assert client.resolve(user="u-1").arm == "candidate"
    client.flush()
    assert wire.events[handle.id]["version_id"] == "v_1"


def test_an_app_that_never_asks_for_versions_claims_none(make: Make, wire: WireServer) -> None:
    wire.serve("answer", rollout(), [STABLE])
    client = make(strict=True)
    inference_id = client.record(input="x", user="u")
    client.flush()
    assert "version_id" not in wire.events[inference_id]
    assert not wire.gets()


def test_a_kept_version_that_is_damaged_is_passed_over(make: Make, wire: WireServer, tmp_path: Path) -> None:
    wire.serve("answer", rollout(), [STABLE])
    first = make(resolve_timeout_s=10)
    first.resolve()
    first.close()
    (kept,) = (tmp_path / "spool").rglob("rollout-*.json")
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_bytes(kept.read_bytes()[:20])
    wire.rollout_default = Step("status", status=500)
    assert make(resolve_timeout_s=10).resolve() == Resolved()
