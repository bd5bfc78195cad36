"""One arm at work where the product is a memory of examples: what people teach it, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from trimtab.act.memory import ExemplarMemory
from trimtab.act.reviewed import ReviewedBatch
from trimtab.config import Canary, Embedding, Lake, Monitoring, Outcomes, Playbook, Reviewing, Settings, Storage, Topics
from trimtab.ids import content_id, derived_id
from trimtab.records import Event, Exemplar, Feedback, Version
from trimtab.study.spaces import Spaces
from trimtab.study.stream import FEATURE, PROJECT, REVIEWER, Answered, Calm, Served, Stream
from trimtab.study.world import PILOT_WEEKS, Dials, World

__all__ = ["Session", "study_settings"]

_NEVER = 1_000_000_000
_SHRINKAGE = 1.0
_BALANCE = 0.5
_CENTRES = 1.0


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


class Session(Stream):
    """A feature whose product is a memory of examples."""

    def __init__(self, world: World, spaces: Spaces, settings: Settings, *, calm: Calm | None = None) -> None:
        self._spaces = spaces
        first = 0 if calm else -PILOT_WEEKS
        self.memory = ExemplarMemory(spaces.at(first), shrinkage=_SHRINKAGE, balance=_BALANCE, centres=_CENTRES)
        super().__init__(world, settings, self.memory, calm=calm)
        engine = self.engine
        self.batch = ReviewedBatch(
            engine.store, engine.redactor, settings, engine.playbook.exams, turn=engine.decisions.turn
        )

    def _say(self, version: Version, texts: Sequence[str]) -> list[Answered]:
        return [Answered(answer) for answer in self.memory.answer(version, texts)]

    def _begin(self, week: int) -> None:
        self.memory.refit(self._spaces.at(week))

    def _launched(self) -> list[Exemplar]:
        return [
            Exemplar(id=f"launch-{place}", input=row.text, output=row.label)
            for place, row in enumerate(self.world.launch)
        ]

    def review(self, items: Sequence[Served], now: datetime) -> list[str]:
        """Send a reviewer's right answers through ingest, with a vote: up where the answer was right. Return them."""
        rights = [self.label(item) for item in items]
        self._hear(list(zip(items, rights, strict=True)), now)
        return rights

    def poison(self, items: Sequence[Served], now: datetime) -> None:
        """Send wrong right answers in a reviewer's name."""
        self._hear([(item, self._another(item.ask.right)) for item in items], now)

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

    def _hear(self, told: Sequence[tuple[Served, str]], now: datetime) -> None:
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
