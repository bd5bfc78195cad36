"""One arm at work: a real engine in a directory of its own, the world's users in front of it, a clock set by hand."""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from trimtab.act.memory import ExemplarMemory
from trimtab.act.reviewed import ReviewedBatch
from trimtab.clock import SetClock
from trimtab.config import Canary, Embedding, Lake, Monitoring, Outcomes, Playbook, Reviewing, Settings, Storage, Topics
from trimtab.errors import Unavailable
from trimtab.ids import content_id, derived_id
from trimtab.records import Arm, Case, Event, Exemplar, Feature, Feedback, FeedbackKind, Inference, Rollout, Version
from trimtab.redact.wall import seal, seal_all
from trimtab.runtime.assemble import assemble
from trimtab.stats.bucket import in_candidate
from trimtab.store.ports import Switch, Writes
from trimtab.study.spaces import Spaces
from trimtab.study.world import PILOT_WEEKS, START, Ask, Dials, Reaction, World, react

__all__ = ["FEATURE", "PROJECT", "REVIEWER", "Calm", "Served", "Session", "study_settings"]

PROJECT = "default"
FEATURE = "study"
REVIEWER = "reviewer-1"
_POST_EVENTS = 4000
_NEVER = 1_000_000_000
_SHRINKAGE = 1.0
_BALANCE = 0.5
_CENTRES = 1.0
_DAY = timedelta(days=1)


class Served(NamedTuple):
    """One answer given: to what, which was right, and what its user did about it."""

    inference_id: str
    ask: Ask
    answer: str
    vote: int | None
    correction: str | None

    @property
    def good(self) -> bool:
        """Whether the answer was right when it was given."""
        return self.answer == self.ask.right


class Calm(NamedTuple):
    """The calm time before the start, lived through once: the engine's directory and what was served in it."""

    folder: Path
    served: list[Served]


def study_settings(folder: Path, dials: Dials, *, automatic: bool = False) -> Settings:
    """Return the engine's settings of a study: its defaults, scaled to how few votes a small product gets.

    At about 40 votes a week the reference is learned from the calm weeks before the world begins to move, and the
    false-alarm horizon is one half year of votes. A canary lasts a day: so few votes cannot prove it harmless, so the
    engine asks, and the person who reviewed the batch answers. Only an `automatic` engine acts on its own.
    """
    votes_a_week = dials.per_week * dials.votes_if_good
    return Settings(
        storage=Storage(path=str(folder)),
        embedding=Embedding(kind="none"),  # nobody searches a simulated world
        lake=Lake(enabled=False),  # nor asks for its history
        topics=Topics(every_hours=0),
        outcome=Outcomes(min_votes=_NEVER, min_audit=_NEVER, window_days=1.0),  # hints count as shipped
        review=Reviewing(weekly_items=0),  # an arm says who reviews what
        monitoring=Monitoring(
            baseline_votes=max(50, round(PILOT_WEEKS * votes_a_week)),
            horizon_votes=max(200, round(dials.weeks * votes_a_week * 1.3)),
            false_alarm_rate=0.05,
        ),
        playbook=Playbook(
            mode="auto" if automatic else "off", min_corrections=1, max_exemplars=100, lookback_days=56.0
        ),
        canary=Canary(steps=(0.2,), step_exposures=max(20, dials.per_week // 100), horizon_hours=96.0),
    )


class Session:
    """Serves the stream through the engine, and keeps what an arm's people can look at."""

    def __init__(self, world: World, spaces: Spaces, settings: Settings, *, calm: Calm | None = None) -> None:
        self.world = world
        self._spaces = spaces
        self.clock = SetClock(START if calm else START - timedelta(weeks=PILOT_WEEKS))
        first = 0 if calm else -PILOT_WEEKS
        self.memory = ExemplarMemory(spaces.at(first), shrinkage=_SHRINKAGE, balance=_BALANCE, centres=_CENTRES)
        if calm is not None:
            shutil.copytree(calm.folder, settings.storage.path, dirs_exist_ok=True)
        self.engine = assemble(settings, clock=self.clock, runner=self.memory, inline_runs=True)
        engine = self.engine
        self.batch = ReviewedBatch(
            engine.store, engine.redactor, settings, engine.playbook.exams, turn=engine.decisions.turn
        )
        self.served: list[Served] = list(calm.served) if calm else []
        self._versions: dict[str, Version] = {}
        self._shuffle = np.random.default_rng([world.dials.seed, 7])
        self._slips = np.random.default_rng([world.dials.seed, 8])
        if calm is None:
            self._create()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def serve_calm(self) -> Calm:
        """Serve the weeks before the start, close the engine, and return what an arm begins with."""
        for week in range(-PILOT_WEEKS, 0):
            self.serve_week(week)
        self.close()
        return Calm(Path(self.engine.settings.storage.path), self.served)

    def serve_week(
        self, week: int, after: Callable[[Session, datetime], None] | None = None, *, ends: Sequence[int] = (7,)
    ) -> None:
        """Serve one week (below 0: a calm one) in parts that end with these days of it (1 to 7).

        When the events of a part are handled, `after(self, now)` is called.
        """
        self.memory.refit(self._spaces.at(week))
        left = list(self.world.asks_of(week))
        for day in ends:
            now = START + (7 * week + day) * _DAY
            count = bisect_left(left, now, key=lambda ask: ask.at)
            self._serve(left[:count], now)
            left = left[count:]
            if after is not None:
                after(self, now)

    def pass_time(self, now: datetime) -> None:
        """Let it be that time, nobody having asked anything."""
        self._serve([], now)

    def stable(self) -> Version:
        """Return what the feature serves to everyone who is not in a trial."""
        return self._version(self.rollout().stable_version_id)

    def rollout(self) -> Rollout:
        """Return the feature's pointer."""
        rollout = self.engine.store.rollout(PROJECT, FEATURE)
        if rollout is None:
            raise Unavailable(f"feature {FEATURE!r} lost its rollout")
        return rollout

    def since(self, when: datetime) -> list[Served]:
        """Return what was served since then, oldest first."""
        return self.served[bisect_left(self.served, when, key=lambda item: item.ask.at) :]

    def right_now(self, text: str, now: datetime) -> str | None:
        """Return what is right for a text at that time, as a reviewer says it; None for one redacted past knowing."""
        right = self.world.right_at(text, now)
        if right is None:
            return None
        return self._another(right) if self.world.dials.reviewer_error > self._slips.random() else right

    def label(self, item: Served) -> str:
        """Return what a reviewer says is right: the truth, but for slips."""
        if self.world.dials.reviewer_error > self._slips.random():
            return self._another(item.ask.right)
        return item.ask.right

    def review(self, items: Sequence[Served], now: datetime) -> list[str]:
        """Send a reviewer's right answers through ingest, with a vote: up where the answer was right. Return them."""
        rights = [self.label(item) for item in items]
        self._say(list(zip(items, rights, strict=True)), now)
        return rights

    def poison(self, items: Sequence[Served], now: datetime) -> None:
        """Send wrong right answers in a reviewer's name."""
        self._say([(item, self._another(item.ask.right)) for item in items], now)

    def deploy(self, told: Sequence[tuple[Served, str]], now: datetime) -> None:
        """Serve a version with these right answers added, made and switched by hand."""
        base = self.stable()
        latest = {item.ask.text: (item, right) for item, right in told}
        added = [
            Exemplar(id=f"x_{derived_id(item.inference_id)[:24]}", input=text, output=right, added_at=now)
            for text, (item, right) in latest.items()
        ]
        kept = [item for item in base.exemplars if item.input not in latest]
        version = Version(feature=FEATURE, created_at=now, exemplars=[*kept, *added], parent_id=base.id)
        self.engine.decisions.serve(PROJECT, version, now)

    def know(self, told: Sequence[tuple[str, str]], now: datetime) -> None:
        """Serve a version that knows these right answers, and of all it knew before what is right now."""
        base = self.stable()
        right = {item.input: self.world.right_at(item.input, now) or item.output for item in base.exemplars}
        right.update(told)
        exemplars = [
            Exemplar(id=content_id("x", text.encode()), input=text, output=answer) for text, answer in right.items()
        ]
        version = Version(feature=FEATURE, created_at=now, exemplars=exemplars, parent_id=base.id)
        self.engine.decisions.serve(PROJECT, version, now)

    def accuracy(self, cases: Sequence[tuple[str, str]]) -> float:
        """Return the share of (text, right answer) cases that the stable version answers rightly."""
        answers = self.memory.answer(self.stable(), [text for text, _ in cases])
        return float(np.mean([answer == right for answer, (_, right) in zip(answers, cases, strict=True)]))

    def _another(self, right: str) -> str:
        others = [label for label in self.world.labels if label != right]
        return others[int(self._slips.integers(len(others)))]

    def _say(self, told: Sequence[tuple[Served, str]], now: datetime) -> None:
        events: list[Event] = []
        for item, right in told:
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
        golden = [
            Case(id=derived_id("golden", row.text), feature=FEATURE, created_at=now, input=row.text, expected=row.label)
            for row in self.world.golden
        ]
        cases = seal_all(cleaner, golden)
        self.engine.store.commit(
            {PROJECT: Writes(features=[feature], versions=[version], cases=cases, switches=[Switch(rollout, 0)])}
        )

    def _version(self, version_id: str) -> Version:
        if version_id not in self._versions:
            stored = self.engine.store.version(PROJECT, FEATURE, version_id)
            if stored is None:
                raise Unavailable(f"version {version_id!r} is served but not stored")
            self._versions = {**dict(list(self._versions.items())[-3:]), version_id: stored}
        return self._versions[version_id]

    def _serve(self, asks: Sequence[Ask], now: datetime) -> None:
        rollout = self.rollout()
        arms: list[Arm] = [
            "candidate"
            if rollout.candidate_version_id and in_candidate(rollout.id, ask.user_id, rollout.share)
            else "stable"
            for ask in asks
        ]
        answers = self._answers(rollout, asks, arms)
        dials, begun = self.world.dials, now > START
        order = self._shuffle.permutation(len(asks)) if dials.shuffled and begun else np.arange(len(asks))
        events: list[Event] = []
        for place, (ask, answer, arm) in enumerate(zip(asks, answers, arms, strict=True)):
            about = int(order[place])
            reaction = react(asks[about]._replace(dice=ask.dice), answers[about], dials, self.world.labels)
            if dials.silent and begun:
                reaction = Reaction(None)
            inference = Inference(
                id=derived_id("ask", str(dials.seed), str(len(self.served))),
                feature=FEATURE,
                created_at=ask.at,
                input=ask.text,
                output=answer,
                version_id=rollout.candidate_version_id if arm == "candidate" else rollout.stable_version_id,
                arm=arm,
                user_id=ask.user_id,
            )
            events.append(inference)
            events += _feedback(inference, reaction)
            self.served.append(Served(inference.id, ask, answer, reaction.vote, reaction.correction))
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


def _feedback(inference: Inference, reaction: Reaction) -> list[Event]:
    """Return what the user sent: hints as the app's SDK reports them, then the vote and the words."""
    told: list[tuple[FeedbackKind, float | None, str | None]] = [(hint, None, None) for hint in reaction.hints]
    if reaction.vote is not None:
        told.append(("thumb", float(reaction.vote), None))
    if reaction.correction is not None:
        told.append(("correction", None, reaction.correction))
    return [
        Feedback(
            id=derived_id(inference.id, kind),
            kind=kind,
            value=value,
            text=text,
            created_at=inference.created_at + timedelta(seconds=60),
            inference_id=inference.id,
            user_id=inference.user_id,
        )
        for kind, value, text in told
    ]
