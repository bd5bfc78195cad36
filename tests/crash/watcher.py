"""Declared watches that kill themselves at named points. Run as a program: `watcher FOLDER POINT...`.

For each POINT a forked child lets the watches hear on where the store in FOLDER stands and sends itself SIGKILL at the
point's commit (`tests/crash/rescanner.py`); a last child runs to the end. Prints how each ended.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.crash.lives import main
from tests.crash.rescanner import arm
from trimtab.config import Engine, Settings, WatchRule
from trimtab.detect.rules.stage import RulesStage
from trimtab.store.hot.sqlite import open_sqlite

NOW = datetime(2026, 3, 3, tzinfo=UTC)
SETTINGS = Settings(
    engine=Engine(batch_rows=40),
    monitors={
        "plans": WatchRule(group_by=("plan",), reference_rate=0.1, min_users=2),
        "learned": WatchRule(group_by=(), baseline_events=60, keep_firing_hours=0),
        "line": WatchRule(kind="threshold", above=0.4, window_minutes=100),
        "errors": WatchRule(metric="error", reference_rate=0.05, keep_firing_hours=0, cooldown_hours=0),
        "asked": WatchRule(kind="drift", baseline_events=50, baseline_hours=0, keep_firing_hours=0, cooldown_hours=0),
        "again": WatchRule(metric="feedback.regenerate", reference_rate=0.1, maturity_hours=1),
    },
)


def live(folder: Path, point: str | None) -> None:
    store = open_sqlite(folder / "hot.db")
    if point is not None:
        arm(store, point)
    stage = RulesStage(store, SETTINGS)
    while stage.tick(NOW):
        pass
    store.close()


if __name__ == "__main__":
    main(live)
