"""One monitor at work: learns what is normal, and says when votes got worse and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec

from trimtab.config import Monitoring
from trimtab.detect.curve import Curve
from trimtab.detect.traits import Traits
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor
from trimtab.stats.detector import RateMonitor, RateMonitorState
from trimtab.stats.interval import clopper_pearson_upper

__all__ = ["Sample", "Watch"]

_MAX_USERS = 50
_HIGHEST_REFERENCE = 0.95  # above it there is nothing left to get worse


class Sample(NamedTuple):
    """One thing a monitor hears: `x` in [0, 1] (1 = bad), who stands behind it ("" if nobody is known), and when.

    Of an input `x` is not known beforehand; `traits` say what it is like.
    """

    x: float
    who: str
    at: datetime
    traits: Traits | None = None


class Watch:
    """The running form of a Monitor: feed it samples in order of arrival, take `record()` to the store.

    Beside the statistic it keeps, for each possible onset the detector still holds (one per odds ratio, five at most),
    when that onset was, when its first bad vote came and who voted bad since.
    """

    def __init__(self, monitor: Monitor, settings: Monitoring) -> None:
        self._monitor = monitor
        self._settings = settings
        self._votes, self._negatives = monitor.votes, monitor.negatives
        self._onsets: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in monitor.onsets.items()}
        self._detector: RateMonitor | None = None
        self._curve = Curve(monitor.life.get("curve") if monitor.detector else None)
        if monitor.detector:
            self._detector = RateMonitor.from_state(cast("RateMonitorState", monitor.detector))
        elif monitor.reference is not None:
            self._start(monitor.reference)

    @property
    def log_evidence(self) -> float | None:
        """How far the evidence is from an alarm, in nats: 0 is the alarm; None while the reference is learned."""
        return self._detector.evidence if self._detector else None

    @property
    def monitor_id(self) -> str:
        """The monitor's id, under which its vote cap is remembered."""
        return self._monitor.id

    @property
    def feature(self) -> str:
        """The feature whose answers it hears of."""
        return self._monitor.feature

    def record(self) -> Monitor:
        """Return the monitor with everything seen so far."""
        return msgspec.structs.replace(
            self._monitor,
            votes=self._votes,
            negatives=self._negatives,
            detector=dict(self._detector.state()) if self._detector else {},
            onsets={str(key): value for key, value in self._onsets.items()},
            life={**self._monitor.life, "curve": self._curve.state()},
        )

    def take(self, sample: Sample, now: datetime) -> Incident | None:
        """Count one sample (the cap per person is the caller's) and return an incident when it raised the alarm."""
        self.count(sample)
        if self._detector is None:
            self._learn(sample.x)
            return None
        self._detector.update(sample.x)
        self._mark(sample)
        if self._curve.wants(self._detector.n):
            self._curve.mark(self._detector.n, self._detector.log_stat)
        return self._alarm(now) if self._detector.evidence >= 0 else None

    def count(self, sample: Sample) -> None:
        """Count a sample that is not tested."""
        self._votes += 1
        self._negatives += sample.x

    def _set(self, **changes: Any) -> None:
        self._monitor = msgspec.structs.replace(self._monitor, **changes)

    def _start(self, reference: float) -> None:
        settings = self._settings
        self._detector = RateMonitor(reference, horizon=settings.horizon_votes, alpha=settings.false_alarm_rate)
        self._onsets = {}
        self._curve = Curve()

    def _learn(self, vote: float) -> None:
        """Add to the baseline; when it is complete, freeze its upper bound as the reference and begin to watch.

        The one-sided Clopper-Pearson bound, not the rate itself, which lies below the truth half of the time.
        """
        votes, negatives = self._monitor.learned_votes + 1, self._monitor.learned_negatives + vote
        self._set(learned_votes=votes, learned_negatives=negatives)
        settings = self._settings
        if votes < settings.baseline_votes:
            return
        upper = clopper_pearson_upper(round(negatives), votes, settings.baseline_bound)
        reference = min(settings.baseline_margin * upper, _HIGHEST_REFERENCE)
        self._set(reference=reference, reference_kind="baseline")
        self._start(reference)

    def _mark(self, sample: Sample) -> None:
        detector = cast("RateMonitor", self._detector)
        starts = detector.starts
        bad = sample.x > 0.5
        if not bad and starts == self._onsets.keys():  # nothing new to mark: so it is for most samples
            return
        at = sample.at.isoformat()
        marks = {start: self._onsets.get(start) or {"at": at, "first": None, "users": []} for start in starts}
        if bad:
            for mark in marks.values():
                mark["first"] = mark["first"] or at
                most = max(_MAX_USERS, self._settings.min_users)
                if sample.who not in mark["users"] and len(mark["users"]) < most:
                    mark["users"].append(sample.who)
        self._onsets = marks

    def _alarm(self, now: datetime) -> Incident | None:
        """Turn a crossed threshold into an incident, unless too few people stand behind it yet."""
        detector, settings = cast("RateMonitor", self._detector), self._settings
        onset = detector.onset
        if onset is None:
            return None
        mark = self._onsets[onset.index]
        if len(mark["users"]) < settings.min_users or detector.n < settings.min_votes:
            return None
        monitor = self._monitor
        # Votes carry the clocks of those who sent them; told in order, they never run past the detection.
        first_signal_at = min(datetime.fromisoformat(mark["first"] or mark["at"]), now)
        onset_at = min(datetime.fromisoformat(mark["at"]), first_signal_at)
        incident = Incident(
            id=derived_id("incident", monitor.id, str(monitor.alarms + 1)),
            feature=monitor.feature,
            version_id=monitor.version_id,
            monitor_id=monitor.id,
            state="firing",
            onset_at=onset_at,
            first_signal_at=first_signal_at,
            detected_at=now,
            reference=detector.p0,
            observed=onset.rate,
            events=onset.n,
            negatives=round(onset.bad),
            users=len(mark["users"]),
            log_evidence=detector.log_stat,
            log_threshold=detector.log_threshold,
            detail={"curve": self._curve.told(detector.n, detector.log_stat)},
        )
        self._set(alarms=monitor.alarms + 1, last_alarm_at=now)
        detector.reset()
        self._onsets = {}
        self._curve = Curve()
        return incident
