"""A build that is killed leaves nothing that looks whole, and the next start says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.house.checkout import ROOT
from tests.unit.act.datasets.world import PROJECT, world
from trimtab.store.ports import Query


def test_a_killed_build_leaves_no_set_and_fails_at_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.dataset_builder", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    ) as builder:
        assert builder.stdout is not None
        said = (line.strip() for line in builder.stdout)
        told = [line for line in iter(lambda: next(said), "writing") if len(line) == 36]
        builder.kill()
    assert len(told) == 1
    drafts = [path for path in (tmp_path / "datasets").glob("*/*") if path.name.startswith(".draft-")]
    assert len(drafts) == 1  # it was killed while it wrote
    assert not list((tmp_path / "datasets").glob("*/*/manifest.json"))[1:]
    with world(tmp_path) as made:
        states = {row.record.kind: row.record for row in made.engine.store.datasets(PROJECT, Query()).rows}
        assert {kind: record.state for kind, record in states.items()} == {"sft": "done", "dpo": "failed"}
        assert len(made.rows(states["sft"])) == 1
        assert [path.name for path in (tmp_path / "datasets").iterdir()] == [states["sft"].id]
        assert made.rows(made.order("dpo", validation_share=0.0, test_share=0.0)) != []
