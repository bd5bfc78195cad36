"""How the documents that answers used have fared with the people who got them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from trimtab.act.knowledge.diagnose import support
from trimtab.records import Outcome, text_of
from trimtab.stats.boost import Boost, Use, boosts
from trimtab.store.ports import EventStore, JudgementStore, Query

__all__ = ["document_boosts"]

_USED = 0.5
_LOOK_BACK = timedelta(days=180)
_PAGE = 1000
_MOST = 5000


class StandingStore(EventStore, JudgementStore, Protocol):
    """What is read."""


def document_boosts(store: StandingStore, project_id: str, feature: str, now: datetime) -> list[Boost]:
    """Return the boost of each document that answers with a vote used, the most harmful first.

    Looked at are the newest 5,000 outcomes of half a year. A document was used when half of the answer's content words
    stand in the text the app told of it: what was only retrieved, or has no text, counts for nothing.
    """
    voted = _voted(store, project_id, feature, now)
    return boosts(use for outcomes in voted for use in _uses(store, project_id, outcomes, now))


def _voted(store: StandingStore, project_id: str, feature: str, now: datetime) -> Iterator[list[Outcome]]:
    after: int | None = None
    for _ in range(_MOST // _PAGE):
        query = Query(feature=feature, since=now - _LOOK_BACK, after=after, limit=_PAGE)
        page = store.list_outcomes(project_id, query)
        yield [row.record for row in page.rows if row.record.vote is not None]
        after = page.next
        if after is None:
            return


def _uses(store: StandingStore, project_id: str, outcomes: list[Outcome], now: datetime) -> Iterator[Use]:
    answers = store.inferences(project_id, [outcome.inference_id for outcome in outcomes])
    for outcome in outcomes:
        answer = answers.get(outcome.inference_id)
        for chunk in answer.context if answer else ():
            if chunk.text and answer and support(text_of(answer.output), chunk.text) >= _USED:
                yield Use(chunk.id, outcome.vote or 0.0, (now - outcome.created_at).total_seconds() / 86400)
