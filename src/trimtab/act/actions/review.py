"""The review action: asks people about the bad answers of an incident, those first whose verdict says most."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Situation
from trimtab.act.review import Candidate, added, chosen, item_id
from trimtab.config import Reviewing
from trimtab.records import Outcome, ReviewItem, text_of
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal_all
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["ReviewEffect"]

_PAGE = 1000
_MOST_READ = 5000


class ReviewEffect:
    """Puts at most `review.incident_items` answers into the review queue; one that is in it stays as it is."""

    name = "review"

    def __init__(self, store: HotStore, cleaners: Cleaners, settings: Reviewing) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings

    def plan(self, situation: Situation) -> Plan:
        """Count what would be asked."""
        items = self._items(situation)
        reason = f"asks people about {len(items)} answers" if items else "no bad answer that nobody was asked about yet"
        return Plan(action=self.name, possible=bool(items), reason=reason, detail={"items": len(items)})

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        """Write the items."""
        items = self._items(situation)
        return Writes(reviews=items), {"items": [item.id for item in items]}

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        """Take back what nobody has begun to judge."""
        read = [self._store.review(situation.project_id, each) for each in done["items"]]
        unread = [item for item in read if item is not None and item.state == "open"]
        taken = [msgspec.structs.replace(item, state="skipped", closed_at=situation.now) for item in unread]
        return Writes(reviewed=seal_all(self._cleaners.of(situation.project_id), taken))

    def _items(self, situation: Situation) -> list[ReviewItem]:
        project_id, incident = situation.project_id, situation.incident
        if incident.kind == "drift":
            return self._new(situation)
        bad = {outcome.inference_id: outcome for outcome in self._bad(situation)}
        answers = self._store.inferences(project_id, list(bad))
        known = [Candidate(bad[key], text_of(answer.input)) for key, answer in answers.items()]
        found = chosen(known, self._settings.incident_items, self._settings.alike)
        items = added(found, incident.feature, incident.id, situation.now)
        return [item for item in items if self._store.review(project_id, item.id) is None]

    def _new(self, situation: Situation) -> list[ReviewItem]:
        """Return the samples of what people newly ask: whether the answers serve them is not known yet."""
        project_id, incident = situation.project_id, situation.incident
        samples = incident.detail.get("drift", {}).get("samples", [])
        there = self._store.inferences(project_id, samples)
        items = [
            ReviewItem(
                id=item_id(each),
                feature=incident.feature,
                inference_id=each,
                source="incident",
                state="open",
                reason="asked for something new; is the answer of use?",
                priority=1.0 - place / len(samples),
                opened_at=situation.now,
                incident_id=incident.id,
            )
            for place, each in enumerate(samples[: self._settings.incident_items])
            if each in there
        ]
        return [item for item in items if self._store.review(project_id, item.id) is None]

    def _bad(self, situation: Situation) -> list[Outcome]:
        """Return the bad answers of the incident's group since its onset, the newest first."""
        incident = situation.incident
        # A group across versions names none that is stored.
        version = self._store.version(situation.project_id, incident.feature, incident.version_id)
        version_id = incident.version_id if version else None
        query: Query | None = Query(
            feature=incident.feature, version_id=version_id, since=incident.onset_at, limit=_PAGE
        )
        read, found = 0, []
        while query is not None and read < _MOST_READ:
            page = self._store.list_outcomes(situation.project_id, query)
            found += [row.record for row in page.rows if row.record.p_bad > 0.5]
            read += len(page.rows)
            query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None
        return [outcome for outcome in found if _is_in(outcome, incident.segment)]


def _is_in(outcome: Outcome, group: dict[str, str]) -> bool:
    """Say whether an answer can be of the group; groups of models, tags and rare values are not told apart here."""
    return all(value.startswith("(") or outcome.segments.get(key, value) == value for key, value in group.items())
