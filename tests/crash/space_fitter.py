"""Fits one space after the other over a folder until it is killed; prints the id of each once its tick has returned.

Run as `python space_fitter.py FOLDER FIRST [STEP]`: each life adds texts, numbered from FIRST, to the store in FOLDER.
With STEP it kills itself just before it opens, renames or removes a file of the spaces for the STEP-th time.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import structlog

from trimtab.config import Embedding
from trimtab.enrich.space import SpaceStage
from trimtab.ids import derived_id
from trimtab.records import Inference, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def die_before(step: int) -> None:
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and "spaces" in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def run(folder: Path, first: int) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is what was acknowledged
    store = open_sqlite(folder / "hot.db")
    store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    stage = SpaceStage(store, Embedding(), folder / "spaces", min_texts=20, max_texts=60, inline=True)
    for number in count(first):
        now = NOW + timedelta(days=8 * number)  # every space is too old by then
        served = [
            Inference(
                id=derived_id("space", str(number), str(place)), feature="f", created_at=now,
                input=f"word{number} word{place} of {number * place}",
            )
            for place in range(60)
        ]  # fmt: skip
        store.append([Arrival("p", Redacted(each, "test"), now) for each in served])
        if stage.tick(now):
            sys.stdout.write(f"{number} {stage.current('p').space}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        die_before(int(sys.argv[3]))
    run(Path(sys.argv[1]), int(sys.argv[2]))
