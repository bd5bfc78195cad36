"""What a fix had mended is forgotten when the newest gate on the version served says so, and known only then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract import hot_store_sample as a
from trimtab.measure.velocity import velocity
from trimtab.records import CaseResult, Change, Feature, GateReport, Project, Rollout
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Switch, Writes

DAY = timedelta(days=1)
BEGIN = a.NOW - 20 * DAY


def gated(day: int, base: str, candidate: str, case_id: str, *, passed: tuple[bool, bool], **fields: Any) -> Change:
    """Return a change whose gate asked the case of both versions."""
    result = CaseResult(case_id=case_id, target=True, stable_passed=passed[0], candidate_passed=passed[1])
    gate = GateReport(
        verdict="pass", reason="", cases=1, broken=0, fixed=0, targets=1, targets_fixed=0, must_pass_broken=0,
        lower_bound=0.0, margin=0.05, rules_out=0.1, smoke=True, results=[result],
    )  # fmt: skip
    at = BEGIN + day * DAY
    told = {"promoted_at": None, "rolled_back_at": None, "verified_at": None, "exposed_at": at, **fields}
    versions = {"base_version_id": base, "candidate_version_id": candidate}
    return a.change(created_at=at, gated_at=at, gate=gate, **versions, **told)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    features = [a.sealed(Feature(name="answer", created_at=BEGIN))]
    opened.commit({a.P: Writes(projects=[Project(id=a.P, created_at=BEGIN)], features=features)})
    yield opened
    opened.close()


def test_the_newest_gate_on_the_served_version_decides(store: HotStore) -> None:
    case = a.case(created_at=BEGIN)
    served = Rollout(feature="answer", stable_version_id="v2", updated_at=BEGIN, id=a.incident().id, revision=1)
    fix = gated(1, "v1", "v2", case.id, passed=(False, True), verified_at=BEGIN + 5 * DAY)
    store.commit({a.P: Writes(cases=[a.sealed(case)], changes=[fix], switches=[Switch(served, 0)])})

    def told(days: int) -> tuple[int, int, int]:
        found = velocity(store, a.P, since=BEGIN, until=BEGIN + days * DAY).forgetting
        return found.failing.count, found.failing.n, found.untested

    assert told(4) == (0, 0, 0)
    assert told(8) == (0, 1, 0)
    store.commit({a.P: Writes(changes=[gated(9, "v2", "v3", case.id, passed=(False, True))])})
    assert told(8) == (0, 1, 0)
    assert told(10) == (1, 1, 0)
    store.commit({a.P: Writes(retired=[(case.id, a.NOW)])})
    assert told(10) == (0, 0, 0)  # what is wrong as a case is no lost fix
    store.commit({a.P: Writes(retired=[(case.id, None)])})
    other = Rollout(feature="answer", stable_version_id="v9", updated_at=BEGIN + 11 * DAY, id=served.id, revision=2)
    store.commit({a.P: Writes(switches=[Switch(other, 1)])})
    assert told(12) == (0, 0, 1)
