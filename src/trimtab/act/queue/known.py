"""What is known of answers that nobody reviewed yet: the columns from which P(wrong) is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.embed.port import Embedder
from trimtab.records import Inference, Outcome, ReviewItem, text_of
from trimtab.stats.suspect import COLUMNS, around, by_answer
from trimtab.store.ports import HotStore, Query

__all__ = ["NEIGHBOURS", "Pool", "known_of", "question_of", "reviewed", "signals_of"]

NEIGHBOURS = timedelta(days=21)
"""For how long an answer's signals speak for its neighbours."""

_SAME_ANSWER = timedelta(days=14)
_VOTED_BAD, _VOTED_GOOD = 3.0, -1.0  # log-odds; assumed, as all shipped weights, until reviews teach others
_TEXT_CHARS = 2000
_MOST_EXAMPLES = 5000
_LEARNED_FROM = 2000  # verdicts, the newest
_PAGE = 1000


class Pool(NamedTuple):
    """Answers that people may be asked about, with their vectors and `COLUMNS`; the first `frame` can be audited."""

    answers: list[Inference]
    vectors: NDArray[np.float32]
    rows: NDArray[np.float64]
    frame: int


def signals_of(outcome: Outcome | None) -> float:
    """Return the log-odds of wrong that an answer's own signals add: its users' votes, and what they did."""
    if outcome is None:
        return 0.0
    hints = math.fsum(each.weight for each in outcome.evidence if each.share is None)
    return hints if outcome.vote is None else hints + _VOTED_GOOD + (_VOTED_BAD - _VOTED_GOOD) * outcome.vote


def known_of(
    store: HotStore,
    project_id: str,
    feature: str,
    answers: Sequence[Inference],
    earlier: Sequence[Inference],
    embedder: Embedder,
    *,
    frame: int,
    confidence_tag: str,
) -> Pool:
    """Return the answers with what is known of each; `earlier` ones only speak for their neighbours."""
    both = [*answers, *earlier]
    judged = store.outcomes(project_id, [answer.id for answer in both])
    said = np.array([signals_of(judged.get(answer.id)) for answer in both])
    vectors = embedder.embed([question_of(answer) for answer in both])
    of = range(len(answers))
    newest = max((answer.created_at for answer in answers), default=None)
    late = [i for i, each in enumerate(both) if newest is not None and each.created_at >= newest - _SAME_ANSWER]
    place = {row: number for number, row in enumerate(late)}
    same = by_answer([_answer(both[row]) for row in late], said[late], list(place.values()))
    own = np.array([same[place[row]] if row in place else 0.0 for row in of])
    rows = np.column_stack(
        (
            said[: len(answers)],
            [_margin(answer, confidence_tag) for answer in answers],
            _nearest(store, project_id, feature, vectors[: len(answers)], embedder),
            around(vectors, said, of),
            own,
        )
    )
    return Pool(list(answers), vectors[: len(answers)], rows, frame)


def reviewed(store: HotStore, project_id: str, feature: str) -> tuple[NDArray[np.float64], list[float], list[bool]]:
    """Return of the newest 2,000 verdicts what was known when their answers were chosen, and how wrong these were.

    How wrong is the mean over an answer's reviewers; the flags say which answers were drawn at random.
    """
    held: dict[str, list[ReviewItem]] = {}
    query: Query | None = Query(feature=feature, limit=_PAGE)
    read = 0
    while query is not None and read < _LEARNED_FROM:
        page = store.reviews(project_id, query, ("done",))
        read += len(page.rows)
        for row in page.rows:
            if row.record.known:
                held.setdefault(row.record.inference_id, []).append(row.record)
        query = Query(feature=feature, limit=_PAGE, after=page.next) if page.next is not None else None
    cards = list(held.values())
    rows = np.empty((len(cards), len(COLUMNS)))
    for place, seats in enumerate(cards):
        rows[place] = [_value(seats[0].known, name) for name in COLUMNS]
    wrong = [sum(seat.verdict == "bad" for seat in seats) / len(seats) for seats in cards]
    return rows, wrong, [seats[0].source == "random" for seats in cards]


def _value(known: Mapping[str, float], name: str) -> float:
    return float(known.get(name, math.nan))


def question_of(answer: Inference) -> str:
    """Return the words of the question, cut where they would only cost time."""
    return text_of(answer.input)[:_TEXT_CHARS]


def _answer(answer: Inference) -> str:
    """Return the answer's words; one without any is like no other."""
    return text_of(answer.output) or f"\x00{answer.id}"


def _margin(answer: Inference, tag: str) -> float:
    try:
        value = float(answer.tags[tag])
    except (KeyError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _nearest(
    store: HotStore, project_id: str, feature: str, vectors: NDArray[np.float32], embedder: Embedder
) -> NDArray[np.float64]:
    """Return each question's cosine to the nearest example of the version that is served; NaN where it has none."""
    found = np.full(len(vectors), math.nan)
    rollout = store.rollout(project_id, feature)
    version = rollout and store.version(project_id, feature, rollout.stable_version_id)
    if version and version.exemplars and len(vectors):
        examples = embedder.embed([item.input[:_TEXT_CHARS] for item in version.exemplars[-_MOST_EXAMPLES:]])
        found[:] = (vectors @ examples.T).max(axis=1)
    return found
