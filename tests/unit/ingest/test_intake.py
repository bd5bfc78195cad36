from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.intake import NOW, PROJECT, Desk, body, desk, feedback, inference
from trimtab.clock import SetClock
from trimtab.config import Ingest
from trimtab.errors import BodyTooLarge, InputError, TimeInFuture, TimeTooOld, Unavailable, UnknownFeature
from trimtab.ingest.admit import Late
from trimtab.ingest.decode import STEP_BYTES
from trimtab.ingest.intake import Intake
from trimtab.ingest.journal import Journal
from trimtab.store.ports import Due, HotStore, Packed, PurgedKind


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as opened:
        yield opened


class GatedStore:
    """A real store whose appends wait for a gate, so that a test decides what is in flight together."""

    def __init__(self, store: HotStore) -> None:
        self._store = store
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.groups: list[int] = []

    def append_packed(self, packed: Packed) -> list[bool | None]:
        self.entered.set()
        assert self.gate.wait(10)
        self.groups.append(len(packed.order))
        return self._store.append_packed(packed)


def gated(front: Desk, group_events: int = 2000) -> tuple[Intake, GatedStore]:
    store = GatedStore(front.store)
    front.intake.journal = Journal(cast("HotStore", store), group_events=group_events)
    front.intake.accept_now(PROJECT, b"[]")
    return front.intake, store


def test_an_answered_event_is_on_disk(front: Desk) -> None:
    receipt = asyncio.run(front.intake.accept(PROJECT, body(inference(1), feedback(1))))
    assert (receipt.accepted, receipt.duplicates, receipt.rejected) == (2, 0, [])
    assert front.stored() == {inference(1)["id"], feedback(1)["id"]}


def test_a_repeated_id_is_a_duplicate_and_the_first_content_stays(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference(1)))
    receipt = front.intake.accept_now(PROJECT, body(inference(1, input="other"), inference(2), inference(2)))
    assert (receipt.accepted, receipt.duplicates) == (1, 2)
    kept = front.store.inferences(PROJECT, [inference(1)["id"]])
    assert kept[inference(1)["id"]].input == inference(1)["input"]


def test_words_are_cleaned_before_they_are_stored(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference(1, input="I am jane.doe@example.com")))
    stored = front.store.inferences(PROJECT, [inference(1)["id"]])[inference(1)["id"]]
    assert "jane.doe" not in str(stored.input)


@pytest.mark.parametrize(
    ("when", "code"),
    [("2026-03-01T12:11:00Z", "time_in_future"), ("2010-01-01T00:00:00Z", "time_too_old"),
     ("0001-01-01T00:00:00Z", "time_too_old"), ("9999-12-31T23:59:59Z", "time_in_future")],
)  # fmt: skip
def test_an_event_of_no_sensible_time_is_rejected_alone(front: Desk, when: str, code: str) -> None:
    receipt = front.intake.accept_now(PROJECT, body(inference(1, created_at=when), inference(2)))
    assert receipt.accepted == 1
    assert [(r.index, r.code, r.param) for r in receipt.rejected] == [(0, code, "created_at")]


def test_an_event_brings_its_feature_with_it(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference(1, feature="new")))
    rollout = front.store.rollout(PROJECT, "new")
    assert rollout is not None
    assert rollout.revision == 1
    assert front.store.version(PROJECT, "new", rollout.stable_version_id) is not None


def test_a_feature_declared_elsewhere_is_found(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(unknown_feature="reject")) as front:
        first = front.intake.accept_now(PROJECT, body(inference(1)))
        assert [r.code for r in first.rejected] == ["unknown_feature"]
        Desk(front.store, Ingest()).intake.accept_now(PROJECT, body(inference(1)))
        assert front.intake.accept_now(PROJECT, body(inference(2))).accepted == 1


def test_features_stop_at_their_number(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(max_features=2)) as front:
        receipt = front.intake.accept_now(PROJECT, body(*(inference(n, feature=f"f{n}") for n in range(4))))
        assert receipt.accepted == 2
        assert [(r.index, r.code) for r in receipt.rejected] == [(2, "unknown_feature"), (3, "unknown_feature")]
        assert "ingest.max_features" in receipt.rejected[0].message


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (inference(1, created_at="2027-01-01T00:00:00Z"), TimeInFuture),
        (inference(1, created_at="2001-01-01T00:00:00Z"), TimeTooOld),
        (inference(1, input="x" * 3000), BodyTooLarge),
        (inference(1, feature="unheard"), UnknownFeature),
    ],
)
def test_a_single_bad_event_is_an_error(tmp_path: Path, event: dict[str, Any], error: type[InputError]) -> None:
    with desk(tmp_path, Ingest(event_bytes=2000, unknown_feature="reject")) as front:
        raw = json.dumps(event).encode()
        with pytest.raises(error):
            asyncio.run(front.intake.accept_one(PROJECT, raw, "inference"))
        assert front.stored() == set()
        assert front.intake.tally.rejected == {error.code: 1}


@pytest.mark.parametrize("late", ["reject", "accept"])
def test_what_may_have_left_the_store_already_is_taken_once_unless_told_otherwise(tmp_path: Path, late: Late) -> None:
    old, older, young = "2026-01-10T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-10T01:00:00Z"
    with desk(tmp_path) as front:
        front.clock = SetClock(datetime(2026, 1, 10, tzinfo=UTC))
        intake = Intake.over(front.store, front.redactor, front.clock, Ingest(), late=late)
        sent = body(inference(1, created_at=old), feedback(1, created_at=older))
        assert intake.accept_now(PROJECT, sent).accepted == 2  # nothing has left yet: however old, it is new
        before: dict[PurgedKind, datetime] = {"inferences": NOW}
        lot = front.store.purgeable("inferences", Due(before=before, upto={"inferences": 99}), after=0, limit=9)
        front.store.purge(lot)
        front.clock.set(NOW)
        again = intake.accept_now(PROJECT, body(inference(1, created_at=old), inference(2, created_at=older)))
        others = intake.accept_now(PROJECT, body(inference(3, created_at=young), feedback(2, created_at=older)))
    assert [each.code for each in again.rejected] == (["time_too_old"] * 2 if late == "reject" else [])
    assert (others.accepted, others.rejected) == (2, [])  # it is younger than all that left, and no word has left
    if late == "reject":
        assert "expected created_at after 2026-01-10T00:10:00+00:00" in again.rejected[0].message


def test_calls_that_wait_together_share_one_transaction(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    intake, store = gated(front)

    async def calls() -> list[int]:
        first = asyncio.create_task(intake.accept(PROJECT, body(inference(0))))
        await asyncio.to_thread(store.entered.wait, 10)
        others = [asyncio.create_task(intake.accept(PROJECT, body(inference(n)))) for n in range(1, 6)]
        await asyncio.sleep(0)
        store.gate.set()
        return [receipt.accepted for receipt in await asyncio.gather(first, *others)]

    assert asyncio.run(calls()) == [1] * 6
    assert store.groups == [1, 5]


def test_each_caller_of_a_group_hears_of_its_own_events(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference(1)))

    async def calls() -> list[tuple[int, int]]:
        batches = [body(inference(1), inference(n), inference(n)) for n in range(2, 12)]
        receipts = await asyncio.gather(*(front.intake.accept(PROJECT, batch) for batch in batches))
        return [(receipt.accepted, receipt.duplicates) for receipt in receipts]

    assert asyncio.run(calls()) == [(1, 2)] * 10
    assert len(front.stored()) == 11


def test_when_the_disk_fails_every_waiting_call_hears_it_and_nothing_is_acknowledged(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    front.store.close()

    async def calls() -> list[Any]:
        waiting = (front.intake.accept(PROJECT, body(inference(n))) for n in range(5))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(calls())] == [Unavailable] * 5
    assert front.intake.tally.accepted == 1
    assert front.intake.journal.in_flight_bytes == 0


def test_too_much_in_flight_is_refused_before_it_is_read(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    intake, store = gated(front)
    batch = body(inference(0))
    intake.journal = Journal(cast("HotStore", store), group_events=10, in_flight_bytes=len(batch) + 10)

    async def calls() -> int:
        first = asyncio.create_task(intake.accept(PROJECT, batch))
        await asyncio.to_thread(store.entered.wait, 10)
        with pytest.raises(Unavailable, match="waiting for the disk"):
            await intake.accept(PROJECT, body(inference(1)))
        store.gate.set()
        return (await first).accepted

    assert asyncio.run(calls()) == 1
    assert intake.journal.in_flight_bytes == 0


def test_a_caller_that_goes_away_takes_nobody_with_it(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    intake, store = gated(front)

    async def calls() -> int:
        gone = asyncio.create_task(intake.accept(PROJECT, body(inference(0))))
        await asyncio.to_thread(store.entered.wait, 10)
        stays = asyncio.create_task(intake.accept(PROJECT, body(inference(1))))
        await asyncio.sleep(0)
        gone.cancel()
        store.gate.set()
        return (await stays).accepted

    assert asyncio.run(calls()) == 1
    assert {inference(0)["id"], inference(1)["id"]} <= front.stored()


def test_draining_finishes_what_was_taken_and_takes_no_more(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    intake, store = gated(front)

    async def calls() -> int:
        taken = asyncio.create_task(intake.accept(PROJECT, body(inference(0))))
        await asyncio.to_thread(store.entered.wait, 10)
        draining = asyncio.create_task(intake.journal.drain())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await intake.accept(PROJECT, body(inference(1)))
        store.gate.set()
        await draining
        return (await taken).accepted

    assert asyncio.run(calls()) == 1


def test_the_stages_are_woken_by_new_events_only(front: Desk) -> None:
    woken: list[int] = []
    front.intake.on_stored = lambda: woken.append(1)
    front.intake.accept_now(PROJECT, body(inference(1)))
    front.intake.accept_now(PROJECT, body(inference(1)))
    assert woken == [1]


def arriving(*chunks: bytes) -> AsyncIterator[bytes]:
    """Return a body that comes in these chunks."""

    async def chunked() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return chunked()


def test_lines_are_read_as_they_arrive_and_only_the_unfinished_one_is_held(front: Desk) -> None:
    lines = b"".join(json.dumps(inference(n)).encode() + b"\n" for n in range(200))
    chunks = [lines[at : at + 777] for at in range(0, len(lines), 777)]
    receipt = asyncio.run(front.intake.accept(PROJECT, arriving(*chunks), content_type="application/x-ndjson"))
    assert (receipt.accepted, receipt.rejected) == (200, [])
    assert len(front.stored()) == 200


def test_a_packed_body_counts_in_flight_as_what_it_unpacks_to(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(in_flight_bytes=4000)) as front:
        front.intake.journal.reserve(100)
        packed = gzip.compress(body(*(inference(n) for n in range(40))))
        assert len(packed) < 3000
        with pytest.raises(Unavailable, match=r"ingest\.in_flight_bytes"):
            asyncio.run(front.intake.accept(PROJECT, packed, content_encoding="gzip"))
        assert front.intake.journal.in_flight_bytes == 100


def test_a_body_that_stalls_holds_no_more_than_came_and_lets_it_go(tmp_path: Path) -> None:
    with desk(tmp_path) as front:

        async def stalls() -> AsyncIterator[bytes]:
            yield b"[" + b" " * 999
            assert front.intake.journal.in_flight_bytes == 1000
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            asyncio.run(front.intake.accept(PROJECT, stalls()))
        assert front.intake.journal.in_flight_bytes == 0


def test_the_only_body_in_flight_may_be_larger_than_the_bound(tmp_path: Path) -> None:
    with desk(tmp_path, Ingest(in_flight_bytes=2000)) as front:
        whole = body(*(inference(n) for n in range(30)))
        halves = arriving(whole[:1500], whole[1500:3000], whole[3000:])
        assert asyncio.run(front.intake.accept(PROJECT, halves)).accepted == 30


def test_others_have_their_turn_while_a_large_batch_is_worked_off(front: Desk) -> None:
    front.intake.accept_now(PROJECT, body(inference("first")))
    raw = body(*(inference(n, input="a word or two " * 70) for n in range(1500)))
    turns, journal = 0, front.intake.journal
    assert isinstance(journal, Journal)

    async def calls() -> int:
        nonlocal turns
        working = asyncio.create_task(front.intake.accept(PROJECT, raw))
        while not journal._waiting and not working.done():  # until it goes to the disk as a whole
            await asyncio.sleep(0)
            turns += 1
        return (await working).accepted

    assert asyncio.run(calls()) == 1500
    assert turns >= 2 * len(raw) // STEP_BYTES  # once a step of decoding, once a step of cleaning


def test_a_batch_with_one_very_large_event_is_taken_like_any_other(front: Desk) -> None:
    raw = body(
        *(inference(n) for n in range(300)), inference("large", input=[{"role": "user", "content": "w " * 90_000}])
    )
    receipt = asyncio.run(front.intake.accept(PROJECT, raw))
    assert (receipt.accepted, receipt.rejected) == (301, [])
