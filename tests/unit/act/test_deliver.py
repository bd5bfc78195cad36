"""Deliveries over real HTTP: sent until they arrive, given up in the end, never in anyone's way, no secret told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from tests.webhook_receiver import Receiver
from trimtab import verify_webhook
from trimtab.act.channels import open_channels
from trimtab.act.deliver import MOST_ATTEMPTS, DeliverStage, pause_after
from trimtab.clock import SetClock, SystemClock
from trimtab.config import NotifyTarget
from trimtab.errors import ConfigError
from trimtab.ids import derived_id
from trimtab.records import Delivery, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query, Writes

START = datetime(2026, 1, 5, tzinfo=UTC)
P = "default"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    opened.commit({P: Writes(projects=[Project(id=P, created_at=START)])})
    yield opened
    opened.close()


def webhook(url: str, **fields: object) -> NotifyTarget:
    told = {"url": url, "allow_private": True, "timeout_s": 5.0, **fields}
    return NotifyTarget(**told)  # type: ignore[arg-type]


def waiting(store: HotStore, *names: str, target: str = "ops") -> list[Delivery]:
    body = {"review": {"items": 3, "feature": "support", "incident_id": None}}
    made = [
        Delivery(
            id=derived_id("d", name),
            target=target,
            kind="review.added",
            state="waiting",
            created_at=START,
            next_at=START,
            feature="support",
            body=body,
        )
        for name in names
    ]
    store.commit({P: Writes(deliveries=made)})
    return made


def stage_of(
    store: HotStore, *, inline: bool = True, environ: dict[str, str] | None = None, **targets: NotifyTarget
) -> DeliverStage:
    return DeliverStage(store, open_channels(targets, SystemClock(), environ=environ or {}), inline=inline)


def stored(store: HotStore, delivery: Delivery) -> Delivery:
    found = store.delivery(P, delivery.id)
    assert found is not None
    return found


def test_a_delivery_arrives_once_signed_with_its_id_and_its_numbers(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    with Receiver(204) as receiver:
        stage = stage_of(store, environ={"HOOK_SECRET": "whsec"}, ops=webhook(receiver.url, secret_env="HOOK_SECRET"))
        assert [stage.tick(START), stage.tick(START)] == [1, 0]
        [request] = receiver.requests
    assert request.headers["Trimtab-Delivery"] == delivery.id
    assert request.headers["Trimtab-Event"] == "review.added"
    assert verify_webhook(request.body, request.headers["Trimtab-Signature"], "whsec")
    told = json.loads(request.body)
    assert told["review"]["items"] == 3
    assert (told["id"], told["kind"], told["project_id"], told["feature"]) == (
        delivery.id,
        "review.added",
        P,
        "support",
    )
    assert told["text"] == "support: answers to review\n3 answers wait for a verdict"
    found = stored(store, delivery)
    assert (found.state, found.attempts, found.sent_at, found.error) == ("sent", 1, START, "")


def test_what_fails_is_tried_again_with_growing_pauses_until_it_arrives(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    clock = SetClock(START)
    with Receiver(500, 503, 302, 200) as receiver:
        stage = stage_of(store, ops=webhook(receiver.url))
        kinds = []
        for _ in range(3):
            assert stage.tick(clock.now()) == 1
            found = stored(store, delivery)
            kinds.append(found.error)
            assert found.next_at > clock.now()
            assert stage.tick(found.next_at - timedelta(microseconds=1)) == 0
            clock.set(found.next_at)
        assert kinds == ["status_500", "status_503", "redirect"]
        assert stage.tick(clock.now()) == 1
        assert len({request.headers["Trimtab-Delivery"] for request in receiver.requests}) == 1
    assert stored(store, delivery).state == "sent"


def test_pauses_grow_to_a_day_and_differ_between_deliveries() -> None:
    pauses = [pause_after(attempt, "d") for attempt in range(1, 40)]
    assert all(pause <= timedelta(days=1) for pause in pauses)
    assert all(timedelta(seconds=5 * 3**k) <= pauses[k] <= timedelta(seconds=10 * 3**k) for k in range(8))
    assert pauses[-1] >= timedelta(hours=12)
    assert len({pause_after(5, str(name)) for name in range(100)}) > 90
    total = sum(pauses[: MOST_ATTEMPTS - 1], timedelta())
    assert timedelta(days=1.5) <= total <= timedelta(days=3.2)


def test_after_its_attempts_a_delivery_has_failed_and_can_be_read_so(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    now = START
    with Receiver(500) as receiver:
        stage = stage_of(store, ops=webhook(receiver.url))
        for _ in range(MOST_ATTEMPTS + 5):
            stage.tick(now)
            now = max(stored(store, delivery).next_at, now + timedelta(minutes=6))
        assert len(receiver.requests) == MOST_ATTEMPTS
    found = stored(store, delivery)
    assert (found.state, found.attempts, found.error) == ("failed", MOST_ATTEMPTS, "status_500")


def test_a_target_that_says_gone_is_not_asked_again(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    with Receiver(410) as receiver:
        stage_of(store, ops=webhook(receiver.url)).tick(START)
    assert stored(store, delivery).state == "failed"


def test_a_target_that_fails_rests_while_others_are_told(store: HotStore) -> None:
    waiting(store, "a", "b", "c", target="down")
    waiting(store, "x", "y", target="ops")
    with Receiver(500) as down, Receiver(200) as ops:
        stage = stage_of(store, down=webhook(down.url), ops=webhook(ops.url))
        for _ in range(5):
            stage.tick(START)
        assert (len(down.requests), len(ops.requests)) == (1, 2)


def test_a_receiver_that_hangs_holds_up_neither_the_tick_nor_another_target(store: HotStore) -> None:
    [stuck] = waiting(store, "a", target="slow")
    [quick] = waiting(store, "b", target="ops")
    with Receiver(0) as slow, Receiver(200) as ops:
        stage = stage_of(store, inline=False, slow=webhook(slow.url, timeout_s=30.0), ops=webhook(ops.url))
        stage.tick(START)  # returns though `slow` never answers
        assert slow.arrived.acquire(timeout=30)
        assert ops.arrived.acquire(timeout=30)
        assert stage.tick(START) >= 0
        slow.release()
        stage.close()
        assert stored(store, quick).state == "sent"
        assert stored(store, stuck).state == "waiting"
        assert len(slow.requests) == 1


def test_what_waits_for_a_target_that_is_gone_from_the_settings_has_failed(store: HotStore) -> None:
    [delivery] = waiting(store, "one", target="old")
    stage_of(store).tick(START)
    found = stored(store, delivery)
    assert (found.state, found.error) == ("failed", "no_target")


def test_no_secret_is_ever_logged_or_stored(
    store: HotStore, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    environ = {"OPS_URL": "", "CHAT_URL": "", "HOOK_SECRET": "S3CRET-KEY"}
    with Receiver(500, 200) as receiver:
        environ["OPS_URL"] = f"http://127.0.0.1:{receiver.port}/T0KEN-A?key=T0KEN-B"
        environ["CHAT_URL"] = f"json://us3r:T0KEN-C@127.0.0.1:{receiver.port}/T0KEN-D"
        waiting(store, "a")
        waiting(store, "b", target="chat")
        with capture_logs() as logs:
            structlog.get_logger("test").info("logs are captured")
            stage = stage_of(
                store,
                environ=environ,
                ops=webhook("", url_env="OPS_URL", secret_env="HOOK_SECRET"),
                chat=NotifyTarget(kind="apprise", url_env="CHAT_URL"),
                gone=webhook("http://127.0.0.1:9/T0KEN-E"),
            )
            waiting(store, "c", target="gone")
            for minutes in (0, 10, 20):
                stage.tick(START + timedelta(minutes=minutes))
        assert len(receiver.requests) == 3
    rows = [row.record for row in store.deliveries(P, Query()).rows]
    told = repr(logs) + caplog.text + "".join(capsys.readouterr()) + msgspec.json.encode(rows).decode()
    assert "logs are captured" in told
    for secret in ("T0KEN", "S3CRET-KEY", "us3r"):
        assert secret not in told


def test_apprise_sends_title_and_text(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    with Receiver(200) as receiver:
        stage = stage_of(store, ops=NotifyTarget(kind="apprise", url=f"json://127.0.0.1:{receiver.port}/"))
        stage.tick(START)
        told = json.loads(receiver.requests[0].body)
    assert (told["title"], told["message"]) == ("support: answers to review", "3 answers wait for a verdict")
    assert stored(store, delivery).state == "sent"


def test_an_apprise_service_that_refuses_is_tried_again(store: HotStore) -> None:
    [delivery] = waiting(store, "one")
    with Receiver(500) as receiver:
        stage_of(store, ops=NotifyTarget(kind="apprise", url=f"json://127.0.0.1:{receiver.port}/")).tick(START)
    found = stored(store, delivery)
    assert (found.state, found.error, found.attempts) == ("waiting", "not_taken", 1)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (NotifyTarget(), "url"),
        (NotifyTarget(url="https://a.example/T0KEN", url_env="X"), "either"),
        (NotifyTarget(url_env="NOT_SET"), "NOT_SET"),
        (NotifyTarget(url="https://a.example/T0KEN", secret_env="NOT_SET"), "NOT_SET"),
        (NotifyTarget(url="http://a.example/T0KEN"), "allow_private"),
        (NotifyTarget(url="a.example/T0KEN"), "https"),
        (NotifyTarget(kind="apprise", url="nowhere://T0KEN"), "Apprise"),
    ],
)
def test_a_target_that_cannot_be_used_is_said_at_the_start_without_its_url(target: NotifyTarget, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_channels({"ops": target}, SystemClock(), environ={})
    assert word in caught.value.message
    assert "T0KEN" not in caught.value.message
    assert str(caught.value.param).startswith("notify.ops.")
