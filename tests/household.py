"""A whole engine full of people, each with a word that nobody else says: to see what is left of one who was erased."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Select, func, select

from trimtab.clock import SetClock
from trimtab.config import Lake, Settings, Storage
from trimtab.ids import derived_id
from trimtab.ingest.intake import Receipt
from trimtab.records import Erasure, Feature, Incident, Rollout, User, Version
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine, assemble
from trimtab.stats.bucket import split_part
from trimtab.store.ports import Switch, Writes
from trimtab.store.schema import INFERENCES

__all__ = [
    "FEATURE",
    "NOW",
    "PROJECT",
    "anything",
    "erased",
    "events",
    "filled",
    "grown",
    "holding",
    "learners",
    "opened",
    "people",
    "send",
    "word",
]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "default"
FEATURE = "support"
_SYLLABLES = ("ba", "ku", "lo", "mi", "ne", "po", "ra", "su", "ti", "vo")
_PEOPLE = 60
_ASKED = ("refunds", "parcels", "invoices", "passwords", "vouchers")


def people() -> list[str]:
    """Return the ids of all users."""
    return [f"user-{word(number)}" for number in range(_PEOPLE)]


def word(number: int) -> str:
    """Return the word that one user says and no other."""
    return "zorq" + "".join(_SYLLABLES[int(digit)] for digit in f"{number:02}") + "fel"


def learners() -> tuple[str, str]:
    """Return one whose corrections become exemplars and one whose corrections become cases."""
    part = {split_part(user): user for user in reversed(people())}
    return part["build"], part["judge"]


def opened(folder: Path, *, clock: SetClock | None = None, lake: bool = True) -> Engine:
    """Open the engine in the folder; every stage does its work within its tick."""
    settings = Settings(storage=Storage(path=str(folder)), lake=Lake(enabled=lake, commit_seconds=1.0))
    return assemble(settings, clock=clock or SetClock(NOW), inline_runs=True)


def events() -> list[dict[str, Any]]:
    """Return everything that everybody sends."""
    return [event for number in range(_PEOPLE) for event in _of(number)]


def _of(number: int) -> Iterator[dict[str, Any]]:
    user, said = people()[number], word(number)
    for turn, about in enumerate(_ASKED):
        at = (NOW - timedelta(minutes=5 * (len(_ASKED) - turn))).isoformat()
        answer = derived_id("answer", said, str(turn))
        shared = {"user_id": user, "created_at": at}
        yield {
            **shared,
            "type": "inference",
            "id": answer,
            "feature": FEATURE,
            "session_id": f"s-{user}",
            "trace_id": derived_id("trace", answer).replace("-", ""),
            "input": f"please tell {said} {user} about {about}",
            "output": f"dear {said}, nothing is known of {about}",
            "tags": {"who": said},
        }
        words = {"type": "feedback", "inference_id": answer, **shared}
        yield {**words, "id": derived_id("vote", answer), "kind": "thumb", "value": 0}
        if turn == 0:
            text = f"{said} shall be told all of {about}"
            yield {**words, "id": derived_id("right", answer), "kind": "correction", "text": text}
        if turn == 1:  # somebody else's words about it, by another name of it
            told = {"type": "feedback", "kind": "comment", "created_at": at, "text": f"{said} was not helped"}
            trace = derived_id("trace", answer).replace("-", "")
            yield {**told, "id": derived_id("note", answer), "trace_id": trace, "user_id": "watcher"}
        if turn == 2:  # and a word of theirs about somebody else's
            other = derived_id("answer", word((number + 1) % _PEOPLE), "2")
            yield {**words, "id": derived_id("aside", answer), "inference_id": other, "kind": "thumb", "value": 0}


def send(engine: Engine, told: Sequence[dict[str, Any]]) -> Receipt:
    """Send events as an app does."""
    return engine.intake.accept_now(PROJECT, json.dumps(list(told)).encode())


def filled(folder: Path) -> None:
    """Let everybody speak, let the loop learn from it, and ship it all to the lake."""
    clock = SetClock(NOW)
    with opened(folder, clock=clock) as engine:
        cleaner = engine.redactor.of(PROJECT)
        version = seal(cleaner, Version(feature=FEATURE, created_at=NOW))
        served = version.record.id
        rollout = Rollout(feature=FEATURE, stable_version_id=served, updated_at=NOW, id=derived_id("r"), revision=1)
        users = [seal(cleaner, User(id=user, updated_at=NOW, properties={"note": user[5:]})) for user in people()]
        feature = seal(cleaner, Feature(name=FEATURE, created_at=NOW))
        writes = Writes(features=[feature], versions=[version], switches=[Switch(rollout, 0)], users=users)
        engine.store.commit({PROJECT: writes})
        receipt = send(engine, events())
        assert receipt.rejected == []
        grown(engine, clock)
        engine.store.commit({PROJECT: Writes(incidents=[_incident(served)])})
        grown(engine, clock)
        [learned] = [one for one in engine.store.versions(PROJECT, FEATURE) if one.exemplars]
        engine.decisions.restore(PROJECT, FEATURE, learned.id, clock.now())
        grown(engine, clock)


def grown(engine: Engine, clock: SetClock) -> None:
    """Let time pass until every stage has done what it can."""
    for _ in range(4):
        engine.settle()
        clock.advance(timedelta(seconds=30))


def holding(folder: Path, text: str) -> list[str]:
    """Return the files in which the text stands, as raw bytes or, where columns are compressed, as a value."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = file.read_bytes()
        columns = pl.read_parquet(file, hive_partitioning=False).to_dicts() if file.suffix == ".parquet" else []
        if text.encode() in raw or text in str(columns):
            found.append(file.relative_to(folder).as_posix())
    return found


def erased(engine: Engine, clock: SetClock, user: str) -> Erasure:
    """Erase a user and let everything settle; return the receipt."""
    asked = engine.erasing.ask(PROJECT, user)
    grown(engine, clock)
    found = engine.store.erasure(PROJECT, asked.id)
    assert found is not None
    return found


def anything() -> Select[Any]:
    """Return a query that reads something."""
    return select(func.count()).select_from(INFERENCES.table)


def _incident(version_id: str) -> Incident:
    return Incident(
        id=derived_id("incident"),
        feature=FEATURE,
        version_id=version_id,
        monitor_id=derived_id("monitor"),
        state="firing",
        onset_at=NOW,
        first_signal_at=NOW,
        detected_at=NOW,
        reference=0.1,
        observed=0.9,
        events=100,
        negatives=90,
        users=50,
        log_evidence=9.0,
        log_threshold=5.0,
    )
