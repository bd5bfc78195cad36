"""One arm at work: a real engine in a directory of its own, the world's users in front of it, a clock set by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from trimtab.act.memory import ExemplarMemory
from trimtab.clock import SetClock
from trimtab.config import Canary, Embedding, Lake, Monitoring, Playbook, Reviewing, Settings, Storage, Topics
from trimtab.embed.port import Embedder
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Arm, Event, Exemplar, Feature, Feedback, Inference, Rollout, Version
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import assemble
from trimtab.stats.bucket import in_candidate
from trimtab.store.ports import Switch, Writes
from trimtab.study.world import PILOT_WEEKS, START, Ask, Dials, World, react

__all__ = ["FEATURE", "PROJECT", "REVIEWER", "Served", "Session", "study_settings"]

PROJECT = "default"
FEATURE = "study"
REVIEWER = "reviewer-1"
_POST_EVENTS = 4000
_REFIT_WEEKS = 4
_DAY = timedelta(days=1)


class Served(NamedTuple):
    """One answer given: to what, which was right, and what its user did about it."""

    inference_id: str
    ask: Ask
    answer: str
    vote: int | None
    corrected: bool

    @property
    def good(self) -> bool:
        """Whether the answer was right when it was given."""
        return self.answer == self.ask.right


def study_settings(folder: Path, dials: Dials, *, closed: bool) -> Settings:
    """Return the engine's settings of a study: its defaults, scaled to how few votes a small product gets.

    At about 40 votes a week the reference is learned from the calm weeks before the world begins to move, the
    false-alarm horizon is one half year of votes, and a canary is bounded by exposures and days, because so few votes
    cannot prove it harmless: the engine then pauses and asks.
    """
    votes_a_week = dials.per_week * dials.votes_if_good
    return Settings(
        storage=Storage(path=str(folder)),
        embedding=Embedding(kind="none"),  # nobody searches a simulated world
        lake=Lake(enabled=False),  # nor asks for its history
        topics=Topics(every_hours=0),
        review=Reviewing(weekly_items=0),  # an arm says who reviews what
        monitoring=Monitoring(
            baseline_votes=max(50, round(PILOT_WEEKS * votes_a_week)),
            horizon_votes=max(200, round(dials.weeks * votes_a_week * 1.3)),
            false_alarm_rate=0.1,  # a false alarm costs an hour of reviews, a missed decline months
        ),
        playbook=Playbook(
            mode="auto" if closed else "off",
            min_corrections=40,
            max_exemplars=100,
            lookback_days=56.0,
        ),
        canary=Canary(steps=(0.2, 0.5), step_exposures=max(20, dials.per_week // 30), horizon_hours=96.0),
    )


class Session:
    """Serves the stream day by day through the engine, and keeps what an arm's people can look at."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.clock = SetClock(START - timedelta(weeks=PILOT_WEEKS))
        self._seen = dict.fromkeys([row.text for row in world.launch])
        self.memory = ExemplarMemory(self._fit())
        self.engine = assemble(settings, clock=self.clock, runner=self.memory, inline_runs=True)
        self.served: list[Served] = []
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._versions: dict[str, Version] = {}
        self._shuffle = np.random.default_rng([world.dials.seed, 7])
        self._create()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def serve_week(self, week: int, after_day: Callable[[Session, datetime], None] | None = None) -> None:
        """Serve one week (-1: the whole pilot), calling `after_day(self, now)` when each day's events are handled."""
        asks = self.world.pilot if week < 0 else self.world.weeks[week]
        by_day = {day: list(part) for day, part in groupby(asks, key=lambda ask: (ask.at - START) // _DAY)}
        first, last = (-7 * PILOT_WEEKS, 0) if week < 0 else (7 * week, 7 * week + 7)
        for day in range(first, last):
            now = START + (day + 1) * _DAY
            self._serve_day(by_day.get(day, []), now)
            if after_day is not None:
                after_day(self, now)
        if week < 0 or (week + 1) % _REFIT_WEEKS == 0:
            self.memory.refit(self._fit())
            self._vectors.clear()

    def stable(self) -> Version:
        """Return what the feature serves to everyone who is not in a trial."""
        return self._version(self.rollout().stable_version_id)

    def rollout(self) -> Rollout:
        """Return the feature's pointer."""
        rollout = self.engine.store.rollout(PROJECT, FEATURE)
        if rollout is None:
            raise Unavailable(f"feature {FEATURE!r} lost its rollout")
        return rollout

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the texts' vectors in the present space, each computed once per space."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(new, self.memory.embedder.embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    def label(self, item: Served) -> str:
        """Return what a reviewer says is right: the truth, or another item's where feedback is shuffled."""
        if not self.world.dials.shuffled:
            return item.ask.right
        return self.served[int(self._shuffle.integers(len(self.served)))].ask.right

    def review(self, items: Sequence[Served], now: datetime) -> None:
        """Send a reviewer's right answers through ingest, with a vote: up where the answer was right."""
        events: list[Event] = []
        for item in items:
            right = self.label(item)
            vote = Feedback(
                id=derived_id(item.inference_id, "review"),
                kind="thumb",
                value=1.0 if right == item.answer else 0.0,
                created_at=now,
                inference_id=item.inference_id,
                user_id=REVIEWER,
                source="reviewer",
            )
            words_id = derived_id(item.inference_id, "right")
            events += [vote, replace(vote, id=words_id, kind="correction", value=None, text=right)]
        self._post(events)
        self.engine.settle(now)

    def deploy(self, items: Sequence[Served], now: datetime) -> None:
        """Serve a version with these items' right answers added, made and switched by hand."""
        base = self.stable()
        added = [
            Exemplar(
                id=f"x_{derived_id(item.inference_id)[:24]}", input=item.ask.text, output=self.label(item), added_at=now
            )
            for item in items
        ]
        inputs = {item.input for item in added}
        kept = [item for item in base.exemplars if item.input not in inputs]
        version = Version(feature=FEATURE, created_at=now, exemplars=[*kept, *added], parent_id=base.id)
        self.engine.decisions.serve(PROJECT, version, now)

    def accuracy(self, cases: Sequence[tuple[str, str]]) -> float:
        """Return the share of (text, right answer) cases that the stable version answers rightly."""
        answers = self.memory.answer(self.stable(), [text for text, _ in cases])
        return float(np.mean([answer == right for answer, (_, right) in zip(answers, cases, strict=True)]))

    def _fit(self) -> Embedder:
        from trimtab.embed.lsa import fit_lsa  # noqa: PLC0415  a second of importing, not for every command

        return fit_lsa(list(self._seen), seed=self.world.dials.seed)

    def _create(self) -> None:
        now = self.clock.now()
        cleaner = self.engine.redactor.of(PROJECT)
        exemplars = [
            Exemplar(id=f"launch-{place}", input=row.text, output=row.label)
            for place, row in enumerate(self.world.launch)
        ]
        version = seal(cleaner, Version(feature=FEATURE, created_at=now, exemplars=exemplars, note="launch"))
        rollout = Rollout(
            feature=FEATURE,
            stable_version_id=version.record.id,
            updated_at=now,
            id=derived_id("rollout", FEATURE),
            revision=1,
        )
        feature = seal(cleaner, Feature(name=FEATURE, created_at=now))
        self.engine.store.commit(
            {PROJECT: Writes(features=[feature], versions=[version], switches=[Switch(rollout, 0)])}
        )

    def _version(self, version_id: str) -> Version:
        if version_id not in self._versions:
            stored = self.engine.store.version(PROJECT, FEATURE, version_id)
            if stored is None:
                raise Unavailable(f"version {version_id!r} is served but not stored")
            self._versions = {**dict(list(self._versions.items())[-3:]), version_id: stored}
        return self._versions[version_id]

    def _serve_day(self, asks: Sequence[Ask], now: datetime) -> None:
        rollout = self.rollout()
        arms: list[Arm] = [
            "candidate"
            if rollout.candidate_version_id and in_candidate(rollout.id, ask.user_id, rollout.share)
            else "stable"
            for ask in asks
        ]
        answers = self._answers(rollout, asks, arms)
        order = self._shuffle.permutation(len(asks)) if self.world.dials.shuffled else np.arange(len(asks))
        events: list[Event] = []
        for place, (ask, answer, arm) in enumerate(zip(asks, answers, arms, strict=True)):
            about = int(order[place])
            reaction = react(asks[about]._replace(dice=ask.dice), answers[about], self.world.dials, self.world.labels)
            inference = Inference(
                id=derived_id("ask", str(self.world.dials.seed), str(len(self.served))),
                feature=FEATURE,
                created_at=ask.at,
                input=ask.text,
                output=answer,
                version_id=rollout.candidate_version_id if arm == "candidate" else rollout.stable_version_id,
                arm=arm,
                user_id=ask.user_id,
            )
            events.append(inference)
            events += _feedback(inference, reaction.vote, reaction.correction)
            self.served.append(Served(inference.id, ask, answer, reaction.vote, reaction.correction is not None))
            self._seen.setdefault(ask.text)
        self.clock.set(now)
        self._post(events)
        self.engine.settle(now)

    def _answers(self, rollout: Rollout, asks: Sequence[Ask], arms: Sequence[Arm]) -> list[str]:
        answers = self.memory.answer(self._version(rollout.stable_version_id), [ask.text for ask in asks])
        tried = [place for place, arm in enumerate(arms) if arm == "candidate"]
        if tried and rollout.candidate_version_id:
            candidate = self._version(rollout.candidate_version_id)
            for place, answer in zip(tried, self.memory.answer(candidate, [asks[i].text for i in tried]), strict=True):
                answers[place] = answer
        return answers

    def _post(self, events: Sequence[Event]) -> None:
        for start in range(0, len(events), _POST_EVENTS):
            body = msgspec.json.encode(events[start : start + _POST_EVENTS])
            receipt = self.engine.intake.accept_now(PROJECT, body)
            if receipt.rejected:
                raise Unavailable(f"ingest refused an event of the study: {receipt.rejected[0]!r}")


def _feedback(inference: Inference, vote: int | None, correction: str | None) -> list[Event]:
    if vote is None:
        return []
    thumb = Feedback(
        id=derived_id(inference.id, "vote"),
        kind="thumb",
        value=float(vote),
        created_at=inference.created_at + timedelta(seconds=60),
        inference_id=inference.id,
        user_id=inference.user_id,
    )
    if correction is None:
        return [thumb]
    words_id = derived_id(inference.id, "words")
    return [thumb, replace(thumb, id=words_id, kind="correction", value=None, text=correction)]
