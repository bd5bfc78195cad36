"""A small world for tests of topics: people who keep saying the same few things, in a real store with vectors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.config import Topics
from trimtab.detect.topics.names import Namer
from trimtab.detect.topics.stage import TopicStage, ask
from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.ids import new_id
from trimtab.records import Feedback, Inference, Outcome, Project, Topic, TopicRun, text_of
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, Writes
from trimtab.store.vectors.port import Item, VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

__all__ = ["NOW", "SUBJECTS", "P", "TopicWorld", "sentences"]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
P = "p"
SUBJECTS = {
    "card": ("card charged", ["twice", "again", "wrongly", "double", "yesterday"]),
    "parcel": ("parcel late", ["lost", "delayed", "missing", "courier", "week"]),
    "language": ("answer german", ["english", "wrong", "language", "translate", "spoken"]),
    "login": ("password login", ["reset", "locked", "expired", "email", "code"]),
}


def sentences(subject: str, count: int, seed: int) -> list[str]:
    """Return so many texts on a subject, few of them alike word for word."""
    dice = random.Random(f"{subject}{seed}")
    stem, more = SUBJECTS[subject]
    return [
        " ".join([stem, *dice.sample(more, 3), dice.choice(["please", "now", "today", "help"])]) for _ in range(count)
    ]


class TopicWorld:
    """A hot store and vectors in `folder`, and stages over them that search in this process unless told."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store: HotStore = open_sqlite(folder / "hot.db")
        self.vectors: VectorStore = open_sqlite_vectors(folder / "vectors.db")
        self.redactor = Redactor(key=bytes(32))
        self.dice = random.Random(seed)
        self.stages: list[TopicStage] = []
        if not self.store.projects():
            self.store.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        self.vectors.close()
        self.store.close()

    def stage(
        self,
        settings: Topics | None = None,
        *,
        vectors: bool = True,
        namer: Namer | None = None,
        inline: bool = True,
    ) -> TopicStage:
        told = settings or Topics(every_hours=0)
        held = self.vectors if vectors else None
        self.stages.append(TopicStage(self.store, held, self.redactor, told, namer=namer, inline=inline))
        return self.stages[-1]

    def say(
        self, texts: Sequence[str], *, feature: str = "shop", days: float = 27, now: datetime = NOW, users: int = 1000
    ) -> list[Feedback]:
        """Let people (0: one session of nobody known) comment with these texts, at any time in the last `days`."""
        said = []
        for text in texts:
            at = now - timedelta(days=self.dice.uniform(0, days))
            user = f"user-{self.dice.randrange(users)}" if users else None
            said.append(
                Feedback(
                    id=new_id(at),
                    kind="comment",
                    text=text,
                    created_at=at,
                    feature=feature,
                    session_id="s",
                    user_id=user,
                )
            )
        self._append(said)
        return said

    def answer(self, inputs: Sequence[str], *, p_bad: float, feature: str = "shop") -> list[Inference]:
        """Let the product answer these inputs, judged as bad as told."""
        at = NOW - timedelta(days=1)
        served = [
            Inference(id=new_id(at), feature=feature, created_at=at, input=text, session_id=f"s-{place}")
            for place, text in enumerate(inputs)
        ]
        self._append(served)
        outcomes = [
            Outcome(
                inference_id=each.id, feature=feature, created_at=at, judged_at=at, p_bad=p_bad, confidence=1.0,
                tier="A", evidence=[],
            )
            for each in served
        ]  # fmt: skip
        self.store.commit({P: Writes(outcomes=outcomes)})
        return served

    def embed(self, events: Sequence[Feedback | Inference], space: LsaEmbedder) -> None:
        """Put the events into the space, and let it serve."""
        items = [
            Item(
                kind="feedback" if isinstance(each, Feedback) else "inference",
                id=each.id,
                created_at=each.created_at,
                feature=each.feature,
                user_id=each.user_id,
                negative=isinstance(each, Inference),
            )
            for each in events
        ]
        self.vectors.upsert(P, space.space, items, space.embed([words_of(each) for each in events]))
        self.vectors.switch(P, space.space)

    def run(self, stage: TopicStage, now: datetime = NOW, feature: str | None = None) -> TopicRun:
        """Ask for a run and let the stage end it."""
        asked = ask(self.store, P, feature, now)
        while stage.tick(now) == 0:
            assert stage._thread is not None  # a child searches: wait for the thread that waits for it
            stage._thread.join()
        done = self.store.topic_run(P, asked.id)
        assert done is not None
        return done

    def topics(self, feature: str | None = None) -> dict[str, Topic]:
        """Return the live topics by the subject their words are of."""
        found = {}
        for topic in self.store.topics(P, feature, ["live"]):
            words = set(" ".join(topic.words).split())
            (subject,) = [name for name, (stem, _) in SUBJECTS.items() if words & set(stem.split())]
            found[subject] = topic
        return found

    def _append(self, events: Sequence[Feedback | Inference]) -> None:
        self.store.append([Arrival(P, seal(self.redactor, each), NOW) for each in events])


def words_of(event: Feedback | Inference) -> str:
    return (event.text or "") if isinstance(event, Feedback) else text_of(event.input)


def space_of(seed: int, dimensions: int = 32) -> LsaEmbedder:
    """Return a space of its own for each seed."""
    return fit_lsa([text for subject in SUBJECTS for text in sentences(subject, 100, seed)], dimensions=dimensions)
