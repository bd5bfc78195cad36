"""Search over feedback and answers: by meaning, by words, or by both, and why each was found."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from trimtab.embed.port import Embedder
from trimtab.errors import InvalidField
from trimtab.records import Feedback, Inference, text_of
from trimtab.store.ports import EventStore, JudgementStore, Page, Query, Stored
from trimtab.store.vectors.port import MOST, Hit, VectorStore, Where

__all__ = ["Asked", "Found", "Match", "Reason", "Search", "SearchKind", "SearchMode", "contains", "fused", "terms_of"]

SearchMode = Literal["semantic", "exact", "hybrid"]
SearchKind = Literal["feedback", "inference"]
Record = Feedback | Inference
T = TypeVar("T", Feedback, Inference)

_KINDS: tuple[SearchKind, ...] = ("feedback", "inference")
_DEPTH = 4  # so many times the asked number is looked at by each way before they are fused
_RANK_OFFSET = 60
_READ_ROWS = 20_000
_PAGE = 1000
_QUERY_CHARS = 1000
_TERM = re.compile(r'"([^"]+)"|(\S+)')
_WORD = re.compile(r"\w+")


class Asked(Struct, frozen=True, kw_only=True):
    """What is searched for, and what it is narrowed to. `negative`: the answer was judged bad."""

    q: str
    mode: SearchMode = "hybrid"
    feature: str | None = None
    version_id: str | None = None
    kind: SearchKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    negative: bool | None = None
    limit: int = 20


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was found: its place by meaning (with the cosine) or by words (with those that occur)."""

    by: Literal["meaning", "words"]
    rank: int
    cosine: float | None = None
    words: list[str] = []


class Match(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing found, best first. `score` compares matches of one answer only: it depends on the mode."""

    kind: SearchKind
    id: str
    score: float
    why: list[Reason]
    feedback: Feedback | None = None
    inference: Inference | None = None


class Found(Struct, frozen=True, kw_only=True):
    """What a search found.

    `space` is the vector space it was searched in, null while there is none yet and meaning could not be searched;
    `complete` is false when there were more rows than words are looked for in (the newest 20,000 of each kind).
    """

    mode: SearchMode
    items: list[Match]
    space: str | None
    complete: bool


class SearchStore(EventStore, JudgementStore, Protocol):
    """What search reads."""


EmbedderOf = Callable[[str, str], Embedder | None]
"""Returns the embedder of a project's space, None when it is not kept."""


class _Way(NamedTuple):
    """What one way of searching found, best first."""

    keys: list[tuple[SearchKind, str]]
    reasons: dict[tuple[SearchKind, str], Reason]
    scores: dict[tuple[SearchKind, str], float]


class Search:
    """Searches one project at a time.

    By meaning: feedback in words and the inputs of bad answers nearest to the query in the vector store. By words:
    every word of the query, and every "phrase in quotes", occurs in the text, in any case; whole words count before
    parts. Hybrid: both, fused by their ranks.
    """

    def __init__(
        self, store: SearchStore, vectors: VectorStore, embedder_of: EmbedderOf, *, read_rows: int = _READ_ROWS
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._embedder_of = embedder_of
        self._read_rows = read_rows

    def find(self, project_id: str, asked: Asked) -> Found:
        """Return what matches, best first. Raises InvalidField for a query without a word or over 1000 characters."""
        terms = terms_of(asked.q)
        if not terms or len(asked.q) > _QUERY_CHARS:
            raise InvalidField(
                f"expected q to be 1 to {_QUERY_CHARS} characters with a word in them, got {len(asked.q)}", param="q"
            )
        space, complete = None, True
        ways: list[_Way] = []
        if asked.mode != "exact":
            space, near = self._by_meaning(project_id, asked)
            ways.append(near)
        if asked.mode != "semantic":
            worded, complete = self._by_words(project_id, asked, terms)
            ways.append(worded)
        scores = ways[0].scores if len(ways) == 1 else fused([way.keys for way in ways])
        best = sorted(scores, key=lambda key: -scores[key])  # of equals the order in which they were ranked
        items = []
        for key, record in self._records(project_id, best):
            why = [way.reasons[key] for way in ways if key in way.reasons]
            match = Match(kind=key[0], id=key[1], score=scores[key], why=why)
            items.append(_with(match, record))
            if len(items) == asked.limit:
                break
        return Found(mode=asked.mode, items=items, space=space, complete=complete)

    # ---------------------------------------------------------------- by meaning

    def _by_meaning(self, project_id: str, asked: Asked) -> tuple[str | None, _Way]:
        where = Where(
            kind=asked.kind,
            feature=asked.feature,
            version_id=asked.version_id,
            since=asked.since,
            until=asked.until,
            negative=asked.negative,
        )
        space, hits = self._nearest(project_id, asked, where)
        if not hits and space != self._vectors.current(project_id):
            space, hits = self._nearest(project_id, asked, where)  # it was switched meanwhile, and the old one dropped
        way = _Way([], {}, {})
        for hit in hits:
            if hit.kind == "topic" or hit.cosine <= 0:
                continue
            key: tuple[SearchKind, str] = (hit.kind, hit.id)
            way.keys.append(key)
            way.scores[key] = hit.cosine
            way.reasons[key] = Reason(by="meaning", rank=len(way.keys), cosine=hit.cosine)
        return space, way

    def _nearest(self, project_id: str, asked: Asked, where: Where) -> tuple[str | None, list[Hit]]:
        space = self._vectors.current(project_id)
        embedder = None if space is None else self._embedder_of(project_id, space)
        if space is None or embedder is None:
            return None, []
        vector = embedder.embed([asked.q])[0]
        return space, self._vectors.nearest(project_id, space, vector, min(MOST, asked.limit * _DEPTH), where)

    # ---------------------------------------------------------------- by words

    def _by_words(self, project_id: str, asked: Asked, terms: Sequence[str]) -> tuple[_Way, bool]:
        """Return what has all terms among the newest rows, more whole words first, then the newest."""
        query = Query(
            feature=asked.feature, version_id=asked.version_id, since=asked.since, until=asked.until, limit=_PAGE
        )
        found: list[tuple[float, datetime, SearchKind, str]] = []
        complete = True
        for kind in _KINDS if asked.kind is None else (asked.kind,):
            rows: Iterator[Stored[Any]]
            if kind == "feedback":
                rows = _pages(lambda page: self._store.list_feedback(project_id, page), query)
            else:
                rows = _pages(lambda page: self._store.list_inferences(project_id, page), query)
            held = [
                (score, row.record.created_at, kind, row.record.id)
                for row in islice(rows, self._read_rows)
                if (score := _score(_words_of(row.record), terms)) > 0
            ]
            complete = complete and next(iter(rows), None) is None
            found += held if asked.negative is None else self._judged(project_id, held, negative=asked.negative)
        found.sort(key=lambda each: (each[0], each[1], each[3]), reverse=True)
        way = _Way([], {}, {})
        for score, _, kind, record_id in found[: asked.limit * _DEPTH]:
            key = (kind, record_id)
            way.keys.append(key)
            way.scores[key] = score
            way.reasons[key] = Reason(by="words", rank=len(way.keys), words=list(terms))
        return way, complete

    def _judged(
        self, project_id: str, held: list[tuple[float, datetime, SearchKind, str]], *, negative: bool
    ) -> list[tuple[float, datetime, SearchKind, str]]:
        """Keep what is about answers of that judgement, and corrections as words about a bad one."""
        words = self._store.feedback(project_id, [each[3] for each in held if each[2] == "feedback"])
        about = self._store.joined(project_id, list(words))
        ids = [about.get(each[3], "") if each[2] == "feedback" else each[3] for each in held]
        outcomes = self._store.outcomes(project_id, [each for each in ids if each])
        kept = []
        for each, inference_id in zip(held, ids, strict=True):
            outcome = outcomes.get(inference_id)
            corrects = each[2] == "feedback" and words[each[3]].kind == "correction"
            if (corrects or (outcome is not None and outcome.p_bad > 0.5)) == negative:
                kept.append(each)
        return kept

    # ---------------------------------------------------------------- records

    def _records(
        self, project_id: str, keys: Sequence[tuple[SearchKind, str]]
    ) -> Iterator[tuple[tuple[SearchKind, str], Record]]:
        """Yield the records that are still kept, in order."""
        for start in range(0, len(keys), _PAGE):
            lot = keys[start : start + _PAGE]
            said = self._store.feedback(project_id, [key for kind, key in lot if kind == "feedback"])
            answers = self._store.inferences(project_id, [key for kind, key in lot if kind == "inference"])
            for kind, key in lot:
                record = said.get(key) if kind == "feedback" else answers.get(key)
                if record is not None:
                    yield (kind, key), record


def fused(rankings: Sequence[Sequence[tuple[SearchKind, str]]]) -> dict[tuple[SearchKind, str], float]:
    """Return a score for everything ranked: reciprocal rank fusion, score = sum over rankings of 1 / (60 + rank).

    Assumption: a high place in either ranking counts, however the two measure. Source: Cormack, Clarke and Buettcher,
    "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
    """
    scores: dict[tuple[SearchKind, str], float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (_RANK_OFFSET + rank)
    return scores


def terms_of(q: str) -> list[str]:
    """Return what must occur: words, and phrases that stood in quotes, each once, as texts are compared.

    >>> terms_of('Refund "order NUMBER" refund')
    ['refund', 'order number']
    """
    told = [phrase or word for phrase, word in _TERM.findall(q)]
    return list(dict.fromkeys(term for each in told if (term := _folded(each).strip()) and _WORD.search(term)))


def contains(feedback: Feedback, terms: Sequence[str]) -> bool:
    """Return whether all of the terms, as `terms_of` gives them, occur in the words of the feedback."""
    return _score(_words_of(feedback), terms) > 0 if terms else True


def _score(text: str, terms: Sequence[str]) -> float:
    """Return 0 unless every term occurs, else the share of them that stand as whole words, and a little for parts."""
    folded = _folded(text)
    if not all(term in folded for term in terms):
        return 0.0
    whole = sum(re.search(rf"(?<!\w){re.escape(term)}(?!\w)", folded) is not None for term in terms)
    return (whole + 0.5 * (len(terms) - whole)) / len(terms)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _words_of(record: Record) -> str:
    if isinstance(record, Feedback):
        return "\n".join(part for part in (record.text, record.label) if part)
    return f"{text_of(record.input)}\n{text_of(record.output)}"


def _with(match: Match, record: Record) -> Match:
    place = "feedback" if isinstance(record, Feedback) else "inference"
    return Match(**{**{name: getattr(match, name) for name in match.__struct_fields__}, place: record})


def _pages(read: Callable[[Query], Page[T]], query: Query) -> Iterator[Stored[T]]:
    """Yield rows, the newest first, reading page after page."""
    after: int | None = None
    while True:
        page = read(
            Query(
                feature=query.feature,
                version_id=query.version_id,
                since=query.since,
                until=query.until,
                limit=query.limit,
                after=after,
            )
        )
        yield from page.rows
        if page.next is None:
            return
        after = page.next
