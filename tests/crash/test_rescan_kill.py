"""A re-scan that is killed again and again ends as one that never was, and leaves no word it should have taken."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import NOW, P
from tests.crash.lives import lived
from tests.crash.rescanner import KEY
from trimtab.ids import new_id
from trimtab.records import Exemplar, Feedback, Inference, Project, RedactionPattern, RedactionSettings
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal, seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Switch, Writes

ROOT = Path(__file__).parents[2]
ROWS = 150


def fill(folder: Path) -> None:
    """Store rows that were cleaned by the installation's policy, and then settings that want more taken."""
    store = open_sqlite(folder / "hot.db")
    cleaner = Redactor(key=KEY)
    rows: list[Inference | Feedback] = [
        a.inference(id=new_id(NOW), input=f"card MB-{place:06}" * (place % 3)) for place in range(ROWS)
    ]
    said: list[Inference | Feedback] = [
        a.feedback(kind="comment", value=None, text=f"MB-{place:06}") for place in range(ROWS)
    ]
    sealed = seal_all(cleaner, rows) + seal_all(cleaner, said)
    store.append([Arrival(P, one, NOW) for one in sealed])
    version = seal(cleaner, a.version(exemplars=[Exemplar(id="x", input="MB-000001", output="b")]))
    extra = [RedactionPattern(name="member", pattern=r"MB-\d{6}")]
    writes = Writes(
        projects=[Project(id=P, created_at=NOW)],
        versions=[version],
        switches=[Switch(a.rollout(1, stable_version_id=version.record.id), 0)],
        redactions=[seal(cleaner, RedactionSettings(revision=1, updated_at=NOW, extra=extra))],
    )
    store.commit({P: writes})
    store.close()


def rescan(folder: Path, *points: str) -> list[int]:
    """Run the re-scan through its kills to the end and say how each life ended."""
    return lived("tests.crash.rescanner", folder, *points)


def state(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    connection = sqlite3.connect(folder / "hot.db")
    try:
        tables = ("inferences", "feedback", "versions", "rollouts", "rescans", "exposures")
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in tables}
    finally:
        connection.close()


@pytest.mark.parametrize("seed", range(3))
def test_rescan_killed_at_random_commits_ends_in_the_same_state(tmp_path: Path, seed: int) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    fill(calm)
    shutil.copytree(calm, rough)
    assert rescan(calm) == [0]
    dice = random.Random(seed)
    points = [f"{dice.choice(['before', 'inside', 'after'])}:{dice.randrange(1, 4)}" for _ in range(5)]
    ends = rescan(rough, *points)
    assert ends[-1] == 0
    assert -signal.SIGKILL in ends
    assert state(rough) == state(calm)
    told = {row[2:] for row in state(rough)["rescans"] if row[1] in ("inferences", "feedback")}
    assert {seq for _, seq, _ in told} == {ROWS}
    for file in rough.iterdir():
        assert b"MB-0000" not in file.read_bytes(), file
