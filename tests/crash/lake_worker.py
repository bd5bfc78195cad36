"""Ships to a lake, compacts it or erases from it until it is done or killed; prints a line when each part is done.

Run as `python lake_worker.py ship HOT LAKE LOT`, `... compact LAKE` or `... erase LAKE PROJECT USER...`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from trimtab.clock import SystemClock
from trimtab.errors import Conflict
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ship(hot_file: str, lake: DeltaLake, lot: int) -> None:
    hot = open_sqlite(Path(hot_file))
    while True:
        cursor = lake.cursor("inferences")
        rows = hot.inferences_after(cursor, lot)
        if not rows:
            return
        try:
            lake.append("inferences", rows, after=cursor)
            tell(str(rows[-1].seq))
        except Conflict:
            continue


def compact(lake: DeltaLake) -> None:
    while True:
        try:
            fewer = lake.compact("inferences")
            lake.vacuum("inferences", retention_hours=0)
            tell(str(fewer))
        except Conflict:
            continue
        finally:
            time.sleep(0.02)  # else the turn is never free


def main(work: str, *rest: str) -> None:
    if work == "ship":
        ship(rest[0], open_lake(rest[1], SystemClock()), int(rest[2]))
    elif work == "compact":
        lake = open_lake(rest[0], SystemClock())
        tell("ready")
        compact(lake)
    else:
        lake = open_lake(rest[0], SystemClock())
        tell("ready")
        lake.erase(rest[1], rest[2:])
        tell("erased")


if __name__ == "__main__":
    main(*sys.argv[1:])
