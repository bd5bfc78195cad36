"""Exemplars for one user or tenant: who is shown them, and what the gate asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, SETTINGS, START, LoopWorld
from trimtab.act.playbook import IncidentPlaybook
from trimtab.config import FeatureOverride
from trimtab.records import Change, Exemplar, User, Version
from trimtab.redact.wall import seal_all
from trimtab.stats.bucket import audience
from trimtab.store.ports import Query, Writes

TRUTH = {f"How do I do thing {place}?": f"Like this: {place}" for place in range(12)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LoopWorld]:
    """A feature that knows half of the answers, and an incident about it."""
    made = LoopWorld(tmp_path)
    shown = [Exemplar(id=f"x{place}", input=ask, output=TRUTH[ask]) for place, ask in enumerate(sorted(TRUTH))]
    made.launch(Version(feature=FEATURE, created_at=START, exemplars=shown[6:]))
    made.serve(TRUTH, answers=80)
    while sum(stage.tick(made.clock.now()) for stage in made.stages[:2]):
        pass
    yield made
    made.close()


def carried_out(world: LoopWorld, scope: Literal["global", "tenant", "user"]) -> tuple[Change, Version]:
    settings = msgspec.structs.replace(SETTINGS, features={FEATURE: FeatureOverride(exemplar_scope=scope)})
    playbook = IncidentPlaybook(world.store, world.redactor, settings, world.runner)
    incident = world.store.incidents(PROJECT, Query()).rows[0].record
    order = playbook.planning.next_order(PROJECT, incident, [], world.clock.now())
    assert order is not None
    for _, step in playbook.steps(order):
        step(order)
    [change] = [row.record for row in world.store.changes(PROJECT, Query()).rows]
    version = world.store.version(PROJECT, FEATURE, change.candidate_version_id or "")
    assert version is not None
    return change, version


def test_a_correction_is_shown_to_the_corrected_user_alone_and_others_cases_ask_only_for_no_harm(
    world: LoopWorld,
) -> None:
    change, version = carried_out(world, "user")
    fresh = [item for item in version.exemplars if item.source_feedback_id]
    whose = {
        row.record.feedback_id: row.record.user_id for row in world.store.corrections(PROJECT, Query(limit=1000)).rows
    }
    assert fresh
    assert all(item.audience == audience("user", str(whose[str(item.source_feedback_id)])) for item in fresh)
    assert change.gate is not None
    assert (change.gate.targets, change.gate.broken, change.state) == (0, 0, "canary")


def test_a_known_tenant_shares_what_its_users_were_told_and_a_user_without_one_does_not(world: LoopWorld) -> None:
    rows = world.store.corrections(PROJECT, Query(limit=1000)).rows
    users = sorted({str(row.record.user_id) for row in rows})
    known = [User(id=user, updated_at=START, tenant="acme") for user in users[::2]]
    world.store.commit({PROJECT: Writes(users=seal_all(world.redactor, known))})
    _, version = carried_out(world, "tenant")
    found = {item.audience for item in version.exemplars if item.source_feedback_id}
    assert audience("tenant", "acme") in found
    assert found - {audience("tenant", "acme")} <= {audience("user", user) for user in users[1::2]}


def test_for_everyone_is_the_default_and_mends_the_cases_of_others(world: LoopWorld) -> None:
    change, version = carried_out(world, "global")
    assert {item.audience for item in version.exemplars} == {""}
    assert change.gate is not None
    assert change.gate.targets_fixed > 0
