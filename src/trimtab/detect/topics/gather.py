"""What topics are looked for in: feedback in words and the inputs of bad answers, with their vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.detect.topics.find import chance
from trimtab.records import text_of
from trimtab.store.ports import EventStore, JudgementStore, Page, Query, Stored
from trimtab.store.vectors.port import VectorStore, Where

__all__ = ["Gather", "Gathered", "Word"]

Vectors = NDArray[np.float32]
WordKind = Literal["feedback", "inference"]

_TEXT_CHARS = 2_000
_PAGE_ROWS = 1_000
_CHUNK = 2_000
_MOST_ROWS = 1_000_000
_DAY = timedelta(days=1)


class Word(Struct, frozen=True, array_like=True):
    """One text: feedback in words, or the input of an answer judged bad. `person`: a user, else a session."""

    kind: WordKind
    id: str
    text: str
    person: str | None
    created_at: datetime
    feature: str | None


class Gathered(NamedTuple):
    """The texts of a project in order of time and id, with their vectors (n x d) in `space`, None where it has none.

    `said` counts the texts there were, by feature and (None) in all; where they were too many, `words` is a sample.
    """

    words: list[Word]
    vectors: Vectors | None
    space: str | None
    said: Counter[str | None]


class GatherStore(EventStore, JudgementStore, Protocol):
    """What gathering reads."""


class _Drawn:
    """The `most` whose ids come first by chance: a uniform sample, and of nearly the same texts every night."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[tuple[bytes, Any, Any]] = []

    def add(self, ids: Sequence[str], items: Sequence[Any], rows: Sequence[Any]) -> None:
        self._held += [(chance(each), item, row) for each, item, row in zip(ids, items, rows, strict=True)]
        if len(self._held) > self._most:
            self._held.sort(key=lambda each: each[0])
            del self._held[self._most :]

    def all(self) -> list[tuple[Any, Any]]:
        return [(item, row) for _, item, row in self._held]


class Gather:
    """Reads what was said in a span of time, at most `max_texts`: of more, a uniform sample.

    Vectors come from the space that searches are served from. Without `vectors`, or before there is such a space, texts
    come without them.
    """

    def __init__(self, store: GatherStore, vectors: VectorStore | None, *, max_texts: int) -> None:
        self._store = store
        self._vectors = vectors
        self._max_texts = max_texts

    def count(self, project_id: str, since: datetime, *, most: int) -> int:
        """Return how many feedbacks in words, or vectors, there are since then; `most` is as good as more."""
        if self._vectors is not None and (space := self._vectors.current(project_id)) is not None:
            return self._vectors.count(project_id, space, Where(since=since))
        page = self._store.list_feedback(project_id, Query(since=since, limit=_PAGE_ROWS))
        return min(most, sum(1 for row in page.rows if row.record.text))

    def read(self, project_id: str, since: datetime, now: datetime, feature: str | None = None) -> Gathered:
        """Return the texts of [since, now), of one feature or of all."""
        found = self._from_vectors(project_id, since, now, feature) or self._from_texts(project_id, since, now, feature)
        order = sorted(
            range(len(found.words)), key=lambda place: (found.words[place].created_at, found.words[place].id)
        )
        return found._replace(
            words=[found.words[place] for place in order],
            vectors=None if found.vectors is None else found.vectors[order],
        )

    # ---------------------------------------------------------------- from the vectors

    def _from_vectors(self, project_id: str, since: datetime, now: datetime, feature: str | None) -> Gathered | None:
        for _ in range(2):
            space = self._vectors.current(project_id) if self._vectors is not None else None
            if space is None or self._vectors is None:
                return None
            found = self._in_space(self._vectors, project_id, space, Where(since=since, until=now, feature=feature))
            if self._vectors.current(project_id) == space:
                return found
        return None  # the space was switched twice while it was read

    def _in_space(self, vectors: VectorStore, project_id: str, space: str, where: Where) -> Gathered:
        said: Counter[str | None] = Counter()
        drawn = _Drawn(self._max_texts)
        for day in _days(where):
            for kind, negative in (("feedback", None), ("inference", True)):
                narrowed = msgspec.structs.replace(day, kind=kind, negative=negative)
                count = vectors.count(project_id, space, narrowed)
                if count:
                    items, rows = vectors.recent(project_id, space, count, narrowed)
                    said.update(item.feature for item in items)
                    drawn.add([item.id for item in items], items, [row.copy() for row in rows])
        said[None] = said.total()
        pairs = drawn.all()
        words = self._words(project_id, [(item.kind, item.id, item.feature) for item, _ in pairs])
        held = [(words[item.kind, item.id], row) for item, row in pairs if (item.kind, item.id) in words]
        rows = np.stack([row for _, row in held]) if held else np.zeros((0, 1), dtype=np.float32)
        return Gathered([word for word, _ in held], _unit(rows), space, said)

    def _words(
        self, project_id: str, keys: Sequence[tuple[WordKind, str, str | None]]
    ) -> dict[tuple[WordKind, str], Word]:
        """Return the texts that are still kept; read in lots, so that no other reader waits for long."""
        found: dict[tuple[WordKind, str], Word] = {}
        for start in range(0, len(keys), _CHUNK):
            lot = keys[start : start + _CHUNK]
            feature_of = {(kind, key): feature for kind, key, feature in lot}
            said = self._store.feedback(project_id, [key for kind, key, _ in lot if kind == "feedback"])
            for word in said.values():
                if word.text and not word.retracted:
                    found["feedback", word.id] = _word("feedback", word, word.text, feature_of["feedback", word.id])
            asked = self._store.inferences(project_id, [key for kind, key, _ in lot if kind == "inference"])
            for each in asked.values():
                if text := text_of(each.input):
                    found["inference", each.id] = _word("inference", each, text, each.feature)
        return found

    # ---------------------------------------------------------------- from the texts

    def _from_texts(self, project_id: str, since: datetime, now: datetime, feature: str | None) -> Gathered:
        query = Query(feature=feature, since=since, until=now, limit=_PAGE_ROWS)
        said: Counter[str | None] = Counter()
        drawn = _Drawn(self._max_texts)
        for feedback in _pages(lambda page: self._store.list_feedback(project_id, page), query):
            spoken = [row.record for row in feedback if row.record.text and not row.record.retracted]
            about = self._store.joined(project_id, [word.id for word in spoken])
            answers = self._store.inferences(project_id, sorted(set(about.values())))
            features = {word.id: answers[about[word.id]].feature for word in spoken if about.get(word.id) in answers}
            words = [_word("feedback", each, each.text or "", features.get(each.id, each.feature)) for each in spoken]
            said.update(word.feature for word in words)
            drawn.add([word.id for word in words], words, words)
        for outcomes in _pages(lambda page: self._store.list_outcomes(project_id, page), query):
            bad = [row.record.inference_id for row in outcomes if row.record.p_bad > 0.5]
            asked = self._store.inferences(project_id, bad).values()
            words = [_word("inference", each, text, each.feature) for each in asked if (text := text_of(each.input))]
            said.update(word.feature for word in words)
            drawn.add([word.id for word in words], words, words)
        said[None] = said.total()
        return Gathered([word for word, _ in drawn.all()], None, None, said)


def _word(kind: WordKind, record: Any, text: str, feature: str | None) -> Word:
    # A session stands for a person nobody named: one visitor who repeats is no crowd.
    person = record.user_id or (f"session:{record.session_id}" if record.session_id else None)
    return Word(kind, record.id, text[:_TEXT_CHARS], person, record.created_at, feature)


def _days(where: Where) -> Iterator[Where]:
    """Yield the span of `where` day by day, so that no more than a day's vectors are held at once."""
    at, until = where.since, where.until
    while at is not None and until is not None and at < until:
        end = min(at + _DAY, until)
        yield Where(feature=where.feature, since=at, until=end)
        at = end


def _pages(read: Callable[[Query], Page[Any]], query: Query) -> Iterator[list[Stored[Any]]]:
    """Yield pages, the newest first, up to a million rows."""
    after: int | None = None
    for _ in range(_MOST_ROWS // _PAGE_ROWS):
        page = read(Query(feature=query.feature, since=query.since, until=query.until, limit=query.limit, after=after))
        yield page.rows
        if page.next is None:
            return
        after = page.next


def _unit(rows: Vectors) -> Vectors:
    """Return the rows at length 1 again, those of length 0 as they are: a store may keep half precision."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Vectors = (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return units
