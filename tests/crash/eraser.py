"""An erasure that kills itself at a named point. Run as a program: `eraser FOLDER USER POINT`.

Opens the engine in FOLDER, has USER erased and lets everything settle. POINT is `write:N` (after the Nth statement that
the erasing thread writes), `before:PLACE` or `after:PLACE` (around one place's work, whose receipt is not written
then), `ms:N` (N milliseconds into the erasure), or `none`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import household as home
from trimtab.clock import SetClock
from trimtab.runtime.assemble import Engine
from trimtab.store.hot import sqlite

LATER = home.NOW + timedelta(hours=1)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(engine: Engine, point: str) -> None:
    """Make the engine kill its process at the point."""
    when, _, told = point.partition(":")
    if when == "write":
        many: Callable[..., int] = sqlite._Write.many
        left = [int(told)]

        def counted(write: Any, *what: Any) -> int:
            changed = many(write, *what)
            if threading.current_thread().name == "trimtab-erase":
                left[0] -= 1
                if left[0] == 0:
                    die()
            return changed

        setattr(sqlite._Write, "many", counted)  # noqa: B010  a method is replaced
    elif when == "ms":
        timer = threading.Timer(int(told) / 1000, die)
        timer.daemon = True
        timer.start()
    for place in engine.erasing.places:
        if place.name == told:
            erase = place.erase

            def around(project_id: str, gone: Any, erase: Callable[..., Any] = erase) -> Any:
                if when == "before":
                    die()
                removed = erase(project_id, gone)
                if removed is not None:
                    die()
                return removed

            setattr(place, "erase", around)  # noqa: B010


def main(folder: Path, user: str, point: str) -> None:
    clock = SetClock(LATER)
    with home.opened(folder, clock=clock) as engine:
        arm(engine, point)
        sys.stdout.write(home.erased(engine, clock, user).state)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
