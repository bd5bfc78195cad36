"""One group under a declared watch: its test, and the life of what it finds.

Found, it may have to hold for a while (`for_minutes`), opens an incident, is over when as many good ones have come that
more than half of the harm is proven gone, rests for a while (`cooldown_hours`), and begins anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from trimtab.detect.rules.drift import DriftWatch
from trimtab.detect.rules.rule import Rule, care_of, source_of
from trimtab.detect.watch import Sample, Watch
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor
from trimtab.stats.budget import share_of_budget
from trimtab.stats.interval import clopper_pearson_lower
from trimtab.stats.verification import VerifiedFix

__all__ = ["MonitorState", "Move", "Post"]

MonitorState = Literal["learning", "inactive", "pending", "firing", "recovering", "no_data"]
"""What a group is in: it learns what is normal, nothing shows, evidence gathers, an incident is open, silence."""

_PENDING_NATS = -2.3025850929940455  # a tenth of the evidence that an alarm takes
_PROVEN = 0.8
_KEPT_APART = ("curve", "buckets", "last", "normal", "sign")
_OF_THE_WATCH = ("curve", "normal", "sign")
_TELLS = "is declared to tell people only (act = false)"
_HELD = {"drift": "people ask for something else than before: what to make of it is for people to say"}


class Move(NamedTuple):
    """What a group asks for: to open this incident, or to bring the open one of this id into another state."""

    verb: Literal["open", "recover", "refire", "resolve", "supersede"]
    incident_id: str
    incident: Incident | None = None


class Post:
    """The running form of a Monitor of a declared watch. Feed it samples, ask it to `settle`, take `record()`."""

    def __init__(self, rule: Rule, monitor: Monitor, budget: float, *, awake_since: datetime | None = None) -> None:
        spec = rule.spec
        self.rule = rule
        alpha = share_of_budget(budget, monitor.life.get("place", 1))
        held = _held_to(monitor, rule, alpha)
        self.begun_anew = held is not monitor
        self._awake_since = awake_since
        mature = source_of(spec.metric) == "mature"
        self._delay = timedelta(hours=spec.maturity_hours if mature else 0)  # a sample tells of an earlier time
        self._inputs = DriftWatch(held, spec, alpha) if spec.kind == "drift" else None
        self._watch = self._inputs or Watch(held, care_of(spec, alpha))
        self._life: dict[str, Any] = {key: value for key, value in held.life.items() if key not in _KEPT_APART}
        self._buckets = {int(minute): counts for minute, counts in held.life.get("buckets", {}).items()}
        last = held.life.get("last")
        self._heard_at: datetime | None = datetime.fromisoformat(last) if last else None
        self._alarms = monitor.alarms
        self._alarmed_at = monitor.last_alarm_at

    @property
    def id(self) -> str:
        """The monitor's id."""
        return self._watch.monitor_id

    @property
    def feature(self) -> str:
        """The feature whose answers it hears of."""
        return self._watch.feature

    @property
    def open_incident(self) -> str | None:
        """The id of the incident that is open, if any."""
        found: str | None = self._life.get("open")
        return found

    @property
    def waits(self) -> bool:
        """Whether time alone may move it: an alarm is pending, an incident is open, or silence would be news."""
        return bool(self._life.get("pending") or self._life.get("open") or self.rule.spec.no_data_hours)

    def state(self, now: datetime) -> MonitorState:
        """Return what the group is in."""
        if self._life.get("silent"):
            return "no_data"
        if self.open_incident:
            return "recovering" if self._life.get("recovered") else "firing"
        if self._life.get("pending"):
            return "pending"
        if self._is_silent(now):
            return "no_data"
        if self.rule.spec.kind == "threshold":
            return "inactive"
        evidence = self._watch.log_evidence
        if evidence is None:
            return "learning"
        return "pending" if evidence >= _PENDING_NATS else "inactive"

    def record(self) -> Monitor:
        """Return the monitor with everything heard so far."""
        held = self._watch.record()
        life = {**self._life, **{key: held.life[key] for key in _OF_THE_WATCH if key in held.life}}
        if self._heard_at is not None:
            life["last"] = self._heard_at.isoformat()
        if self._buckets:
            life["buckets"] = {str(minute): counts for minute, counts in self._buckets.items()}
        return msgspec.structs.replace(
            held, life=life, alarms=max(self._alarms, held.alarms), last_alarm_at=self._alarmed_at
        )

    def take(self, sample: Sample, now: datetime) -> list[Move]:
        """Hear one sample (the cap per person is the caller's); return what it moves."""
        self._heard_at = now
        moves = self._spoke(now)
        if self._inputs is not None:
            sample = sample._replace(x=float(self._inputs.carried_by(sample.traits)))
        pending = self._life.get("pending")
        if pending and sample.at + self._delay >= datetime.fromisoformat(pending["half"]):
            self._life["pending"] = {**pending, "n": pending["n"] + 1, "bad": pending["bad"] + sample.x}
        if self.rule.spec.kind == "threshold":
            return moves + self._threshold(sample, now)
        if self.open_incident and self._life.get("recovery"):
            fix = VerifiedFix.from_state(self._life["recovery"])
            fix.update(sample.x)
            self._life["recovery"] = dict(fix.state())
        found = self._watch.take(sample, now)
        if found is not None:
            moves += self._found(found, now)
        return moves

    def settle(self, now: datetime) -> tuple[list[Move], bool]:
        """Return what time alone moves, and whether there is something new to write."""
        before = dict(self._life)
        moves = self._in_time(now)
        return moves, bool(moves) or self._life != before

    def _in_time(self, now: datetime) -> list[Move]:
        moves: list[Move] = []
        pending = self._life.get("pending")
        if pending and now - datetime.fromisoformat(pending["since"]) >= timedelta(minutes=self.rule.spec.for_minutes):
            self._life["pending"] = None
            incident = msgspec.convert(pending["incident"], Incident)
            holds = pending["n"] == 0 or pending["bad"] / pending["n"] > incident.reference
            if holds and not self.open_incident:
                moves += self._open(msgspec.structs.replace(incident, detected_at=now))
        if self.open_incident and not self._life.get("silent"):
            moves += self._recovering(now)
        if self._is_silent(now) and not self.open_incident and not self._life.get("silent"):
            moves += self._silence(now)
        return moves

    def let_go(self, ended_at: datetime) -> None:
        """Take note that the incident is over, or was closed by somebody else.

        A group that said nothing is not told of again until it has spoken, and then need not rest.
        """
        self._life.update(open=None, recovery=None, recovered=None)
        if not self._life.get("silent"):
            self._life["ended"] = ended_at.isoformat()

    def accept(self, ended_at: datetime) -> None:
        """Take note that a person has closed the incident: of inputs that says that such are normal from now on."""
        self.let_go(ended_at)
        if self._inputs is not None:
            self._inputs.learn_anew()

    @property
    def inputs(self) -> DriftWatch | None:
        """The watch of what is asked, where this is one."""
        return self._inputs

    def begin_anew(self) -> list[Move]:
        """Return what becomes of an incident that was found by what the watch said before it was declared anew."""
        if self.open_incident is None:
            return []
        move = Move("supersede", self.open_incident)
        self._life.update(open=None, recovery=None, recovered=None, silent=None)
        return [move]

    def dismiss(self) -> None:
        """Take back an `open` that must not be: silenced, or a wider watch has said it already."""
        self._life.update(open=None, recovery=None, silent=None)

    def _spoke(self, now: datetime) -> list[Move]:
        """End a silence: a sample has come."""
        if not self._life.get("silent"):
            return []
        told = self.open_incident
        self.let_go(now)
        self._life["silent"] = None
        return [Move("resolve", told)] if told else []

    def _found(self, found: Incident, now: datetime) -> list[Move]:
        self._alarms, self._alarmed_at = self._alarms + 1, now
        spec = self.rule.spec
        if self.open_incident:
            self._prove(found)  # it still goes on: proof that it is over begins after this
            return [Move("refire", self.open_incident)] if self._life.pop("recovered", None) else []
        if self._rests(now):
            return []
        incident = msgspec.structs.replace(
            found,
            id=derived_id("incident", self.id, str(self._alarms)),
            kind=spec.kind,
            metric=spec.metric,
            rule=self.rule.name,
            segment=self._watch.record().segment,
            held="" if spec.act else _HELD.get(spec.kind, f"the watch {self.rule.name!r} {_TELLS}"),
        )
        if spec.for_minutes > 0:
            if not self._life.get("pending"):
                half = now + timedelta(minutes=spec.for_minutes / 2)  # it holds if it is still so in the second half
                told = {"since": now.isoformat(), "half": half.isoformat(), "n": 0, "bad": 0.0}
                self._life["pending"] = {**told, "incident": msgspec.to_builtins(incident)}
            return []
        return self._open(incident)

    def _open(self, incident: Incident) -> list[Move]:
        self._life["open"] = incident.id
        self._life["opened"] = incident.detected_at.isoformat()
        self._prove(incident)
        return [Move("open", incident.id, incident)]

    def _rests(self, now: datetime) -> bool:
        ended = self._life.get("ended")
        return ended is not None and now - datetime.fromisoformat(ended) < timedelta(
            hours=self.rule.spec.cooldown_hours
        )

    def _prove(self, incident: Incident) -> None:
        """Begin to look for proof that it is over: less than the midpoint of what was found and what is normal."""
        self._life["recovery"] = None
        if self.rule.spec.kind != "threshold":
            least = clopper_pearson_lower(incident.negatives, incident.events, _PROVEN)
            # Never so careful that nothing could prove it over: what is left of the rise at the least is half of it.
            rate = max(least, (incident.observed + incident.reference) / 2)
            fix = VerifiedFix.between(incident_rate=rate, reference_rate=incident.reference)
            self._life["recovery"] = dict(fix.state())

    def _recovering(self, now: datetime) -> list[Move]:
        told = self._life["open"]
        over = self._below() if self.rule.spec.kind == "threshold" else self._verified()
        if not over:
            return []
        opened = datetime.fromisoformat(self._life["opened"])
        if now - opened >= timedelta(hours=self.rule.spec.keep_firing_hours):
            self.let_go(now)
            return [Move("resolve", told)]
        if self._life.get("recovered"):
            return []
        self._life["recovered"] = now.isoformat()
        return [Move("recover", told)]

    def _verified(self) -> bool:
        held = self._life.get("recovery")
        return VerifiedFix.from_state(held).verified if held else False

    def _threshold(self, sample: Sample, now: datetime) -> list[Move]:
        """Count by the minute over the window, as people ask for it; it promises nothing about false alarms."""
        spec = self.rule.spec
        at = int(sample.at.timestamp() // 60)
        self._watch.count(sample)
        n, bad, first = self._buckets.get(at, [0, 0.0, sample.at.isoformat()])
        self._buckets[at] = [n + 1, bad + sample.x, first]
        oldest = max(self._buckets) - spec.window_minutes
        for minute in [minute for minute in self._buckets if minute <= oldest]:
            del self._buckets[minute]
        n, bad = self._window()
        if self.open_incident:
            if self._life.get("recovered") and not self._below():
                self._life["recovered"] = None
                return [Move("refire", self.open_incident)]
            return []
        if self._life.get("pending") or n < spec.min_events or spec.above is None or bad / n <= spec.above:
            return []
        if self._rests(now):
            return []
        began = min(datetime.fromisoformat(first) for _, _, first in self._buckets.values())
        monitor = self._watch.record()
        return self._found(
            Incident(
                id=monitor.id,
                feature=monitor.feature,
                version_id=monitor.version_id,
                monitor_id=monitor.id,
                state="firing",
                onset_at=min(began, now),
                first_signal_at=min(began, now),
                detected_at=now,
                reference=spec.above,
                observed=bad / n,
                events=n,
                negatives=round(bad),
                users=0,
                log_evidence=0.0,
                log_threshold=0.0,
            ),
            now,
        )

    def _window(self) -> tuple[int, float]:
        counts = self._buckets.values()
        return sum(n for n, _, _ in counts), sum(bad for _, bad, _ in counts)

    def _below(self) -> bool:
        spec = self.rule.spec
        n, bad = self._window()
        line = spec.recover_below if spec.recover_below is not None else spec.above
        return n >= spec.min_events and line is not None and bad / n < line

    def _is_silent(self, now: datetime) -> bool:
        hours, last = self.rule.spec.no_data_hours, self._heard_at
        if not hours or last is None:
            return False
        if self._awake_since is not None:  # while the engine was down nothing could be heard
            last = max(last, self._awake_since)
        return now - last >= timedelta(hours=hours)

    def _silence(self, now: datetime) -> list[Move]:
        self._life["silent"] = now.isoformat()
        monitor, last = self._watch.record(), self._heard_at or now
        self._alarms += 1
        incident = Incident(
            id=derived_id("incident", self.id, str(self._alarms)),
            feature=monitor.feature,
            version_id=monitor.version_id,
            monitor_id=monitor.id,
            state="firing",
            onset_at=last,
            first_signal_at=last,
            detected_at=now,
            reference=0.0,
            observed=0.0,
            events=0,
            negatives=0,
            users=0,
            log_evidence=0.0,
            log_threshold=0.0,
            kind="no_data",
            metric=self.rule.spec.metric,
            rule=self.rule.name,
            segment=monitor.segment,
            held=f"nothing was heard for {self.rule.spec.no_data_hours:g} hours",
        )
        self._life["open"] = incident.id
        self._life["opened"] = now.isoformat()
        return [Move("open", incident.id, incident)]


def _held_to(monitor: Monitor, rule: Rule, alpha: float) -> Monitor:
    """Return the monitor as the watch is declared now: what was learned stays unless it answers another question."""
    spec = rule.spec
    about = [spec.metric, spec.kind, spec.limit]
    normal = [spec.reference_rate, spec.baseline_events, spec.baseline_bound, spec.baseline_margin]
    if spec.kind == "drift":
        normal.append(spec.baseline_hours)
    test = [spec.horizon_events, alpha]
    told = monitor.life.get("terms")
    if told == [about, normal, test]:
        return monitor
    life = {"place": monitor.life.get("place", 1), "terms": [about, normal, test]}
    if told is None:  # it was made this moment
        return msgspec.structs.replace(monitor, life={**monitor.life, **life})
    if told[0] == about and told[1] == normal:  # the same question, asked with other care: the test begins anew
        kept = {key: value for key, value in monitor.life.items() if key != "curve"}
        return msgspec.structs.replace(monitor, detector={}, onsets={}, life={**kept, **life})
    kept = {key: monitor.life[key] for key in ("open", "opened", "last") if key in monitor.life}
    return msgspec.structs.replace(
        monitor,
        metric=spec.metric,
        reference=spec.reference_rate,
        reference_kind="target" if spec.reference_rate is not None else "learning",
        learned_votes=0,
        learned_negatives=0.0,
        votes=0,
        negatives=0.0,
        detector={},
        onsets={},
        life={**kept, **life},
    )
