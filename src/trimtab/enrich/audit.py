"""The audit: answers drawn at random, with what a reviewer said of them and what the score had said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from trimtab.enrich.outcome import reviewed
from trimtab.records import AuditItem, Opinion, Outcome, Signal
from trimtab.store.ports import Page, Query

__all__ = ["AuditStore", "Audited", "audit_of", "hints_of", "labels", "weights_of"]

_PAGE_ROWS = 1000
_MOST_PAGES = 20


class AuditStore(Protocol):
    """What reading an audit needs of the store."""

    def audits(self, project_id: str, query: Query) -> Page[AuditItem]:
        """Return one page of what was drawn for audits."""
        ...

    def opinions(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, list[Opinion]]:
        """Return the latest opinions on each inference."""
        ...

    def outcomes(self, project_id: str, inference_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return the outcomes of those inferences that have one."""
        ...


class Audited(NamedTuple):
    """A drawn answer that a reviewer judged: how `bad` it is, which `hints` were seen, what users said (`vote`).

    `estimate` is its score, None where no signal came: such answers have the base rate.
    """

    item: AuditItem
    bad: float
    hints: frozenset[Signal]
    vote: float | None
    estimate: float | None


def audit_of(
    store: AuditStore, project_id: str, feature: str, since: datetime | None, until: datetime | None
) -> list[Audited]:
    """Return the judged items of the feature's audit over answers created in [since, until), the newest 20,000 drawn.

    Only what was drawn counts: reviewers also judge answers that were picked because they looked bad.
    """
    found: list[Audited] = []
    for items in _pages(store, project_id, Query(feature=feature, since=since, until=until, limit=_PAGE_ROWS)):
        said = labels(store, project_id, [item.inference_id for item in items])
        outcomes = store.outcomes(project_id, list(said))
        for item in items:
            bad, outcome = said.get(item.inference_id), outcomes.get(item.inference_id)
            if bad is None:
                continue
            hints = hints_of(outcome) if outcome else frozenset()
            vote, estimate = (outcome.vote, outcome.estimate) if outcome else (None, None)
            found.append(Audited(item, bad, hints, vote, estimate))
    return found


def weights_of(drawn: Sequence[Audited]) -> list[float]:
    """Return for how many answers each drawn one stands: the inverse of its inclusion, or the mean where it is unknown.

    As many are drawn from a busy week as from a quiet one, so that one of the busy week stands for more.
    """
    known = [1.0 / each.item.inclusion for each in drawn if each.item.inclusion]
    mean = sum(known) / len(known) if known else 1.0
    return [1.0 / each.item.inclusion if each.item.inclusion else mean for each in drawn]


def labels(store: AuditStore, project_id: str, inference_ids: Sequence[str]) -> dict[str, float]:
    """Return how bad reviewers said each answer is, 0 to 1; those that none has judged are left out."""
    opinions = store.opinions(project_id, inference_ids)
    said = {inference_id: reviewed(held) for inference_id, held in opinions.items()}
    return {inference_id: bad for inference_id, bad in said.items() if bad is not None}


def hints_of(outcome: Outcome) -> frozenset[Signal]:
    """Return the kinds of hints behind an outcome; words have a share, hints have none."""
    return frozenset(evidence.kind for evidence in outcome.evidence if evidence.share is None)


def _pages(store: AuditStore, project_id: str, query: Query) -> Iterator[list[AuditItem]]:
    after = None
    for _ in range(_MOST_PAGES):
        page = store.audits(
            project_id,
            Query(feature=query.feature, since=query.since, until=query.until, limit=query.limit, after=after),
        )
        yield [row.record for row in page.rows]
        after = page.next
        if after is None:
            return
