"""A feature that answers from examples while a policy changes, and reviewers who say so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.act.memory import ExemplarMemory
from trimtab.act.notices import Notices
from trimtab.act.queue.examples import ExampleLooks
from trimtab.act.review import Reviews
from trimtab.config import Settings
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.enrich.stage import EnrichStage
from trimtab.ids import derived_id
from trimtab.records import (
    Exemplar,
    Feature,
    Feedback,
    Inference,
    Project,
    ReviewItem,
    Rollout,
    Source,
    Verdict,
    Version,
)
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal, seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Switch, Writes

__all__ = ["CARD", "FEATURE", "KINDS", "NOW", "PROJECT", "REFUND", "VOUCHER", "WEEK", "ExampleWorld", "examples"]

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(weeks=1)
PROJECT = "default"
FEATURE = "support"
CARD = "Refunds go to your card within three days."
REFUND = "How long does a refund to my card take?"
VOUCHER = "Refunds are paid as a voucher."
KINDS = {
    REFUND: CARD,
    "Can the parcel robot leave boxes in my garage?": "The robot leaves parcels at the front door.",
    "Which tyre pressure is right for bicycles?": "Four bar in front and five behind.",
}
_BESIDE = ("hello", "please", "quickly now", "I wonder", "good morning", "asking again", "dear team", "one more thing")


def examples(*, added_at: datetime | None = None) -> list[Exemplar]:
    """Return eight examples of each kind of question, each with words of its own: the bare question is typical."""
    return [
        Exemplar(id=f"x{kind}-{n}", input=f"{beside} {text}", output=said, added_at=added_at)
        for kind, (text, said) in enumerate(KINDS.items())
        for n, beside in enumerate(_BESIDE)
    ]


class ExampleWorld:
    """What raises doubts and settles them, over a real store."""

    def __init__(
        self, folder: Path, *, settings: Settings | None = None, held: Sequence[Exemplar] | None = None
    ) -> None:
        self.redactor = Redactor(key=bytes(32))
        self.store = open_sqlite(folder / "trimtab.db")
        self.settings = settings or Settings()
        self.reviews = Reviews(self.store, self.redactor, self.settings.review)
        memory = ExemplarMemory(LexicalEmbedder())
        self.looks = ExampleLooks(
            self.store,
            self.redactor,
            self.settings,
            self.reviews,
            lambda _, version, inputs, before: memory.typical(version, inputs, before=before),
            notices=Notices(self.store, self.settings.notify),
        )
        self._enrich = EnrichStage(self.store)
        self._said = 0
        self.store.commit({PROJECT: Writes(projects=[Project(id=PROJECT, created_at=NOW)])})
        feature = seal(self.redactor, Feature(name=FEATURE, created_at=NOW))
        self.store.commit({PROJECT: Writes(features=[feature])})
        self.version = self.serve(examples() if held is None else held)

    def serve(self, held: Sequence[Exemplar]) -> Version:
        """Serve a version with these examples from now on."""
        sealed = seal(self.redactor, Version(feature=FEATURE, created_at=NOW, exemplars=list(held)))
        now = self.store.rollout(PROJECT, FEATURE)
        revision = now.revision if now else 0
        rollout = Rollout(
            feature=FEATURE,
            stable_version_id=sealed.record.id,
            updated_at=NOW,
            id=derived_id("rollout", str(revision)),
            revision=revision + 1,
        )
        self.store.commit({PROJECT: Writes(versions=[sealed], switches=[Switch(rollout, revision)])})
        self.version = sealed.record
        return self.version

    def correct(
        self,
        question: str,
        right: str,
        at: datetime,
        *,
        reviewer: str = "ada",
        source: Source = "reviewer",
        again: bool = False,
    ) -> str:
        """Let somebody correct an answer to the question, or once more the last one; return the correction's id."""
        self._said += not again
        about = derived_id("answer", str(self._said))
        told = Feedback(
            id=derived_id("right", str(self._said), reviewer),
            kind="correction",
            created_at=at,
            inference_id=about,
            user_id=reviewer,
            source=source,
            text=right,
        )
        answer = Inference(id=about, feature=FEATURE, created_at=at, input=question, output="?", user_id="u")
        events: list[Inference | Feedback] = [told] if again else [answer, told]
        self.store.append([Arrival(PROJECT, sealed, at) for sealed in seal_all(self.redactor, events)])
        self.settle(at)
        return told.id

    def settle(self, now: datetime) -> None:
        """Join what was said to what it is about."""
        while self._enrich.tick(now):
            pass

    def contradict(self, now: datetime, *, count: int = 2, right: str = VOUCHER, question: str = REFUND) -> None:
        """Let reviewers say of a typical question that another answer is right."""
        for _ in range(count):
            self.correct(question, right, now - timedelta(days=1))

    def raised(self, now: datetime) -> list[ReviewItem]:
        """Raise doubts and return the new items."""
        return self.looks.raise_doubts(PROJECT, FEATURE, now)

    def judge(
        self, item: ReviewItem, verdict: Verdict, right: str | None, now: datetime, *, reviewer: str = "ada"
    ) -> ReviewItem:
        """Give a verdict as the server does."""
        held = self.reviews.claim(PROJECT, item.id, reviewer, now)
        confirms = self.looks.confirms(PROJECT, held, verdict, right)
        return self.reviews.close(PROJECT, held, verdict, now, 10.0, confirms=confirms)

    def renewals(self, now: datetime) -> list[tuple[str, str]]:
        """Return the answers that all are to be renewed, with what is right instead."""
        return list(self.looks.renewals(PROJECT, FEATURE, self.version, now).values())

    def states(self, items: Sequence[ReviewItem]) -> list[str]:
        """Return what became of these items."""
        found = [self.store.review(PROJECT, item.id) for item in items]
        return [item.state for item in found if item is not None]
