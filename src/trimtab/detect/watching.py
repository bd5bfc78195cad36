"""Whether a feature's votes are watched yet, in words: a new installation sees no incident, and this says why."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from trimtab.config import Settings
from trimtab.detect.propensity import RULE as VOTING
from trimtab.detect.rules.rule import Rule, rules_of
from trimtab.records import Monitor
from trimtab.store.ports import CatalogStore, LoopStore

__all__ = ["Watched", "watched"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KINDS: Mapping[str, str] = {
    "target": "as it was set",
    "baseline": "as its first votes were",
    "inherited": "as the version before it was held to",
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
    monitors: defaultdict[str, list[Monitor]] = defaultdict(list)
    for monitor in store.monitors(project_id, None):
        monitors[monitor.feature].append(monitor)
    others: _Others | None = None
    found = []
    for name in (feature.name for feature in store.features(project_id)):
        current = _current(store, project_id, name, monitors[name])
        override = settings.features.get(name)
        target = (override.reference_rate if override else None) or settings.monitoring.reference_rate
        if target is not None or (current is not None and current.reference is not None):
            found.append(_watching(name, current, target, settings))
        else:
            others = others or _others(store, settings, project_id)
            found.append(_learning(name, current, _meanwhile(name, others, settings), settings))
    return found


class _Others(NamedTuple):
    """The declared watches of a project, and which of them (and of voting itself) know what is usual, by feature."""

    rules: list[Rule]
    ready: set[tuple[str, str]]


def _others(store: WatchingStore, settings: Settings, project_id: str) -> _Others:
    rules = rules_of(settings.monitors, store.rules(project_id))
    names = (VOTING, *(rule.name for rule in rules))
    groups = ((name, group) for name in names for group in store.monitors(project_id, None, name))
    return _Others(rules, {(name, group.feature) for name, group in groups if group.reference is not None})


def _current(store: WatchingStore, project_id: str, feature: str, monitors: Sequence[Monitor]) -> Monitor | None:
    """Return the watch on what is served now; one on a version that the store does not know is the app's own."""
    rollout = store.rollout(project_id, feature)
    served = rollout.stable_version_id if rollout is not None else None
    newest = sorted(monitors, key=lambda each: (each.created_at, each.version_id == served), reverse=True)
    for each in newest:
        if each.version_id == served or store.version(project_id, feature, each.version_id) is None:
            return each
    return next((each for each in newest if each.reference is not None), None)  # what a new version will inherit


def _meanwhile(feature: str, others: _Others, settings: Settings) -> list[str]:
    """Return what else can open an incident about a feature now."""
    found = [
        f"the watch {rule.name!r}"
        for rule in others.rules
        if rule.covers(feature)
        and (
            rule.spec.kind == "threshold"
            or rule.spec.reference_rate is not None
            or rule.spec.no_data_hours > 0
            or (rule.name, feature) in others.ready
        )
    ]
    if (VOTING, feature) in others.ready and settings.monitoring.propensity_factor > 0:
        found.append("a change in how many people vote")
    if settings.topics.every_hours > 0:
        found.append("a topic that more people than usual bring up")
    return found


def _watching(feature: str, monitor: Monitor | None, target: float | None, settings: Settings) -> Watched:
    kind = "target" if target is not None or monitor is None else monitor.reference_kind
    reference = target or (monitor.reference if monitor else None)
    return Watched(
        feature=feature,
        state="watching",
        reference=reference,
        votes=monitor.learned_votes if monitor else 0,
        negatives=round(monitor.learned_negatives) if monitor else 0,
        needed=settings.monitoring.baseline_votes,
        meanwhile=[],
        told=f"votes are watched: up to {reference:.1%} bad is usual, {_KINDS[kind]}",
        mend="",
    )


def _learning(feature: str, monitor: Monitor | None, meanwhile: list[str], settings: Settings) -> Watched:
    votes = monitor.learned_votes if monitor else 0
    negatives = round(monitor.learned_negatives) if monitor else 0
    needed = settings.monitoring.baseline_votes
    only = f"only {_listed(meanwhile)} can open an incident" if meanwhile else "nothing can open an incident"
    bad = f", {negatives} of them bad" if votes else ""
    place = f"[features.{feature if _BARE.fullmatch(feature) else json.dumps(feature)}]"
    return Watched(
        feature=feature,
        state="learning",
        reference=None,
        votes=votes,
        negatives=negatives,
        needed=needed,
        meanwhile=meanwhile,
        told=f"still learning what is usual: {votes} of {needed} votes{bad}; until then {only}",
        mend=f"to be told from now on, say what share of bad votes is usual: reference_rate = 0.1 under {place}",
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
