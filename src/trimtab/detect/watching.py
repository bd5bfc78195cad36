"""Whether a feature's votes are watched yet, in words: a new installation sees no incident, and this says why."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from trimtab.config import Settings
from trimtab.detect.propensity import RULE as VOTING
from trimtab.detect.rules.rule import Rule, rules_of
from trimtab.records import Monitor
from trimtab.store.ports import CatalogStore, LoopStore

__all__ = ["Watched", "watched"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KINDS: Mapping[str, str] = {
    "target": "as the settings say",
    "baseline": "as its first votes were",
    "inherited": "as the version before it was held to",
    "learning": "",
}


class Watched(Struct, frozen=True, kw_only=True):
    """Whether votes on a feature's answers can open an incident yet.

    While it is `learning`, it has heard `votes` of the `needed` ones, `negatives` of them bad, and only what
    `meanwhile` names can. `told` says all that in a sentence, `mend` what to set for it to begin at once.
    """

    feature: str
    state: Literal["learning", "watching"]
    reference: float | None
    votes: int
    negatives: int
    needed: int
    meanwhile: list[str]
    told: str
    mend: str


class WatchingStore(LoopStore, CatalogStore, Protocol):
    """What is asked here."""


def watched(store: WatchingStore, settings: Settings, project_id: str) -> list[Watched]:
    """Return how each feature of a project is watched, by name."""
    rules = rules_of(settings.monitors, store.rules(project_id))
    monitors: defaultdict[str, list[Monitor]] = defaultdict(list)
    for monitor in store.monitors(project_id, None):
        monitors[monitor.feature].append(monitor)
    ready = {
        (name, group.feature)
        for name in (VOTING, *(rule.name for rule in rules))
        for group in store.monitors(project_id, None, name)
        if group.reference is not None
    }
    found = []
    for feature in store.features(project_id):
        current = _current(store, project_id, feature.name, monitors[feature.name])
        meanwhile = _meanwhile(feature.name, rules, ready, settings)
        found.append(_told(feature.name, current, meanwhile, settings))
    return found


def _current(store: WatchingStore, project_id: str, feature: str, monitors: Sequence[Monitor]) -> Monitor | None:
    """Return the watch on what is served now; one on a version that the store does not know is the app's own."""
    rollout = store.rollout(project_id, feature)
    served = rollout.stable_version_id if rollout is not None else None
    newest = sorted(monitors, key=lambda each: (each.created_at, each.version_id == served), reverse=True)
    for each in newest:
        if each.version_id == served or store.version(project_id, feature, each.version_id) is None:
            return each
    return next((each for each in newest if each.reference is not None), None)  # what a new version will inherit


def _meanwhile(feature: str, rules: Sequence[Rule], ready: set[tuple[str, str]], settings: Settings) -> list[str]:
    """Return what else can open an incident about a feature now."""
    found = [
        f"the watch {rule.name!r}"
        for rule in rules
        if rule.covers(feature)
        and (
            rule.spec.kind == "threshold"
            or rule.spec.reference_rate is not None
            or rule.spec.no_data_hours > 0
            or (rule.name, feature) in ready
        )
    ]
    if (VOTING, feature) in ready and settings.monitoring.propensity_factor > 0:
        found.append("a change in how many people vote")
    if settings.topics.every_hours > 0:
        found.append("a topic that more people than usual bring up")
    return found


def _told(feature: str, monitor: Monitor | None, meanwhile: list[str], settings: Settings) -> Watched:
    override = settings.features.get(feature)
    target = (override.reference_rate if override else None) or settings.monitoring.reference_rate
    reference = target or (monitor.reference if monitor else None)
    needed = settings.monitoring.baseline_votes
    votes = monitor.learned_votes if monitor else 0
    negatives = round(monitor.learned_negatives) if monitor else 0
    if reference is not None:
        kind = "target" if target is not None or monitor is None else monitor.reference_kind
        told, mend = f"votes are watched: up to {reference:.1%} bad is usual, {_KINDS[kind]}", ""
    else:
        only = f"only {_listed(meanwhile)} can open an incident" if meanwhile else "nothing can open an incident"
        bad = f", {negatives} of them bad" if votes else ""
        told = f"still learning what is usual: {votes} of {needed} votes{bad}; until then {only}"
        place = f"[features.{feature if _BARE.fullmatch(feature) else json.dumps(feature)}]"
        mend = f"to be told from now on, say what share of bad votes is usual: reference_rate = 0.1 under {place}"
    return Watched(
        feature=feature,
        state="learning" if reference is None else "watching",
        reference=reference,
        votes=votes,
        negatives=negatives,
        needed=needed,
        meanwhile=meanwhile,
        told=told,
        mend=mend,
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
