"""A loop killed at any point of its way ends as one that was never killed, on a real database and workflow file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.crash.lives import lived
from tests.loop import FEATURE, PROJECT
from trimtab.records import Change, Incident, Monitor, Rollout, Run
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Query

ROOT = Path(__file__).parents[2]
STEPS = ["gather", "build", "gate", "expose"]
NAMES = ["enrich.inferences", "incident", "act", *STEPS, "detect", "step", "promote", "verify"]  # in their order


class End(NamedTuple):
    """What a world has come to."""

    incidents: list[Incident]
    changes: list[Change]
    runs: list[Run | None]
    rollouts: list[Rollout]
    monitors: list[Monitor]
    cases: list[str]
    versions: list[str]


def run(folder: Path, *points: str) -> list[int]:
    """Live in `folder`, killed at each point in turn; return how each life ended."""
    folder.mkdir(exist_ok=True)
    ends = lived("tests.crash.killed_loop", folder, *points)
    assert ends[-1] == 0
    return ends


def end_of(folder: Path) -> End:
    store = open_sqlite(folder / "trimtab.db")
    try:
        every = Query(newest=False)
        runs = [row.record for row in store.runs(PROJECT, every).rows]
        return End(
            incidents=[row.record for row in store.incidents(PROJECT, every).rows],
            changes=[row.record for row in store.changes(PROJECT, every).rows],
            runs=[store.run(PROJECT, found.id) for found in runs],
            rollouts=store.rollout_history(PROJECT, FEATURE),
            monitors=store.monitors(PROJECT, FEATURE),
            cases=[case.id for case in store.cases(PROJECT, FEATURE)],
            versions=[version.id for version in store.versions(PROJECT, FEATURE)],
        )
    finally:
        store.close()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> End:
    """The end of a world that was never killed."""
    folder = tmp_path_factory.mktemp("straight")
    assert run(folder) == [0]
    return end_of(folder)


def test_world_that_was_never_killed_ends_verified(straight: End) -> None:
    (incident,), (change,), (done,) = straight.incidents, straight.changes, straight.runs
    assert (incident.state, incident.resolution) == ("resolved", "verified")
    assert change.state == "verified"
    assert done is not None
    assert [step.name for step in done.steps] == STEPS
    assert done.steps[0].detail["cases"] == len(straight.cases) == len(set(straight.cases)) > 0
    assert len(straight.versions) == 2
    served = [(rollout.candidate_version_id, rollout.share) for rollout in straight.rollouts]
    assert served == [(None, 0.0), (change.candidate_version_id, 0.3), (change.candidate_version_id, 0.6), (None, 0.0)]
    assert [rollout.revision for rollout in straight.rollouts] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("when", "names"), [("before", [*STEPS, "promote"]), ("inside", NAMES), ("after", [*STEPS, "promote"])]
)
def test_killed_at_every_commit_ends_as_if_never_killed(
    tmp_path: Path, straight: End, when: str, names: list[str]
) -> None:
    points = [f"{when}:{name}" for name in names]
    ends = run(tmp_path, *points)
    assert ends == [-9] * len(points) + [0], dict(zip(points, ends, strict=False))
    found = end_of(tmp_path)
    for name, expected in straight._asdict().items():
        assert getattr(found, name) == expected, name


def test_lost_workflow_file_is_no_lost_run(tmp_path: Path, straight: End) -> None:
    assert run(tmp_path, "after:build", "lost:workflows") == [-9, 0, 0]
    assert end_of(tmp_path) == straight
