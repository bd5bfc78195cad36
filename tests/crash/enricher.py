"""Enriches the store in a folder, one small batch a tick, until nothing is left: to be killed while it does.

Run: `python -m tests.crash.enricher FOLDER`. It writes a line for each tick that was committed.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from trimtab.enrich.stage import EnrichStage
from trimtab.store.hot.sqlite import open_sqlite


def told(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(folder: str, now: str) -> None:
    store = open_sqlite(Path(folder) / "trimtab.db")
    stage = EnrichStage(store, batch_rows=7)
    while handled := stage.tick(datetime.fromisoformat(now)):
        told(str(handled))
    told("done")
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
