"""What an action may build on, and what only judges it: the corrections of a feature, split by person.

What few people, or people made up for it, say all at once is neither (`guard.agreement`), nor are answers that agree
with what their author taught the version that gave them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from trimtab.act.guard.agreement import Agreement, author_of, folded, sudden
from trimtab.config import Settings
from trimtab.errors import NotFound
from trimtab.records import Correction, Rollout, Version, text_of
from trimtab.stats.bucket import split_part
from trimtab.store.ports import HotStore, Query

__all__ = ["Evidence", "heard_consumer", "part_of", "pleased_consumer"]

_MOST = 10_000
_REMEMBERED = 64
_LATEST = 1000


def heard_consumer(project_id: str, feature: str) -> str:
    """Return the name under which it is remembered when each voter of a feature was first heard of."""
    return f"{project_id}/{feature}/heard"


def pleased_consumer(project_id: str, feature: str) -> str:
    """Return the name under which it is remembered when each voter of a feature was first pleased with an answer."""
    return f"{project_id}/{feature}/pleased"


def part_of(correction: Correction) -> str:
    """Return "build" or "judge": split by the user whose answer was wrong, so that no person's words do both."""
    return split_part(correction.user_id or correction.inference_id)


class Evidence:
    """Reads the words of people for actions. Build and judge never share a person."""

    def __init__(self, store: HotStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self._agreements: dict[tuple[str, str], tuple[int, list[Agreement]]] = {}
        self._lock = threading.Lock()  # ticks, runs and requests ask

    def build(self, project_id: str, base: Version, now: datetime) -> list[Correction]:
        """Return the build part that no golden case, exemplar or knowledge of `base` stands for yet, newest first.

        Of one person the newest `guard.per_person`; reviewers, whose work it is, are not limited.
        """
        used = {item.source_feedback_id for item in base.exemplars}
        used |= {item.source_feedback_id for item in base.knowledge}
        said: dict[str, int] = {}
        chosen: list[Correction] = []
        words = self.corrections(project_id, base.feature, now)
        if any(item.source == "reviewer" for item in words):  # of users' words the split alone says what judges
            used |= {case.feedback_id for case in self.store.cases(project_id, base.feature, retired=True)}
        for item in words:
            if item.feedback_id in used or part_of(item) != "build":
                continue
            if item.source != "reviewer":
                author = author_of(item)
                said[author] = said.get(author, 0) + 1
                if said[author] > self.settings.guard.per_person:
                    continue
            chosen.append(item)
        return chosen

    def judge(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return the judge part that is no golden case yet, nor was one that is retired, newest first."""
        known = {case.feedback_id for case in self.store.cases(project_id, feature, retired=True)}
        return [
            item
            for item in self.corrections(project_id, feature, now)
            if item.feedback_id not in known and part_of(item) == "judge"
        ]

    def corrections(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return the feature's usable corrections of the last `playbook.lookback_days`, newest first."""
        rows = self._all(project_id, feature, now)
        aside = {held for each in self._sudden(project_id, feature, rows) for held in each.corrections}
        taught: dict[str, frozenset[tuple[str, ...]]] = {}
        return [item for item in rows if item.feedback_id not in aside and not self._repeats(project_id, item, taught)]

    def reviewed(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return what reviewers corrected in the last `playbook.lookback_days`, newest first; none is set aside."""
        return [item for item in self._all(project_id, feature, now) if item.source == "reviewer"]

    def agreements(self, project_id: str, feature: str, now: datetime) -> list[Agreement]:
        """Return what is set aside of the feature's corrections, by its time."""
        return self._sudden(project_id, feature, self._all(project_id, feature, now))

    def authors(self, project_id: str, feature: str, feedback_ids: Collection[str], now: datetime) -> set[str]:
        """Return who said these, and who else gave the same answers, as votes name them."""
        rows = self._all(project_id, feature, now)
        answers = {folded(item.corrected) for item in rows if item.feedback_id in feedback_ids}
        said = self.sayers(project_id, feedback_ids)  # a rule is made of comments too
        return said | {author_of(item) for item in rows if folded(item.corrected) in answers}

    def sayers(self, project_id: str, feedback_ids: Collection[str]) -> set[str]:
        """Return who said these, as votes name them."""
        words = self.store.feedback(project_id, sorted(feedback_ids)).values()
        return {word.user_id for word in words if word.user_id}

    def rollout(self, project_id: str, feature: str) -> Rollout:
        """Return what the feature serves. Raises NotFound for a feature that serves nothing."""
        rollout = self.store.rollout(project_id, feature)
        if rollout is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return rollout

    def served(self, project_id: str, feature: str) -> Version:
        """Return the version everyone gets. Raises NotFound for a feature that serves nothing."""
        stable = self.store.version(project_id, feature, self.rollout(project_id, feature).stable_version_id)
        if stable is None:
            raise NotFound(f"feature {feature!r} serves nothing yet", param=feature)
        return stable

    def _all(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        since = now - timedelta(days=self.settings.playbook.lookback_days)
        query = Query(feature=feature, since=since, limit=_MOST)
        rows = [row.record for row in self.store.corrections(project_id, query).rows]
        return sorted(rows, key=lambda item: (item.created_at, item.feedback_id), reverse=True)

    def _sudden(self, project_id: str, feature: str, rows: Sequence[Correction]) -> list[Agreement]:
        """Cluster the corrections, unless nothing changed since: it is asked for at every tick of an open incident."""
        released = self.store.released(project_id)
        state = hash((tuple(item.feedback_id for item in rows), frozenset(released)))
        known = self._agreements.get((project_id, feature))
        if known is not None and known[0] == state:
            return known[1]
        found = sudden(
            rows,
            heard=lambda people: self.store.votes(heard_consumer(project_id, feature), list(people)),
            around=lambda since, until: self._voters(project_id, feature, since, until),
            released=released,
            settings=self.settings.guard,
        )
        with self._lock:
            while len(self._agreements) >= _REMEMBERED:
                self._agreements.pop(next(iter(self._agreements)))
            self._agreements[project_id, feature] = (state, found)
        return found

    def _voters(self, project_id: str, feature: str, since: datetime, until: datetime) -> set[str]:
        query = Query(feature=feature, since=since, until=until, limit=_LATEST)
        rows = self.store.list_outcomes(project_id, query).rows
        return {row.record.voter_id for row in rows if row.record.voter_id is not None}

    def _repeats(self, project_id: str, item: Correction, taught: dict[str, frozenset[tuple[str, ...]]]) -> bool:
        """Say whether the version that was corrected had this very lesson: then saying it again is no new evidence."""
        if item.version_id is None or item.source == "reviewer":
            return False
        if item.version_id not in taught:
            version = self.store.version(project_id, item.feature, item.version_id)
            taught[item.version_id] = self._lessons(project_id, version) if version else frozenset()
        answer = folded(item.corrected)
        lessons = taught[item.version_id]
        return (folded(text_of(item.input)), answer) in lessons or (author_of(item), "said", answer) in lessons

    def _lessons(self, project_id: str, version: Version) -> frozenset[tuple[str, ...]]:
        """Return what a version was taught by corrections: by input and answer, and by author and answer."""
        told = [(item.source_feedback_id, item.input, item.output) for item in version.exemplars]
        told += [(item.source_feedback_id, item.question, item.text) for item in version.knowledge]
        words = self.store.feedback(project_id, [source for source, _, _ in told if source])
        lessons: set[tuple[str, ...]] = set()
        for source, asked, answer in told:
            if source is not None:
                lessons.add((folded(asked), folded(answer)))
                author = words[source].user_id if source in words else None
                if author:
                    lessons.add((author, "said", folded(answer)))
        return frozenset(lessons)
