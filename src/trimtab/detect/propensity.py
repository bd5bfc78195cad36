"""The watch on voting itself: when people begin to vote much more, or much less, votes say less about quality.

A new prompt for feedback, a moved button or a campaign changes who votes, and the share of negative votes with it,
without any change in the answers. While voting has moved, incidents from votes are for people to look at, and change
nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, cast

import msgspec

from trimtab.config import Monitoring
from trimtab.ids import derived_id
from trimtab.records import Feature, Incident, Monitor
from trimtab.stats.detector import RateMonitor, RateMonitorState
from trimtab.stats.interval import clopper_pearson_upper
from trimtab.store.ports import CatalogStore, JudgementStore, LoopStore, Query, Writes

__all__ = ["RULE", "PropensityStage"]

RULE = "propensity"
Side = Literal["more", "less"]
_SIDES: tuple[Side, ...] = ("more", "less")
_HOUR = timedelta(hours=1)
_MOST_HOURS = 24 * 14  # after a longer stop the hours in between are left out
_LEARN_ANSWERS = 2000
_LEARN_HOURS = 24 * 7  # whole weeks: weekends vote differently
_HORIZON_ANSWERS = 100_000
_HIGHEST = 1.0 - 1e-6


class PropensityStore(JudgementStore, LoopStore, CatalogStore, Protocol):
    """What this stage needs of the store."""


class PropensityStage:
    """Looks once at each hour of each feature, when it is over for an hour: how many of its answers were voted on.

    Every hour is looked at in the same age, so that votes still to come are missing from what is normal as well. Normal
    is learned over a week and two thousand answers at least; `monitoring.propensity_factor` times as many votes, or as
    many times fewer, is news. One promise about false alarms over 100,000 answers each way, as for votes
    (`RateMonitor`, in batches whose borders the clock sets).
    """

    name = "propensity"

    def __init__(self, store: PropensityStore, settings: Monitoring) -> None:
        self._store = store
        self._settings = settings
        self._looked_at: datetime | None = None

    def tick(self, now: datetime) -> int:
        """Look at the hours that are due and return how many."""
        hour = _floor(now) - _HOUR
        if self._settings.propensity_factor == 0 or self._looked_at == hour:
            return 0
        looked = 0
        for project in self._store.projects():
            for feature in self._store.features(project.id):
                looked += self._look(project.id, feature, hour, now)
        self._looked_at = hour
        return looked

    def _look(self, project_id: str, feature: Feature, until: datetime, now: datetime) -> int:
        held = {monitor.segment["side"]: monitor for monitor in self._store.monitors(project_id, feature.name, RULE)}
        since = min((_upto(monitor, until) for monitor in held.values()), default=until - _HOUR)
        since = max(since, until - _MOST_HOURS * _HOUR)
        hours = self._hours(project_id, feature.name, since, until)
        writes = Writes()
        for side in _SIDES:
            known = self._accepted(project_id, held.get(side) or _new(project_id, feature.name, side, now))
            monitor, alarm = self._follow(known, side, hours, until)
            found = self._open(project_id, feature.name, monitor)
            if alarm is not None and found is None:
                opened = _incident(monitor, alarm, now)
                writes.incidents.append(opened)
                monitor = msgspec.structs.replace(monitor, life={**monitor.life, "incident": opened.id})
            elif alarm is None and found is not None and self._is_over(monitor, hours):
                over = {"state": "resolved", "resolution": "verified", "resolved_at": now}
                writes.incidents.append(msgspec.structs.replace(found, **over))
            writes.monitors.append(monitor)
        self._store.commit({project_id: writes})
        return len(hours)

    def _accepted(self, project_id: str, monitor: Monitor) -> Monitor:
        """Learn anew what is normal when a person has closed the incident: so much voting is how it is now."""
        told = monitor.life.get("incident")
        incident = self._store.incident(project_id, told) if told else None
        if incident is None or incident.resolution != "manual":
            return monitor
        life = {key: value for key, value in monitor.life.items() if key == "upto"}
        fresh = {"reference": None, "reference_kind": "learning", "learned_votes": 0, "learned_negatives": 0.0}
        return msgspec.structs.replace(monitor, detector={}, life=life, **fresh)

    def _hours(
        self, project_id: str, feature: str, since: datetime, until: datetime
    ) -> list[tuple[datetime, int, int]]:
        """Return (hour, answers, answers voted on), in order, of the hours with answers."""
        if since >= until:
            return []
        counts = self._store.counts(
            project_id, since=since, until=until, step="hour", metrics=("inferences", "voted"), feature=feature
        )
        found: dict[datetime, list[int]] = {}
        for count in counts:
            held = found.setdefault(count.start, [0, 0])
            held[count.metric == "voted"] += count.count
        return [(hour, n, min(voted, n)) for hour, (n, voted) in sorted(found.items()) if n]

    def _follow(
        self, monitor: Monitor, side: Side, hours: Sequence[tuple[datetime, int, int]], until: datetime
    ) -> tuple[Monitor, dict[str, Any] | None]:
        """Let a monitor hear the hours; return it, and what it found."""
        life = dict(monitor.life)
        alarm: dict[str, Any] | None = None
        for hour, n, voted in hours:
            bad = voted if side == "more" else n - voted
            monitor = msgspec.structs.replace(monitor, votes=monitor.votes + n, negatives=monitor.negatives + bad)
            if monitor.reference is None:
                monitor = self._learn(monitor, side, n, bad, life)
                continue
            detector = RateMonitor.from_state(cast("RateMonitorState", monitor.detector))
            if detector.update_batch(n, bad):
                onset = detector.onset
                alarm = {
                    "hour": hour,
                    "n": onset.n if onset else n,
                    "bad": onset.bad if onset else bad,
                    "evidence": detector.log_stat,
                    "threshold": detector.log_threshold,
                }
                detector.reset()
                alarms = monitor.alarms + 1
                monitor = msgspec.structs.replace(monitor, alarms=alarms, last_alarm_at=hour)
            monitor = msgspec.structs.replace(monitor, detector=dict(detector.state()))
        life["upto"] = until.isoformat()
        return msgspec.structs.replace(monitor, life=life), alarm

    def _learn(self, monitor: Monitor, side: Side, n: int, bad: int, life: dict[str, Any]) -> Monitor:
        life["hours"] = life.get("hours", 0) + 1
        learned, negatives = monitor.learned_votes + n, monitor.learned_negatives + bad
        monitor = msgspec.structs.replace(monitor, learned_votes=learned, learned_negatives=negatives)
        if learned < _LEARN_ANSWERS or life["hours"] < _LEARN_HOURS:
            return monitor
        reference = _reference(side, round(negatives), learned, self._settings)
        detector = RateMonitor(reference, horizon=_HORIZON_ANSWERS, alpha=self._settings.false_alarm_rate)
        state = dict(detector.state())
        return msgspec.structs.replace(monitor, reference=reference, reference_kind="baseline", detector=state)

    def _is_over(self, monitor: Monitor, hours: Sequence[tuple[datetime, int, int]]) -> bool:
        """Say whether the evidence has fallen back to where it starts, after hours with answers."""
        if not hours or not monitor.detector:
            return False
        detector = RateMonitor.from_state(cast("RateMonitorState", monitor.detector))
        return detector.onset is None and detector.n >= _LEARN_ANSWERS

    def _open(self, project_id: str, feature: str, monitor: Monitor) -> Incident | None:
        query = Query(feature=feature, limit=1000)
        rows = self._store.incidents(project_id, query, states=("firing", "recovering")).rows
        return next((row.record for row in rows if row.record.monitor_id == monitor.id), None)


def _reference(side: Side, bad: int, n: int, settings: Monitoring) -> float:
    """Return what still counts as normal: the factor times the upper bound of the votes, or a factor fewer of them."""
    factor = settings.propensity_factor
    if side == "more":
        return min(factor * clopper_pearson_upper(bad, n, settings.baseline_bound), 0.95)
    lowest = 1.0 - clopper_pearson_upper(bad, n, settings.baseline_bound)  # the lower bound of the votes
    return min(1.0 - lowest / factor, _HIGHEST)


def _new(project_id: str, feature: str, side: Side, now: datetime) -> Monitor:
    return Monitor(
        id=derived_id("monitor", project_id, RULE, feature, side),
        feature=feature,
        version_id="any",
        reference_kind="learning",
        created_at=now,
        rule=RULE,
        metric=RULE,
        segment={"side": side},
    )


def _incident(monitor: Monitor, alarm: dict[str, Any], now: datetime) -> Incident:
    reference = monitor.reference or 0.0
    word = "more" if monitor.segment["side"] == "more" else "fewer"
    return Incident(
        id=derived_id("incident", monitor.id, str(monitor.alarms)),
        feature=monitor.feature,
        version_id=monitor.version_id,
        monitor_id=monitor.id,
        state="firing",
        onset_at=alarm["hour"],
        first_signal_at=alarm["hour"],
        detected_at=now,
        reference=reference,
        observed=alarm["bad"] / alarm["n"],
        events=alarm["n"],
        negatives=round(alarm["bad"]),
        users=0,
        log_evidence=alarm["evidence"],
        log_threshold=alarm["threshold"],
        kind="propensity",
        metric=RULE,
        rule=RULE,
        segment=monitor.segment,
        held=f"{word} people vote than is normal here: votes are not comparable with those before",
    )


def _upto(monitor: Monitor, otherwise: datetime) -> datetime:
    told = monitor.life.get("upto")
    return datetime.fromisoformat(told) if told else otherwise


def _floor(when: datetime) -> datetime:
    return when.replace(minute=0, second=0, microsecond=0)
