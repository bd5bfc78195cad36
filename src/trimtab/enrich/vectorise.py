"""The vectorise stage: feedback in words and the inputs of bad answers, kept by meaning in the vector store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from trimtab.embed.port import Embedder
from trimtab.errors import TrimtabError, Unavailable, whereabouts
from trimtab.records import Feedback, Inference, Outcome, text_of
from trimtab.store.census import CensusStore
from trimtab.store.ports import (
    Aside,
    AsideKind,
    AsideStore,
    CatalogStore,
    EventStore,
    JudgementStore,
    LoopStore,
    Place,
    Stored,
    StreamKind,
    Writes,
)
from trimtab.store.sieve import Sieve, is_of_the_row
from trimtab.store.vectors.port import Item, VectorStore

__all__ = ["Embedders", "VectoriseStage", "is_negative"]

T = TypeVar("T", bound=Feedback | Outcome)

_TEXT_CHARS = 4_000
_AGAIN_AT_ONCE = 50
_STREAMS: tuple[Literal["feedback", "outcomes"], ...] = ("feedback", "outcomes")
_SetAside = Callable[[str, AsideKind, str, str], None]


class Embedders(Protocol):
    """Who embeds for a project."""

    def current(self, project_id: str) -> Embedder:
        """Return the embedder that the project's vectors are to be of."""
        ...

    def embedder_of(self, project_id: str, space: str) -> Embedder | None:
        """Return the embedder of this very space, None when it is no longer kept."""
        ...


class VectoriseStore(EventStore, JudgementStore, CatalogStore, LoopStore, AsideStore, CensusStore, Protocol):
    """What this stage needs of the store."""


class _Words(NamedTuple):
    """One text with what is known of it."""

    item: Item
    text: str


class _Lane(NamedTuple):
    """One space of one project on its way through both streams, each with a cursor of its own.

    Cursors are named by the space's mark: one that is made anew, in whatever file, begins at the beginning.
    """

    project_id: str
    embedder: Embedder
    mark: str

    @property
    def feedback_cursor(self) -> str:
        return _cursor_of(self.mark, "feedback")

    @property
    def outcome_cursor(self) -> str:
        return _cursor_of(self.mark, "outcomes")


def _cursor_of(mark: str, kind: Literal["feedback", "outcomes"]) -> str:
    return f"vectorise.{mark}.{kind}"


class VectoriseStage:
    """Brings each project's space up to the streams of feedback and outcomes.

    When a project's embedder changes, its new space is filled from the beginning beside the old one, which goes on
    being searched and, while its embedder is kept, being fed. When the new one has caught up it becomes current in one
    step, and a tick later the old one is dropped. Vectors are written before the cursor moves: killed in between, a lot
    is written again, which changes nothing. Switching may build an index for minutes, so it has a thread of its own,
    unless `inline`.

    An answer has a vector while it is judged bad. When its outcome changes, its feedback's facts are written again. An
    embedder that cannot be reached is tried again with the next tick and holds up no other project. A row that raises
    is set aside, with the cursor that passes it, and has no vector until it is tried again.
    """

    name = "vectorise"

    def __init__(
        self,
        store: VectoriseStore,
        vectors: VectorStore,
        embedders: Embedders,
        *,
        batch_rows: int = 2000,
        inline: bool = False,
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._embedders = embedders
        self._batch_rows = batch_rows
        self._inline = inline
        self._switching: threading.Thread | None = None
        self._sieve: Sieve[Any] = Sieve()
        self._log = structlog.get_logger("trimtab.vectorise")

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each stream for each space and return how many rows that was."""
        writes: dict[str, Writes] = {}
        aside = partial(self._put_aside, now, writes)
        feedback = _Reader("feedback", self._store, self._store.feedback_after, self._batch_rows, aside)
        outcomes = _Reader("outcome", self._store, self._store.outcomes_after, self._batch_rows, aside)
        cursors: dict[str, int] = {}
        handled = 0
        for project in self._store.projects():
            try:
                for lane in self._lanes(project.id):
                    words = feedback.after(self._store.cursor(lane.feedback_cursor))
                    judged = outcomes.after(self._store.cursor(lane.outcome_cursor))
                    self._sift(lane, _own(project.id, words.rows), _own(project.id, judged.rows), aside)
                    if words.seen:
                        cursors[lane.feedback_cursor] = words.reached
                    if judged.seen:
                        cursors[lane.outcome_cursor] = judged.reached
                    handled += words.seen + judged.seen
                    if max(len(words.rows), len(judged.rows)) < self._batch_rows:
                        self._caught_up(lane)
            except _EmbedderAway as away:
                self._log.warning("embedding failed, trying again", project=project.id, error=str(away))
        if cursors or writes:
            self._store.commit(writes, cursors=cursors)
        return handled + (self._try_again(now) if handled < self._batch_rows else 0)

    def behind(self) -> dict[str, int]:
        """Return how many rows of each stream the space that has most to read has not read yet."""
        last = self._store.last_places()
        found = {"vectorise.feedback": 0, "vectorise.outcomes": 0}
        for project in self._store.projects():
            for space in self._vectors.spaces(project.id):
                for kind in _STREAMS:
                    ahead = last[kind] - self._store.cursor(_cursor_of(space.mark, kind))
                    found[f"vectorise.{kind}"] = max(found[f"vectorise.{kind}"], ahead)
        return found

    # ---------------------------------------------------------------- rows that raise

    def _put_aside(
        self, now: datetime, writes: dict[str, Writes], project_id: str, kind: AsideKind, record_id: str, error: str
    ) -> None:
        """Add a row that is set aside to what the tick commits."""
        found = Aside(project_id, self.name, kind, record_id, error, now)
        writes.setdefault(project_id, Writes()).aside.append(found)

    def _sift(self, lane: _Lane, words: Sequence[Feedback], judged: Sequence[Outcome], aside: _SetAside) -> None:
        """Write one lot, without the rows that cannot be."""
        self._sieve.run(
            [*words, *judged],
            lambda rows: self._write(
                lane,
                [row for row in rows if isinstance(row, Feedback)],
                [row for row in rows if isinstance(row, Outcome)],
            ),
            lambda row, error: aside(lane.project_id, *_name_of(row), error),
        )

    def _try_again(self, now: datetime) -> int:
        """Write what somebody asked to be tried again, in every space; what fails anew stays set aside."""
        asked = self._store.asides(stage=self.name, again=True, limit=_AGAIN_AT_ONCE)
        for aside in asked:
            done = Writes(taken_up=[aside])
            try:
                project_id, key = aside.project_id, aside.record_id
                words = list(self._store.feedback(project_id, [key]).values()) if aside.kind == "feedback" else []
                judged = list(self._store.outcomes(project_id, [key]).values()) if aside.kind == "outcome" else []
                for lane in self._lanes(project_id):
                    self._write(lane, words, judged)
            except _EmbedderAway:
                return 0
            except Exception as error:
                if not is_of_the_row(error):
                    raise
                done = Writes(aside=[aside._replace(error=whereabouts(error), at=now, again=False)])
            self._store.commit({aside.project_id: done})
        return len(asked)

    # ---------------------------------------------------------------- spaces

    def _lanes(self, project_id: str) -> list[_Lane]:
        """Return the space that is to serve and, while another one does, that one too; the first is made if need be."""
        target = self._embedders.current(project_id)
        spaces = {space.name: space for space in self._vectors.spaces(project_id)}
        if target.space not in spaces:
            nothing = _embedded(target, ["nothing"])[:0]
            self._vectors.upsert(project_id, target.space, [], nothing)
            spaces = {space.name: space for space in self._vectors.spaces(project_id)}
        lanes = [_Lane(project_id, target, spaces[target.space].mark)]
        for space in spaces.values():
            old = self._embedders.embedder_of(project_id, space.name) if space.current else None
            if old is not None and space.name != target.space:
                lanes.append(_Lane(project_id, old, space.mark))
        return lanes

    def _caught_up(self, lane: _Lane) -> None:
        """Serve from the newest space once it is filled; drop the others a tick later, when no search is in them."""
        space, serving = lane.embedder.space, self._vectors.current(lane.project_id)
        if space != self._embedders.current(lane.project_id).space:
            return  # the old one, on its last days
        if serving != space:
            if self._switching is None or not self._switching.is_alive():
                told = (lane.project_id, space, serving)
                self._switching = threading.Thread(target=self._switch, args=told, name="trimtab-switch", daemon=True)
                self._switching.start()
                if self._inline:
                    self._switching.join()
            return
        for other in self._vectors.spaces(lane.project_id):
            if other.name != space:
                self._vectors.drop(lane.project_id, other.name)

    def _switch(self, project_id: str, space: str, before: str | None) -> None:
        try:
            self._vectors.switch(project_id, space)
        except TrimtabError as error:  # tried again by the next tick
            self._log.error("switching the vector space failed", project=project_id, space=space, error=error.message)
            return
        self._log.info("vector space switched", project=project_id, space=space, before=before)

    def close(self) -> None:
        """Wait for a switch under way. Close this before the vector store."""
        if self._switching is not None:
            self._switching.join()

    # ---------------------------------------------------------------- one lot

    def _write(self, lane: _Lane, words: Sequence[Feedback], judged: Sequence[Outcome]) -> None:
        words = [word for word in words if _speaks(word)]
        about = self._store.joined(lane.project_id, [word.id for word in words])
        bad = {outcome.inference_id for outcome in judged if is_negative(outcome)}
        joined = self._store.joined_to(lane.project_id, [outcome.inference_id for outcome in judged])
        spoken = {each: held for each, all_ in joined.items() if (held := [word for word in all_ if _speaks(word)])}
        ids = sorted({*about.values(), *bad, *spoken})
        answers = self._store.inferences(lane.project_id, ids)
        verdicts = self._store.outcomes(lane.project_id, ids)
        texts = [_asked(answers[each]) for each in sorted(bad) if each in answers]
        texts += [_said(word, answers.get(about.get(word.id, "")), verdicts) for word in words]
        self._embed(lane, texts)
        again = [_said(word, answers.get(each), verdicts) for each, held in spoken.items() for word in held]
        self._refresh(lane, again)
        self._vectors.delete(
            lane.project_id, "inference", [each.inference_id for each in judged if each.inference_id not in bad]
        )

    def _embed(self, lane: _Lane, words: Sequence[_Words]) -> None:
        if not words:
            return
        vectors = _embedded(lane.embedder, [each.text[:_TEXT_CHARS] for each in words])
        self._vectors.upsert(lane.project_id, lane.embedder.space, [each.item for each in words], vectors)

    def _refresh(self, lane: _Lane, words: Sequence[_Words]) -> None:
        """Write the facts of feedback anew; what has a vector keeps it, the rest is embedded."""
        known = self._vectors.get(lane.project_id, lane.embedder.space, "feedback", [each.item.id for each in words])
        held = [each for each in words if each.item.id in known]
        if held:
            rows = _unit(np.stack([known[each.item.id] for each in held]))
            self._vectors.upsert(lane.project_id, lane.embedder.space, [each.item for each in held], rows)
        self._embed(lane, [each for each in words if each.item.id not in known])


class _EmbedderAway(Unavailable):
    """The embedder cannot be reached now."""


class _Lot(NamedTuple, Generic[T]):
    """What a reader found: rows, how far that goes, and how many places that were, lost ones included."""

    rows: Sequence[Stored[T]]
    reached: int
    seen: int


class _Reader(Generic[T]):
    """Reads a stream behind several cursors; lanes that stand at the same place share what is read."""

    def __init__(
        self,
        kind: StreamKind,
        store: AsideStore,
        read: Callable[[int, int], list[Stored[T]]],
        rows: int,
        aside: _SetAside,
    ) -> None:
        self._kind = kind
        self._store = store
        self._read = read
        self._rows = rows
        self._aside = aside
        self._sieve: Sieve[Stored[T]] = Sieve()
        self._held: dict[int, _Lot[T]] = {}

    def after(self, seq: int) -> _Lot[T]:
        """Return the next rows; one that cannot even be read is set aside by its place."""
        if seq not in self._held:
            lost: list[Place] = []

            def lose(error: str) -> bool:
                place = self._store.place_after(self._kind, seq)
                if place is not None:
                    self._aside(place.project_id, self._kind, place.record_id, error)
                    lost.append(place)
                return place is not None

            rows = self._sieve.read(lambda limit: self._read(seq, limit), self._rows, lose)
            reached = rows[-1].seq if rows else lost[0].seq if lost else seq
            self._held[seq] = _Lot(rows, reached, len(rows) + len(lost))
        return self._held[seq]


def _name_of(row: Feedback | Outcome) -> tuple[AsideKind, str]:
    return ("feedback", row.id) if isinstance(row, Feedback) else ("outcome", row.inference_id)


def _embedded(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    try:
        return embedder.embed(texts)
    except Unavailable as error:
        raise _EmbedderAway(error.message) from error


def is_negative(outcome: Outcome | None) -> bool:
    """Say whether an answer counts as bad."""
    return outcome is not None and not outcome.withdrawn and outcome.p_bad > 0.5


def _own(project_id: str, rows: Sequence[Stored[T]]) -> list[T]:
    return [row.record for row in rows if row.project_id == project_id]


def _speaks(word: Feedback) -> bool:
    return bool(word.text) and not word.retracted


def _asked(inference: Inference) -> _Words:
    item = Item(
        kind="inference",
        id=inference.id,
        created_at=inference.created_at,
        feature=inference.feature,
        version_id=inference.version_id,
        user_id=inference.user_id,
        negative=True,
    )
    return _Words(item, text_of(inference.input))


def _said(word: Feedback, about: Inference | None, verdicts: Mapping[str, Outcome]) -> _Words:
    item = Item(
        kind="feedback",
        id=word.id,
        created_at=word.created_at,
        feature=about.feature if about else word.feature,
        version_id=about.version_id if about else None,
        user_id=word.user_id,
        negative=word.kind == "correction" or (about is not None and is_negative(verdicts.get(about.id))),
    )
    return _Words(item, word.text or "")


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at length 1 again: a store may have kept them in half precision."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    units: NDArray[np.float32] = (rows / lengths).astype(np.float32)
    return units
