"""A feature in use: a world's users in front of a real engine in a directory of its own, under a clock set by hand."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import numpy as np

from trimtab.act.runner import Runner
from trimtab.clock import SetClock
from trimtab.config import Settings
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import (
    Arm,
    Case,
    Chunk,
    Event,
    Exemplar,
    Feature,
    Feedback,
    FeedbackKind,
    Inference,
    Rollout,
    Version,
)
from trimtab.redact.wall import seal, seal_all
from trimtab.runtime.assemble import assemble
from trimtab.stats.bucket import in_candidate
from trimtab.store.ports import Switch, Writes
from trimtab.study.world import PILOT_WEEKS, START, Ask, Reaction, World, react

__all__ = ["FEATURE", "PROJECT", "REVIEWER", "Answered", "Calm", "Served", "Stream"]

PROJECT = "default"
FEATURE = "study"
REVIEWER = "reviewer-1"
_POST_EVENTS = 4000
_DAY = timedelta(days=1)


class Answered(NamedTuple):
    """What a product says, the chunks it said it from, and how it tags the answer."""

    output: str
    context: Sequence[Chunk] = ()
    tags: Mapping[str, str] = {}


class Served(NamedTuple):
    """One answer given: to what, which was right, what its user did about it, and the chunks it came from."""

    inference_id: str
    ask: Ask
    answer: str
    vote: int | None
    correction: str | None
    sources: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the answer was right when it was given."""
        return self.answer == self.ask.right


class Calm(NamedTuple):
    """The calm time before the start, lived through once: the engine's directory and what was served in it."""

    folder: Path
    served: list[Served]


class Stream(ABC):
    """Serves a world's asks through the engine, and keeps what an arm's people can look at.

    Of the calm time before the start only the last `calm_weeks` are lived through; with `calm` it is over already.
    """

    calm_weeks = PILOT_WEEKS

    def __init__(self, world: World, settings: Settings, runner: Runner, *, calm: Calm | None = None) -> None:
        self.world = world
        self.clock = SetClock(START if calm else START - timedelta(weeks=self.calm_weeks))
        if calm is not None:
            shutil.copytree(calm.folder, settings.storage.path, dirs_exist_ok=True)
        self.engine = assemble(settings, clock=self.clock, runner=runner, inline_runs=True)
        self.served: list[Served] = list(calm.served) if calm else []
        self._versions: dict[str, Version] = {}
        self._shuffle = np.random.default_rng([world.dials.seed, 7])
        self._slips = np.random.default_rng([world.dials.seed, 8])
        if calm is None:
            self._create()

    @abstractmethod
    def _say(self, version: Version, texts: Sequence[str]) -> list[Answered]:
        """Return what the product says to each text where it is served that version."""

    def _begin(self, week: int) -> None:  # noqa: B027  most products do nothing
        """Do what the product does by itself at the beginning of a week (below 0: a calm one)."""

    def _launched(self) -> list[Exemplar]:
        """Return the examples that the product is launched with."""
        return []

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_calm(self) -> Calm:
        """Serve the weeks before the start, close the engine, and return what an arm begins with."""
        for week in range(-self.calm_weeks, 0):
            self.serve_week(week)
        self.close()
        return Calm(Path(self.engine.settings.storage.path), self.served)

    def serve_week(
        self, week: int, after: Callable[[datetime], None] | None = None, *, ends: Sequence[int] = (7,)
    ) -> None:
        """Serve one week (below 0: a calm one) in parts that end with these days of it (1 to 7).

        When the events of a part are handled, `after(now)` is called.
        """
        self._begin(week)
        left = list(self.world.asks_of(week))
        for day in ends:
            now = START + (7 * week + day) * _DAY
            count = bisect_left(left, now, key=lambda ask: ask.at)
            self._serve(left[:count], now)
            left = left[count:]
            if after is not None:
                after(now)

    def pass_time(self, now: datetime) -> None:
        """Let it be that time, nobody having asked anything."""
        self._serve([], now)

    def stable(self) -> Version:
        """Return what the feature serves to everyone who is not in a trial."""
        return self.version(self.rollout().stable_version_id)

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
        return None if right is None else self._told(right)

    def label(self, item: Served) -> str:
        """Return what a reviewer says is right: the truth, but for slips."""
        return self._told(item.ask.right)

    def accuracy(self, cases: Sequence[tuple[str, str]]) -> float:
        """Return the share of (text, right answer) cases that the stable version answers rightly."""
        answers = self._say(self.stable(), [text for text, _ in cases])
        return float(np.mean([said.output == right for said, (_, right) in zip(answers, cases, strict=True)]))

    def _told(self, right: str) -> str:
        return self._another(right) if self.world.dials.reviewer_error > self._slips.random() else right

    def _another(self, right: str) -> str:
        others = [label for label in self.world.labels if label != right]
        return others[int(self._slips.integers(len(others)))]

    def _create(self) -> None:
        now = self.clock.now()
        cleaner = self.engine.redactor.of(PROJECT)
        version = seal(cleaner, Version(feature=FEATURE, created_at=now, exemplars=self._launched(), note="launch"))
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

    def version(self, version_id: str) -> Version:
        """Return a version of the feature. Raises Unavailable for one that is not stored."""
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
        for place, (ask, said, arm) in enumerate(zip(asks, answers, arms, strict=True)):
            about = int(order[place])
            reaction = react(asks[about]._replace(dice=ask.dice), answers[about].output, dials, self.world.labels)
            if dials.silent and begun:
                reaction = Reaction(None)
            inference = Inference(
                id=derived_id("ask", str(dials.seed), str(len(self.served))),
                feature=FEATURE,
                created_at=ask.at,
                input=ask.text,
                output=said.output,
                version_id=rollout.candidate_version_id if arm == "candidate" else rollout.stable_version_id,
                arm=arm,
                user_id=ask.user_id,
                context=list(said.context),
                tags=dict(said.tags),
            )
            events.append(inference)
            events += _feedback(inference, reaction)
            sources = tuple(chunk.id for chunk in said.context)
            self.served.append(Served(inference.id, ask, said.output, reaction.vote, reaction.correction, sources))
        self.clock.set(now)
        self._post(events)
        self.engine.settle(now)

    def _answers(self, rollout: Rollout, asks: Sequence[Ask], arms: Sequence[Arm]) -> list[Answered]:
        answers = self._say(self.version(rollout.stable_version_id), [ask.text for ask in asks])
        tried = [place for place, arm in enumerate(arms) if arm == "candidate"]
        if tried and rollout.candidate_version_id:
            candidate = self.version(rollout.candidate_version_id)
            for place, said in zip(tried, self._say(candidate, [asks[i].text for i in tried]), strict=True):
                answers[place] = said
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
