"""What all changes together are worth: people on the stable version against those who were held back."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from trimtab.measure.overview import Change, Part
from trimtab.records import Rollout
from trimtab.stats.interval import Rate, difference, wilson
from trimtab.store.ports import ArmVotes, CatalogStore, JudgementStore

__all__ = ["Holdback", "holdback"]


class Holdback(Struct, frozen=True, kw_only=True):
    """Negative votes on answers since the holdback began: of the stable arm, of those held back, and the difference.

    `change` is stable less holdback with its 95% interval: below 0, what was changed since has helped. `share` of the
    users are held back on `version_id`; both null and all counts 0 while nobody is. Answers count, not people.
    """

    feature: str
    version_id: str | None
    stable_version_id: str
    share: float
    since: datetime | None
    stable: Part
    holdback: Part
    change: Change


class HoldbackStore(CatalogStore, JudgementStore, Protocol):
    """What the comparison reads."""


def holdback(store: HoldbackStore, project_id: str, rollout: Rollout) -> Holdback:
    """Compare the arms of what `rollout`, the feature's latest, says."""
    since = _began(store, project_id, rollout)
    found: dict[str | None, ArmVotes] = {}
    if since is not None:
        found = {each.arm: each for each in store.arm_votes(project_id, rollout.feature, since)}
    stable, held = _rate(found.get("stable")), _rate(found.get("holdback"))
    change = difference(stable, held)
    return Holdback(
        feature=rollout.feature,
        version_id=rollout.holdback_version_id,
        stable_version_id=rollout.stable_version_id,
        share=rollout.holdback_share,
        since=since,
        stable=_part(stable),
        holdback=_part(held),
        change=Change(value=change.value, low=change.low, high=change.high),
    )


def _began(store: HoldbackStore, project_id: str, rollout: Rollout) -> datetime | None:
    """Return when the holdback came to the version it is at."""
    if rollout.holdback_version_id is None:
        return None
    began = rollout.updated_at
    for earlier in reversed(store.rollout_history(project_id, rollout.feature)):
        if earlier.holdback_version_id != rollout.holdback_version_id:
            break
        began = earlier.updated_at
    return began


def _rate(votes: ArmVotes | None) -> Rate:
    return wilson(votes.negative, votes.voted) if votes is not None else wilson(0, 0)


def _part(rate: Rate) -> Part:
    return Part(count=rate.bad, n=rate.n, value=rate.value, low=rate.low, high=rate.high)
