"""A re-scan that kills itself at named points. Run as a program: `rescanner FOLDER POINT...`.

For each POINT a forked child goes on with the re-scan of the store in FOLDER and sends itself SIGKILL at the point's
commit, `before:N`, `inside:N` or `after:N` meaning its Nth; a last child runs to the end. Prints how each ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.crash.lives import main
from trimtab.enrich.rescan import RescanStage
from trimtab.redact.project import Redactors
from trimtab.store.hot import sqlite

KEY = b"a test key of 32 bytes, not real"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(store: Any, point: str) -> None:
    """Make the store kill the process at the point."""
    when, _, place = point.partition(":")
    commit: Callable[..., None] = store.commit
    many = sqlite._Write.many
    count = [0]

    def counted(writes: Any, **more: Any) -> None:
        count[0] += 1
        if count[0] == int(place) and when == "before":
            die()
        commit(writes, **more)
        if count[0] == int(place) and when == "after":
            die()

    def broken_off(write: Any, *told: Any) -> None:
        many(write, *told)
        if count[0] == int(place) and when == "inside":
            die()

    store.commit = counted
    setattr(sqlite._Write, "many", broken_off)  # noqa: B010  a method is replaced


def live(folder: Path, point: str | None) -> None:
    store = sqlite.open_sqlite(folder / "hot.db")
    if point is not None:
        arm(store, point)
    redactors = Redactors(key=KEY, read=store.redactions)
    stage = RescanStage(store, redactors, batch_rows=32, look_rows=64)
    while stage.tick(NOW):
        pass
    store.close()


if __name__ == "__main__":
    main(live)
