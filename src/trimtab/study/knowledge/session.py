"""One arm at work where the product answers from documents: the engine beside it, and the door of its index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from trimtab.client.indexer import work_off
from trimtab.client.ledger import Ledger
from trimtab.client.transport import Answer
from trimtab.config import (
    Canary,
    Embedding,
    Knowledge,
    Lake,
    Monitoring,
    Outcomes,
    Playbook,
    Reviewing,
    Segments,
    Settings,
    Storage,
    Topics,
    WatchRule,
)
from trimtab.errors import Conflict
from trimtab.records import KnowledgePatch, Version
from trimtab.runtime.assemble import Engine
from trimtab.store.ports import Query
from trimtab.study.knowledge.app import PAGE, HelpDesk
from trimtab.study.knowledge.pages import pages
from trimtab.study.stream import FEATURE, PROJECT, Answered, Calm, Stream
from trimtab.study.world import START, Dials, World

__all__ = ["CALM_WEEKS", "DeskSession", "desk_settings"]

CALM_WEEKS = 10
_NEVER = 1_000_000_000


def desk_settings(folder: Path, dials: Dials, *, automatic: bool) -> Settings:
    """Return the engine's settings: its defaults, scaled to the votes of a small product; only some arms let it act.

    The reference is learned in the calm weeks, the false-alarm horizon is a half year of votes. Beside the watch on all
    votes stands one on each page: more than a fifth of the votes on its answers against it. A candidate meets a fifth
    of the users; what two days of votes have not decided, the engine asks.
    """
    votes_a_week = dials.per_week * dials.votes_if_good
    return Settings(
        storage=Storage(path=str(folder)),
        embedding=Embedding(kind="none"),
        lake=Lake(enabled=False),
        topics=Topics(every_hours=0),
        outcome=Outcomes(min_votes=_NEVER, min_audit=_NEVER, window_days=1.0),
        review=Reviewing(weekly_items=0),
        monitoring=Monitoring(
            baseline_votes=max(50, round(0.8 * CALM_WEEKS * votes_a_week)),
            horizon_votes=max(200, round(dials.weeks * votes_a_week * 1.3)),
            false_alarm_rate=0.05,
        ),
        playbook=Playbook(mode="auto" if automatic else "off", actions=("knowledge",), lookback_days=28.0),
        segments=Segments(keys=(f"tags.{PAGE}",)),
        monitors={
            "pages": WatchRule(
                feature=FEATURE,
                metric="vote",
                group_by=(f"tags.{PAGE}",),
                reference_rate=0.2,
                horizon_events=150,
                min_events=5,
                min_users=4,
                act=True,
            )
        }
        if automatic
        else {},
        knowledge=Knowledge(max_entries=50, ttl_days=365.0),
        canary=Canary(steps=(0.2,), step_exposures=20, horizon_hours=48.0),
    )


class DeskSession(Stream):
    """A feature whose product is a help desk that answers from its pages."""

    calm_weeks = CALM_WEEKS

    def __init__(self, world: World, settings: Settings, *, calm: Calm | None = None) -> None:
        self.desk = HelpDesk(pages(world))
        self.page_of = {page.answer: name for name, page in self.desk.pages.items()}
        self.carried_out: list[KnowledgePatch] = []
        super().__init__(world, settings, self.desk, calm=calm)

    def _say(self, version: Version, texts: Sequence[str]) -> list[Answered]:
        return [self.desk.say(version, text) for text in texts]

    def right_page(self, page_id: str, now: datetime) -> str:
        """Return what a page ought to say at that time."""
        label = next(label for label, name in self.page_of.items() if name == page_id)
        week = (now - START).total_seconds() / (7 * 86_400)
        changed = {drift.label: drift.answer for drift in self.world.drifts if drift.week <= week}
        return changed.get(label, label)

    def is_right(self, question: str, text: str, when: datetime) -> bool:
        """Whether a text was the right answer to a question of the world then."""
        return self.world.right_at(question, when) == text

    def slipped(self, right: str) -> str:
        """Return what somebody writes who knows what is right: that, but for slips."""
        return self._told(right)

    def work_off_patches(self) -> int:
        """Let the product's worker carry out the patches that wait, as the SDK has it; return how many were done."""
        door = _InProcess(self.engine, self.carried_out)
        return work_off(door, Ledger(), self.desk.bring, feature=FEATURE, retrieve=self.desk.retrieve)  # type: ignore[arg-type]


class _InProcess:
    """Stands for the HTTP between the SDK's worker and the engine: the same two routes, without a socket."""

    def __init__(self, engine: Engine, done: list[KnowledgePatch]) -> None:
        self._engine = engine
        self._done = done

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002  the transport's own
    ) -> Answer:
        parts = urlsplit(url)
        if method == "GET":
            asked = parse_qs(parts.query)
            query = Query(feature=asked["feature"][0], limit=int(asked["limit"][0]), newest=False)
            after = asked.get("after")
            page = self._engine.store.patches(
                PROJECT, msgspec.structs.replace(query, after=int(after[0])) if after else query, ("waiting",)
            )
            items = [row.record for row in page.rows]
            return Answer(200, {}, msgspec.json.encode({"items": items, "next": page.next}))
        told = msgspec.json.decode(body or b"{}")
        patch_id = parts.path.split("/")[-2]
        try:
            done: KnowledgePatch = self._engine.patches.acknowledge(
                PROJECT, patch_id, told["chunk_ids"], told.get("retrieved"), self._engine.clock.now()
            )
        except Conflict as error:
            return Answer(409, {}, error.message.encode())
        self._done.append(done)
        return Answer(200, {}, msgspec.json.encode(done))
