"""Appends numbered events to a store until it is killed; prints each id once its append has returned.

Run as `python store_appender.py PLACE FIRST LOT`: events FIRST, FIRST+1, ... in lots of LOT; PLACE is a file or the URL
of a PostgreSQL database.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Redacted
from trimtab.store.hot.postgres import open_postgres
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def arrival(number: int) -> Arrival:
    event_id = derived_id("crash", str(number))
    if number % 3 == 0:
        said = Feedback(id=event_id, kind="thumb", value=0.0, created_at=NOW, session_id="s")
        return Arrival("p", Redacted(said, "test"), NOW)
    served = Inference(id=event_id, feature="answer", created_at=NOW, input="x" * 500)
    return Arrival("p", Redacted(served, "test"), NOW)


def run(place: str, first: int, lot: int) -> None:
    store = open_postgres(place) if place.startswith("postgresql:") else open_sqlite(Path(place))
    for start in count(first, lot):
        arrivals = [arrival(number) for number in range(start, start + lot)]
        store.append(arrivals)
        sys.stdout.write("".join(f"{each.event.record.id}\n" for each in arrivals))
        sys.stdout.flush()
        store.commit({"p": Writes()}, cursors={"stage": start + lot})


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
