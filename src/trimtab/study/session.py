"""One arm at work where the product is a memory of examples: what people teach it, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from trimtab.act.memory import ExemplarMemory
from trimtab.act.review import item_id, verdict_id
from trimtab.config import Canary, Embedding, Lake, Monitoring, Outcomes, Playbook, Reviewing, Settings, Storage, Topics
from trimtab.errors import Conflict
from trimtab.ids import content_id, derived_id
from trimtab.records import Event, Exemplar, Feedback, ReviewItem, Verdict, Version
from trimtab.redact.wall import seal_all
from trimtab.store.ports import Writes
from trimtab.study.spaces import Spaces
from trimtab.study.stream import FEATURE, PROJECT, REVIEWER, Answered, Calm, Served, Stream
from trimtab.study.world import PILOT_WEEKS, Dials, World

__all__ = ["Session", "study_settings"]

_NEVER = 1_000_000_000
_HOW_SURE = Reviewing().confidence_tag
_KEPT = timedelta(weeks=5)  # no older answer is asked about
_SHRINKAGE = 1.0
_BALANCE = 0.5
_CENTRES = 1.0


def study_settings(folder: Path, dials: Dials, *, automatic: bool = False, themes: bool = True) -> Settings:
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
        # an arm says who reviews what
        review=Reviewing(weekly_items=0) if themes else Reviewing(weekly_items=0, suspects_per_item=1.0),
        monitoring=Monitoring(
            baseline_votes=max(50, round(PILOT_WEEKS * votes_a_week)),
            horizon_votes=max(200, round(dials.weeks * votes_a_week * 1.3)),
            false_alarm_rate=0.05,
        ),
        playbook=Playbook(
            mode="auto" if automatic else "off", min_corrections=1, max_exemplars=400, lookback_days=56.0
        ),
        canary=Canary(steps=(0.2,), step_exposures=max(20, dials.per_week // 100), horizon_hours=96.0),
    )


class Session(Stream):
    """A feature whose product is a memory of examples; it `says_how_sure` it is in a tag of each answer, or not."""

    def __init__(
        self,
        world: World,
        spaces: Spaces,
        settings: Settings,
        *,
        calm: Calm | None = None,
        says_how_sure: bool = False,
    ) -> None:
        self._spaces = spaces
        self._says_how_sure = says_how_sure
        first = 0 if calm else -PILOT_WEEKS
        self.memory = ExemplarMemory(spaces.at(first), shrinkage=_SHRINKAGE, balance=_BALANCE, centres=_CENTRES)
        super().__init__(world, settings, self.memory, calm=calm)
        self.engine.queue.embed_with(lambda _: self.memory.embedder)  # fitted on what was seen, as a server's own

    def _say(self, version: Version, texts: Sequence[str]) -> list[Answered]:
        if not self._says_how_sure:
            return [Answered(answer) for answer in self.memory.answer(version, texts)]
        said = self.memory.consider(version, texts)
        return [
            Answered(answer, tags={_HOW_SURE: f"{margin:.4f}"})
            for answer, margin in zip(said.answers, said.margin, strict=True)
        ]

    def _begin(self, week: int) -> None:
        self.memory.refit(self._spaces.at(week))

    def _launched(self) -> list[Exemplar]:
        return [
            Exemplar(id=f"launch-{place}", input=row.text, output=row.label)
            for place, row in enumerate(self.world.launch)
        ]

    def ask(self, items: Sequence[Served], audit: Collection[str], now: datetime) -> list[ReviewItem]:
        """Return review items about these answers; those named in `audit` were drawn at random."""
        return [
            ReviewItem(
                id=item_id(item.inference_id),
                feature=FEATURE,
                inference_id=item.inference_id,
                source="random" if item.inference_id in audit else "queue",
                state="open",
                reason="",
                priority=1.0,
                opened_at=now,
            )
            for item in items
        ]

    def judge(self, asked: Sequence[ReviewItem], now: datetime) -> list[str]:
        """Let the reviewer judge these answers of the last weeks; return what is right of each.

        As over HTTP: a vote, and what is right where they were wrong.
        """
        served = {item.inference_id: item for item in self.since(now - _KEPT)}
        items = [served[each.inference_id] for each in asked]
        rights = [self.label(item) for item in items]
        done: list[ReviewItem] = []
        events: list[Event] = []
        for each, item, right in zip(asked, items, rights, strict=True):
            verdict = "good" if right == item.answer else "bad"
            judged = replace(each, state="done", verdict=verdict, closed_at=now, reserved_by=REVIEWER)
            said = _said(item, right, now)
            done.append(judged)
            events.append(replace(said[0], id=verdict_id(judged, "thumb")))
            if verdict == "bad":
                events.append(replace(said[1], id=verdict_id(judged, "correction")))
        self._post(events)
        sealed = seal_all(self.engine.redactor.of(PROJECT), done)
        self.engine.store.commit({PROJECT: Writes(reviewed=sealed)})
        self.engine.settle(now)
        return rights

    def look(self, now: datetime, budget: int) -> int:
        """Let the reviewer look at old examples that seem out of date; return how many, at most `budget`."""
        looks, cleaner = self.engine.queue.looks, self.engine.redactor.of(PROJECT)
        raised = looks.raise_doubts(PROJECT, FEATURE, now, budget=budget)
        shown = looks.shown(PROJECT, raised)
        ended: set[str | None] = set()
        count = 0
        for item in raised:
            if item.doubt_id in ended or item.id not in shown:
                continue
            count += 1
            example = shown[item.id]
            right = self.right_now(example.input, now)
            verdict: Verdict = "skip" if right is None else "good" if right == example.output else "bad"
            confirms = looks.confirms(PROJECT, item, verdict, right if verdict == "bad" else None)
            if not confirms:
                ended.add(item.doubt_id)
            told = {"verdict": verdict, "confirms": confirms, "closed_at": now, "reserved_by": REVIEWER}
            judged = replace(item, state="skipped" if verdict == "skip" else "done", **told)
            self.engine.store.commit({PROJECT: Writes(reviewed=seal_all(cleaner, [judged]))})
        return count

    def learn(self, now: datetime) -> None:
        """Order what was reviewed to be learned, if anything is new."""
        with suppress(Conflict):
            self.engine.learning.order(PROJECT, FEATURE, now)

    def poison(self, items: Sequence[Served], now: datetime) -> None:
        """Send wrong right answers in a reviewer's name."""
        self._post([said for item in items for said in _said(item, self._another(item.ask.right), now)])
        self.engine.settle(now)

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


def _said(item: Served, right: str, now: datetime) -> tuple[Feedback, Feedback]:
    """Return a reviewer's vote on an answer, and their words on what is right."""
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
    return vote, replace(vote, id=words_id, kind="correction", value=None, text=right)
