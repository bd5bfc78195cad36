"""One group of inputs at work: learns what people ask, then says when they ask for something else, and since when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.config import WatchRule
from trimtab.detect.rules.normal import NO_TOPIC, SIGNS, TOPICS, Normal, packed, unpacked
from trimtab.detect.traits import WORDS, Traits
from trimtab.detect.watch import Sample
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor
from trimtab.stats.detector import RateMonitor
from trimtab.stats.interval import clopper_pearson_upper
from trimtab.stats.shift import least_log_excess, log_excess

__all__ = ["BLOCK", "DriftWatch", "sign_name"]

BLOCK = 50
"""Inputs between two looks."""
WINDOWS = (1, 2, 4, 8, 16)
"""How many of the last blocks are compared with the reference at a look."""

ODD = "odd"
"""The sign of an input with unheard words."""

_HIGHEST = 0.95
_LEAST_CARRIERS = 5
_LEAST_RISE = 0.01  # a share that grew by less is nobody's news, however sure
_NOTHING = -99.0
_CURVE = 64


class _Found(NamedTuple):
    """The sign that speaks loudest at a look: `margin` nats beyond its part of the promise (0 is the alarm)."""

    margin: float
    sign: str
    now: int
    of_now: int
    before: int
    of_before: int
    log_p: float
    blocks: int


class _Block:
    """Counts of consecutive inputs."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        told = state or {}
        self.since: str = told.get("since", "")
        self.inputs: int = told.get("inputs", 0)
        self.words: NDArray[np.int64] = unpacked(told["words"], WORDS) if told else np.zeros(WORDS, np.int64)
        self.signs: NDArray[np.int64] = np.asarray(told.get("signs") or [0] * SIGNS, dtype=np.int64)
        self._whole: dict[str, Any] | None = dict(told) if self.inputs == BLOCK else None

    def state(self) -> dict[str, Any]:
        if self._whole is not None:
            return self._whole
        signs = [int(count) for count in self.signs]
        told = {"since": self.since, "inputs": self.inputs, "words": packed(self.words), "signs": signs}
        if self.inputs == BLOCK:
            self._whole = told
        return told


class DriftWatch:
    """The running form of a Monitor of inputs, with the verbs of `Watch`: feed it samples, take `record()`.

    What is new and alike shows in signs: every 50 inputs the last 50, 100, 200, 400 and 800 are compared with the
    frozen reference, sign by sign (each word, each topic, fits none), by Fisher's exact test. What is new and has
    nothing in common shows in odd inputs, those with unheard words: each is an event of the sequential test of rates,
    against the upper bound of their share in the reference.

    The group's part of the budget pays for all of it: half for words, a quarter for topics, both divided among the
    looks within `horizon_events`, their windows and the signs that could show; an eighth for odd inputs and an eighth
    for what the reference's share of them was by chance. A union bound: it holds however these depend on each other.
    """

    def __init__(self, monitor: Monitor, spec: WatchRule, alpha: float) -> None:
        self._monitor = monitor
        self._spec = spec
        looks = max(1, spec.horizon_events // BLOCK) * len(WINDOWS)
        self._alpha = alpha
        self._log_parts = {"word": math.log(alpha / looks / 2), "sign": math.log(alpha / looks / 4)}
        self._normal = Normal(spec.baseline_events, spec.baseline_hours, monitor.life.get("normal"))
        self._frozen: dict[str, Any] | None = monitor.life.get("normal") if self._normal.frozen else None
        state = monitor.detector
        self._blocks = [_Block(each) for each in state.get("blocks", ())]
        self._sign: str = monitor.life.get("sign", "")
        self._margin: float = state.get("margin", _NOTHING)
        self._curve: list[list[float]] = [list(point) for point in state.get("points", ())]
        self._heard: int = state.get("heard", 0)
        self._rate = RateMonitor.from_state(state["rate"]) if state.get("rate") else None
        self._inputs, self._off_topic = monitor.votes, monitor.negatives

    @property
    def log_evidence(self) -> float | None:
        """How far the last look was from an alarm, in nats: 0 is the alarm; None while the reference is learned."""
        return self._margin if self._normal.frozen else None

    @property
    def monitor_id(self) -> str:
        """The monitor's id, under which its cap per person is remembered."""
        return self._monitor.id

    @property
    def feature(self) -> str:
        """The feature whose inputs it hears."""
        return self._monitor.feature

    @property
    def normal(self) -> Normal:
        """The reference."""
        return self._normal

    def record(self) -> Monitor:
        """Return the monitor with everything seen so far."""
        if self._frozen is None:
            state = self._normal.state()
            self._frozen = state if self._normal.frozen else None
        else:
            state = self._frozen
        normal = self._normal
        share = normal.signs[NO_TOPIC] / normal.signed if normal.signed else 0.0
        return msgspec.structs.replace(
            self._monitor,
            reference=float(min(max(share, 1e-6), 1 - 1e-6)) if normal.frozen else None,
            reference_kind="baseline" if normal.frozen else "learning",
            learned_votes=normal.inputs,
            votes=self._inputs,
            negatives=self._off_topic,
            detector={
                "blocks": [block.state() for block in self._blocks],
                "margin": self._margin,
                "points": self._curve,
                "heard": self._heard,
                "rate": dict(self._rate.state()) if self._rate is not None else None,
            },
            life={**self._monitor.life, "normal": state, "sign": self._sign, "curve": None},
        )

    def carried_by(self, traits: Traits | None) -> bool:
        """Say whether an input carries the sign of the last alarm."""
        if traits is None or not self._sign:
            return False
        if self._sign == ODD:
            return self._normal.is_odd(traits)
        kind, _, place = self._sign.partition(":")
        held = traits.words if kind == "word" else self._normal.signs_of(traits)
        return int(place) in held

    def count(self, sample: Sample) -> None:
        """Count an input that is not tested."""
        self._inputs += 1
        traits = sample.traits
        if traits is not None and NO_TOPIC in self._normal.signs_of(traits):
            self._off_topic += 1

    def take(self, sample: Sample, now: datetime) -> Incident | None:
        """Count one input (the cap per person is the caller's); return an incident when a look raised the alarm."""
        traits = sample.traits
        if traits is None:
            return None
        self._inputs += 1
        if not self._normal.frozen:
            self._normal.learn(traits, now)
            return None
        signs = self._normal.signs_of(traits)
        self._off_topic += NO_TOPIC in signs
        block = self._block(now)
        block.words[traits.words] += 1
        block.signs[signs] += 1
        block.inputs += 1
        self._heard += 1
        found = self._odd(traits)
        if block.inputs == BLOCK:
            found = self._look() or found
        return self._alarm(found, now) if found is not None else None

    def learn_anew(self) -> None:
        """Begin with a new reference: a person has said that what is asked now is normal."""
        self._normal = Normal(self._spec.baseline_events, self._spec.baseline_hours)
        self._frozen, self._sign = None, ""
        self._rest()

    def _rest(self) -> None:
        self._blocks, self._margin, self._curve, self._heard, self._rate = [], _NOTHING, [], 0, None

    def _block(self, now: datetime) -> _Block:
        if not self._blocks or self._blocks[-1].inputs == BLOCK:
            self._blocks = [*self._blocks[1 - WINDOWS[-1] :], _Block()]
            self._blocks[-1].since = now.isoformat()
        return self._blocks[-1]

    def _odd(self, traits: Traits) -> _Found | None:
        """Let the test of rates hear whether an input is odd; return what it found."""
        normal, part = self._normal, self._alpha / 8
        if self._rate is None:
            usual = min(clopper_pearson_upper(normal.odd, normal.signed, 1 - part), _HIGHEST)
            self._rate = RateMonitor(usual, horizon=self._spec.horizon_events, alpha=part)
        rate = self._rate
        rate.update(normal.is_odd(traits))
        onset = rate.onset
        if rate.evidence < 0 or onset is None or rate.n < self._spec.min_events:
            return None
        blocks = min(-(-onset.n // BLOCK), len(self._blocks))
        bad = round(onset.bad)
        return _Found(rate.evidence, ODD, bad, onset.n, normal.odd, normal.signed, -rate.log_stat, blocks)

    def _look(self) -> _Found | None:
        words, signs = np.zeros(WORDS, np.int64), np.zeros(SIGNS, np.int64)
        best: _Found | None = None
        for size, block in enumerate(reversed(self._blocks), 1):
            words += block.words
            signs += block.signs
            if size in WINDOWS:
                normal = self._normal
                for kind, counts, before, of in (
                    ("word", words, normal.words, normal.inputs),
                    ("sign", signs, normal.signs, normal.signed),
                ):
                    found = _loudest(kind, counts, size, before, of, self._log_parts[kind])
                    if found is not None and (best is None or found.margin > best.margin):
                        best = found
        self._margin = max(best.margin if best else _NOTHING, self._rate.evidence if self._rate else _NOTHING)
        self._curve = [*self._curve, [self._heard, round(self._margin, 3)]][-_CURVE:]
        return best if best is not None and best.margin >= 0 else None

    def _alarm(self, found: _Found, now: datetime) -> Incident:
        monitor = self._monitor
        self._sign = found.sign
        since = datetime.fromisoformat(self._blocks[-found.blocks].since)
        recent = self._blocks[-found.blocks :]
        signs = sum((block.signs for block in recent), np.zeros(SIGNS, np.int64))
        normal = self._normal
        told = {
            "sign": sign_name(found.sign),
            "share": found.now / found.of_now,
            "share_before": found.before / found.of_before,
            "new_topics": int(signs[NO_TOPIC]) / sum(block.inputs for block in recent),
            "new_topics_before": int(normal.signs[NO_TOPIC]) / normal.signed,
            "reference_inputs": normal.inputs,
        }
        incident = Incident(
            id=derived_id("incident", monitor.id, str(monitor.alarms + 1)),
            feature=monitor.feature,
            version_id=monitor.version_id,
            monitor_id=monitor.id,
            state="firing",
            onset_at=min(since, now),
            first_signal_at=min(since, now),
            detected_at=now,
            reference=(found.before + 1) / (found.of_before + 2),
            observed=found.now / found.of_now,
            events=found.of_now,
            negatives=found.now,
            users=0,
            log_evidence=-found.log_p,
            log_threshold=-found.log_p - found.margin,
            kind="drift",
            metric="input",
            detail={"curve": self._curve, "drift": told},
        )
        self._monitor = msgspec.structs.replace(monitor, alarms=monitor.alarms + 1, last_alarm_at=now)
        self._rest()
        return incident


def sign_name(sign: str) -> str:
    """Return the words for a sign, but for the word itself, which is not kept."""
    kind, _, place = sign.partition(":")
    if kind != "sign":
        return "a word" if kind == "word" else "unheard words"
    if int(place) < TOPICS:
        return f"topic {int(place) + 1}"
    return ("fits no topic", "fits no topic by far")[int(place) - TOPICS]


def _loudest(
    kind: str, counts: NDArray[np.int64], blocks: int, before: NDArray[np.int64], of: int, log_part: float
) -> _Found | None:
    """Return the sign that is surest to be more common now, if any is more common by a hundredth.

    Divided by the signs of which either side holds five: their number is the same however inputs are dealt out.
    """
    inputs = blocks * BLOCK
    family = int(np.count_nonzero(counts + before >= _LEAST_CARRIERS))
    limit = log_part - math.log(max(family, 1))
    risen = (counts >= _LEAST_CARRIERS) & (counts / inputs - before / of >= _LEAST_RISE)
    places = np.flatnonzero(risen)
    if not len(places):
        return None
    log_ps = least_log_excess(counts[places], inputs, before[places], of)
    for each in np.flatnonzero(log_ps <= limit):  # hardly ever any: only these are worth their whole sum
        log_ps[each] = log_excess(int(counts[places[each]]), inputs, int(before[places[each]]), of)
    best = int(log_ps.argmin())
    place, log_p = int(places[best]), float(log_ps[best])
    now, then = int(counts[place]), int(before[place])
    return _Found(limit - log_p, f"{kind}:{place}", now, inputs, then, of, log_p, blocks)
