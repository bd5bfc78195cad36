"""A sender killed around its sending loses nothing and repeats at most what it had not written down, under one id."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.contract import hot_store_sample as a
from tests.crash.deliverer import NOW
from tests.webhook_receiver import Receiver
from trimtab.records import Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Query, Writes

ROOT = Path(__file__).parents[2]
P = "default"


def run(folder: Path, url: str, point: str) -> int:
    command = [sys.executable, "-m", "tests.crash.deliverer", str(folder), url, point]
    path = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.run(command, cwd=ROOT, env=path, capture_output=True, timeout=120, check=False).returncode


def test_killed_between_sending_and_writing_down_sends_it_twice_at_most_under_the_same_id(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "trimtab.db")
    project = Project(id=P, created_at=NOW)
    waiting = [a.delivery(created_at=NOW, next_at=NOW, kind="digest", body={"lines": [str(n)]}) for n in range(4)]
    store.commit({P: Writes(projects=[project], deliveries=waiting)})
    store.close()
    with Receiver(200) as receiver:
        ends = [run(tmp_path, receiver.url, point) for point in ("sent", "recorded", "sent", "never")]
        came = Counter(request.headers["Trimtab-Delivery"] for request in receiver.requests)
    assert ends == [-9, -9, -9, 0]
    assert came == {waiting[0].id: 2, waiting[1].id: 2, waiting[2].id: 1, waiting[3].id: 1}
    store = open_sqlite(tmp_path / "trimtab.db")
    rows = [row.record for row in store.deliveries(P, Query(newest=False)).rows]
    store.close()
    assert [(each.state, each.attempts) for each in rows] == [("sent", 1)] * 4
