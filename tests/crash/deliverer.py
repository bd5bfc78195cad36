"""A process that sends what waits in FOLDER to URL and kills itself at POINT: `deliverer FOLDER URL POINT`.

POINT is `sent` (after the message left, before that is written down), `recorded` (after it was), or `never`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from trimtab.act.channels import open_channels
from trimtab.act.deliver import DeliverStage
from trimtab.clock import SystemClock
from trimtab.config import NotifyTarget
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Writes

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def main(folder: str, url: str, point: str) -> None:
    store = open_sqlite(Path(folder) / "trimtab.db")
    commit: Callable[..., None] = store.commit

    def dying(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        if point == "sent":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(writes, cursors=cursors)
        if point == "recorded":
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(store, "commit", dying)  # noqa: B010  a method is replaced
    targets = {"ops": NotifyTarget(url=url, allow_private=True)}
    stage = DeliverStage(store, open_channels(targets, SystemClock(), environ={}), inline=True)
    while stage.tick(NOW):
        pass
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
