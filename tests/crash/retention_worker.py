"""Takes in events, ships them and lets them go until it is killed; prints each acknowledged lot, then "leaving".

Run as `python retention_worker.py FOLDER SEED`. A day passes with every round, so that what came five rounds ago goes.
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tests.contract import hot_store_sample as a
from trimtab.archive.retention import RetentionStage
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import SystemClock
from trimtab.config import Lake, Outcomes, Playbook, Retention, Settings
from trimtab.enrich.stage import FEEDBACK_CURSOR, INFERENCE_CURSOR, EnrichStage
from trimtab.ids import new_id
from trimtab.records import Feedback, Inference, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import open_lake
from trimtab.store.ports import Arrival, HotStore, Writes
from trimtab.store.vectors.port import Item, VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

SETTINGS = Settings(
    lake=Lake(commit_seconds=1.0, commit_rows=200),
    retention=Retention(hot_days=4),
    playbook=Playbook(lookback_days=1.0),
    outcome=Outcomes(window_days=1.0),
)
ROUND = 60


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def made(now: datetime, dice: random.Random) -> list[Inference | Feedback]:
    served = [
        a.inference(id=new_id(now), created_at=now, session_id=f"s{dice.randrange(9)}", external_id=f"e{n}")
        for n in range(ROUND)
    ]
    about = dice.sample(served, ROUND // 2)
    said = [a.correction(each, id=new_id(now), created_at=now, session_id=None) for each in about]
    return [*served, *said]


def take(hot: HotStore, vectors: VectorStore, now: datetime, dice: random.Random) -> None:
    events = made(now, dice)
    sealed: list[Any] = [a.sealed(event) for event in events]
    hot.append([Arrival(a.P, event, now) for event in sealed])
    words = [event for event in events if isinstance(event, Feedback)]
    items = [Item(kind="feedback", id=each.id, created_at=now) for each in words]
    vectors.upsert(a.P, "space", items, np.ones((len(items), 1), dtype=np.float32))
    tell(" ".join(event.id for event in events))


def main(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    hot, vectors = open_sqlite(folder / "hot.db"), open_sqlite_vectors(folder / "vectors.db")
    lake = open_lake(folder / "lake", SystemClock())
    hot.commit({a.P: Writes(projects=[Project(id=a.P, created_at=a.NOW)])})
    enrich = EnrichStage(hot, SETTINGS)
    archive = ArchiveStage(hot, lake, SETTINGS.lake, inline=True)
    readers = {"inferences": [INFERENCE_CURSOR], "feedback": [FEEDBACK_CURSOR]}
    stage = RetentionStage(hot, SETTINGS, readers, shipped=archive.reached, vectors=vectors)  # type: ignore[arg-type]
    day = hot.cursor("days")
    while True:
        day += 1
        now = a.NOW + timedelta(days=day)
        take(hot, vectors, now, dice)
        hot.commit({}, cursors={"days": day})
        while enrich.tick(now):
            pass
        while archive.tick(now):
            pass
        tell("leaving")
        while stage.tick(now):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
