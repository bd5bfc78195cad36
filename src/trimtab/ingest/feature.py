"""A feature comes into being: its name, an empty first Version, and a Rollout that serves it."""

from __future__ import annotations

from trimtab.clock import Clock
from trimtab.errors import Conflict
from trimtab.ids import new_id
from trimtab.records import Feature, Rollout, Version
from trimtab.redact.wall import Cleaner, seal
from trimtab.store.ports import HotStore, Switch, Writes

__all__ = ["declare"]


def declare(store: HotStore, cleaner: Cleaner, clock: Clock, project_id: str, name: str, description: str = "") -> None:
    """Store a feature with an empty first Version at rollout revision 1. One that is there already stays as it is."""
    if store.rollout(project_id, name) is not None:
        return
    now = clock.now()
    version = seal(cleaner, Version(feature=name, created_at=now))
    rollout = Rollout(feature=name, stable_version_id=version.record.id, updated_at=now, id=new_id(now), revision=1)
    feature = seal(cleaner, Feature(name=name, created_at=now, description=description))
    writes = Writes(features=[feature], versions=[version], switches=[Switch(rollout, expected=0)])
    try:
        store.commit({project_id: writes})
    except Conflict:  # someone else declared it in this moment, which is as good
        if store.rollout(project_id, name) is None:
            raise
