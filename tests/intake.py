"""Events for tests, as senders write them, and an intake over a real store and redactor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.clock import SetClock
from trimtab.config import Ingest
from trimtab.ids import derived_id
from trimtab.ingest.intake import Intake
from trimtab.records import Project
from trimtab.redact.engine import Redactor
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = "default"


def inference(name: object = 0, **changes: Any) -> dict[str, Any]:
    """Return an inference as JSON values; `name` decides its id, `changes` replace fields (None: left out)."""
    event = {
        "type": "inference",
        "id": derived_id("inference", str(name)),
        "feature": "support",
        "created_at": "2026-03-01T11:59:00Z",
        "input": "Where is my order?",
        "output": "It is on its way.",
        "user_id": "user-1",
    }
    return {key: value for key, value in {**event, **changes}.items() if value is not None}


def feedback(name: object = 0, **changes: Any) -> dict[str, Any]:
    """Return a thumb down on `inference(name)`."""
    event = {
        "type": "feedback",
        "id": derived_id("feedback", str(name)),
        "kind": "thumb",
        "created_at": "2026-03-01T11:59:30Z",
        "inference_id": derived_id("inference", str(name)),
        "value": 0,
        "user_id": "user-1",
    }
    return {key: value for key, value in {**event, **changes}.items() if value is not None}


def body(*events: Any) -> bytes:
    """Return the events as the body of POST /v1/events."""
    return json.dumps(events).encode()


class Desk:
    """An intake with what it stands on."""

    def __init__(self, store: HotStore, settings: Ingest, **limits: Any) -> None:
        self.store = store
        self.clock = SetClock(NOW)
        self.redactor = Redactor(key=bytes(32))
        self.intake = Intake.over(store, self.redactor, self.clock, settings, **limits)

    def stored(self) -> set[str]:
        """Return the ids of all events on disk; an id twice fails."""
        ids = [row.record.id for row in self.store.inferences_after(0, 100_000)]
        ids += [row.record.id for row in self.store.feedback_after(0, 100_000)]
        assert len(ids) == len(set(ids))
        return set(ids)


@contextmanager
def desk(folder: Path, settings: Ingest | None = None, **limits: Any) -> Iterator[Desk]:
    """Open a store in `folder` with one project and an intake in front of it."""
    store = open_sqlite(folder / "trimtab.db")
    try:
        store.commit({PROJECT: Writes(projects=[Project(id=PROJECT, created_at=NOW)])})
        yield Desk(store, settings or Ingest(), **limits)
    finally:
        store.close()
