"""A small world for tests of the loop: a product, its users, and the stages over a real store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runs import DbosRuns
from trimtab.act.stage import ActStage
from trimtab.clock import SetClock
from trimtab.config import Canary, Gate, Monitoring, Playbook, Settings
from trimtab.detect.stage import DetectStage
from trimtab.enrich.stage import EnrichStage
from trimtab.ids import derived_id
from trimtab.records import Feature, Feedback, Inference, Payload, Project, Rollout, Version, text_of
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal, seal_all
from trimtab.runtime.assemble import Stage
from trimtab.stats.bucket import in_candidate
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Switch, Writes

START = datetime(2026, 1, 5, tzinfo=UTC)
PROJECT = "default"
FEATURE = "support"
SETTINGS = Settings(
    monitoring=Monitoring(reference_rate=0.1, horizon_votes=2000, min_users=5),
    playbook=Playbook(cooldown_hours=1),
    gate=Gate(),
    canary=Canary(steps=(0.2, 0.5), step_hours=1, step_exposures=20, horizon_hours=24 * 7),
)


class Lookup:
    """A runner that knows exactly its exemplars: the answer to an input is the exemplar with those words."""

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        known = {item.input: item.output for item in version.exemplars}
        return [known.get(text_of(each), "") for each in inputs]


class LoopWorld:
    """Stages over a store in `folder`, fed by users who ask `questions` and vote on what they get.

    `truth` says what the right answer to a question is; a user votes down a wrong one, and says the right answer.
    """

    def __init__(self, folder: Path, *, settings: Settings = SETTINGS, seed: int = 0) -> None:
        self.clock = SetClock(START)
        self.random = random.Random(seed)
        self.redactor = Redactor(key=bytes(32))
        self.store: HotStore = open_sqlite(folder / "trimtab.db")
        self.runner = Lookup()
        self.playbook = IncidentPlaybook(self.store, self.redactor, settings, self.runner)
        self.runs = DbosRuns(self.playbook, folder / "workflows.db", inline=True)
        self.stages: list[Stage] = [
            EnrichStage(self.store),
            DetectStage(self.store, settings.monitoring, settings.features),
            ActStage(self.store, settings, self.playbook, self.runs),
        ]
        self.count = 0

    def close(self) -> None:
        self.runs.close()
        self.store.close()

    def launch(self, version: Version | None = None) -> Version:
        """Create project and feature, serving `version` (or an empty one)."""
        made = seal(self.redactor, version or Version(feature=FEATURE, created_at=START))
        rollout = Rollout(
            feature=FEATURE, stable_version_id=made.record.id, updated_at=START, id=derived_id("r"), revision=1
        )
        feature = seal(self.redactor, Feature(name=FEATURE, created_at=START))
        writes = Writes(
            projects=[Project(id=PROJECT, created_at=START)],
            features=[feature],
            versions=[made],
            switches=[Switch(rollout, 0)],
        )
        self.store.commit({PROJECT: writes})
        return made.record

    def tick(self) -> int:
        return sum(stage.tick(self.clock.now()) for stage in self.stages)

    def day(self, truth: dict[str, str], *, answers: int = 96, vote_rate: float = 0.6, users: int = 3000) -> None:
        """Let users ask for a day, in hourly lots, ticking after each."""
        for _ in range(24):
            self.serve(truth, answers=max(answers // 24, 1), vote_rate=vote_rate, users=users)
            self.clock.advance(timedelta(hours=1))
            while self.tick():
                pass

    def serve(self, truth: dict[str, str], *, answers: int, vote_rate: float = 1.0, users: int = 3000) -> None:
        """Serve answers as an app with the SDK would, and append what comes of it."""
        rollout = self.store.rollout(PROJECT, FEATURE)
        assert rollout is not None
        events: list[Inference | Feedback] = []
        for _ in range(answers):
            user = f"user-{self.random.randrange(users)}"
            question = self.random.choice(sorted(truth))
            candidate = rollout.candidate_version_id is not None and in_candidate(rollout.id, user, rollout.share)
            version_id = rollout.candidate_version_id if candidate else rollout.stable_version_id
            assert version_id is not None
            version = self.store.version(PROJECT, FEATURE, version_id)
            assert version is not None
            output = self.runner.answer(version, [question])[0]
            events += self._turn(user, question, output, truth[question], version_id, candidate, vote_rate)
        sealed = seal_all(self.redactor, events)
        self.store.append([Arrival(PROJECT, event, self.clock.now()) for event in sealed])

    def _turn(
        self, user: str, question: str, output: str, right: str, version_id: str, candidate: bool, vote_rate: float
    ) -> list[Inference | Feedback]:
        self.count += 1
        now = self.clock.now()
        inference = Inference(
            id=derived_id("inference", str(self.count)),
            feature=FEATURE,
            created_at=now,
            input=question,
            output=output,
            version_id=version_id,
            arm="candidate" if candidate else "stable",
            user_id=user,
        )
        events: list[Inference | Feedback] = [inference]
        if self.random.random() < vote_rate:
            good = output == right
            vote_id = derived_id("vote", str(self.count))
            vote = Feedback(
                id=vote_id, kind="thumb", created_at=now, inference_id=inference.id, user_id=user, value=float(good)
            )
            events.append(vote)
            if not good:
                events.append(
                    Feedback(
                        id=derived_id("correction", str(self.count)),
                        kind="correction",
                        created_at=now,
                        inference_id=inference.id,
                        user_id=user,
                        text=right,
                    )
                )
        return events
