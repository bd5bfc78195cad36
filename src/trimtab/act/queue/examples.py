"""Looks at old examples: where corrections contradict an answer as a whole, people say whether its examples still hold.

All is read from the store each time: what reviewers said of the last eight weeks, and which examples people were asked
about. An item holds no words, only what names them; whatever is erased or replaced meanwhile ends the question.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from trimtab.act.notices import Notices
from trimtab.act.outdated import LEAST, REST, SAMPLE, WINDOW, Suspected, suspected
from trimtab.act.queue.budget import left
from trimtab.act.review import Reviews, item_id
from trimtab.clock import to_micros
from trimtab.config import Settings
from trimtab.ids import derived_id
from trimtab.records import Correction, Exemplar, ReviewItem, Verdict, Version, text_of
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal_all
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["ExampleLooks", "Typical"]

Typical: TypeAlias = Callable[[str, Version, Sequence[str], datetime], list[str | None]]
"""Of a project and version: the answer that each input is a typical question of, by examples added before a time."""

_PAGE = 1000
_MOST_READ = 10_000
_SURE = 0.5  # how far a suspicion is believed; it sets the place in the queue, no more


class _Heard(NamedTuple):
    """What reviewers' corrections contradict: when each was said, and the newest of those that say the same."""

    times: Mapping[Suspected, Sequence[datetime]]
    newest: Mapping[Suspected, Correction]


class ExampleLooks:
    """Asks people about three old examples of an answer that seems out of date, and says what came of it.

    A suspicion is a pair of an answer as the examples say it, and the one that corrections give instead, compared
    without regard to case and blanks. `typical` says which answer a question is a typical one of.
    """

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        settings: Settings,
        reviews: Reviews,
        typical: Typical,
        *,
        notices: Notices | None = None,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._reviews = reviews
        self._typical = typical
        self._notices = notices

    def raise_doubts(
        self, project_id: str, feature: str, now: datetime, *, budget: int | None = None
    ) -> list[ReviewItem]:
        """Put examples of answers that seem out of date into the queue; return the items.

        There are at most `budget`, or as many as are left of the week's. What was asked within four weeks is not asked
        again. Items that can lead to nothing any more are closed.
        """
        if budget is None:
            budget = left(self._store, self._settings, project_id, feature, now)
        version = self._served(project_id, feature) if budget >= SAMPLE else None
        heard = self._heard(project_id, version, now) if version else _Heard({}, {})
        with self._reviews.turn:
            looks = self._store.review_looks(project_id, feature, now - WINDOW)
            items = list(_new(version, heard, looks, budget, now)) if version else []
            idle = [msgspec.structs.replace(each, state="skipped", closed_at=now) for each in _idle(looks, now)]
            if items or idle:
                writes = Writes(reviews=items, reviewed=seal_all(self._cleaners.of(project_id), idle))
                if self._notices is not None:
                    self._notices.add(project_id, writes, now)
                self._store.commit({project_id: writes})
        return items

    def renewals(self, project_id: str, feature: str, base: Version, now: datetime) -> dict[str, tuple[str, str]]:
        """Return the answers of `base` that people found out of date: doubt id -> (old answer, what is right now).

        Those of the last four weeks, the oldest doubt first, where a person said of each of the three examples that the
        new answer is right. What rests on words that were erased, replaced or taken back is left out.
        """
        looks = self._store.review_looks(project_id, feature, now - REST)
        confirmed = {
            doubt: items
            for doubt, items in _by_doubt(looks).items()
            if len(items) >= SAMPLE
            and all(each.state == "done" and each.verdict == "bad" and each.confirms for each in items)
        }
        words = self._words(project_id, [each.instead_id for items in confirmed.values() for each in items])
        examples = {item.id: item.output for item in base.exemplars}
        found: dict[str, tuple[str, str]] = {}
        for doubt, items in confirmed.items():
            old = {examples.get(each.exemplar_id or "") for each in items}
            new = {words.get(each.instead_id or "") for each in items}
            if len(old) > 1 or len(new) > 1 or None in (old | new):
                continue
            said = Suspected(*(text for text in (*old, *new) if text is not None))
            if doubt == _doubt_id(feature, said, items[0].opened_at):  # neither says anything else by now
                found[doubt] = said.old, said.new
        return found

    def shown(self, project_id: str, items: Sequence[ReviewItem]) -> dict[str, Exemplar]:
        """Return the example of each item that is about one, by item id, where it still is served as it was."""
        looks = [item for item in items if item.source == "example"]
        served = {feature: self._served(project_id, feature) for feature in {item.feature for item in looks}}
        examples = {
            (feature, each.id): each for feature, version in served.items() if version for each in version.exemplars
        }
        found = {item.id: examples.get((item.feature, item.exemplar_id or "")) for item in looks}
        return {
            item.id: each
            for item in looks
            if (each := found[item.id]) is not None and (each.added_at is None or each.added_at < item.opened_at)
        }

    def confirms(self, project_id: str, item: ReviewItem, verdict: Verdict, correction: str | None) -> bool | None:
        """Say whether the verdict on an example is that the suspected answer is right; None where it says nothing.

        The correction is compared as it would be stored, so that words which the redactor replaces are equal.
        """
        if verdict == "skip":
            return None
        if verdict == "good" or correction is None:
            return False
        instead = self._words(project_id, [item.instead_id]).get(item.instead_id or "")
        [clean] = self._cleaners.of(project_id).batch([correction])
        return instead is not None and _folded(clean) == _folded(instead)

    def _served(self, project_id: str, feature: str) -> Version | None:
        rollout = self._store.rollout(project_id, feature)
        return self._store.version(project_id, feature, rollout.stable_version_id) if rollout else None

    def _heard(self, project_id: str, version: Version, now: datetime) -> _Heard:
        """Return what corrections of typical questions contradict; two reviewers of one answer contradict once."""
        said = self._corrections(project_id, version.feature, now)
        counts: dict[str, set[str]] = defaultdict(set)
        for each in said:
            counts[_folded(each.corrected)].add(each.inference_id)
        # Most corrections are the only ones of their kind: the space is not asked about them.
        said = [each for each in said if len(counts[_folded(each.corrected)]) >= LEAST]
        if not said or not version.exemplars:
            return _Heard({}, {})
        typical = self._typical(project_id, version, [text_of(each.input) for each in said], now - WINDOW)
        times: dict[Suspected, dict[str, datetime]] = defaultdict(dict)
        newest: dict[Suspected, Correction] = {}
        for old, each in zip(typical, said, strict=True):  # oldest first
            pair = Suspected(old or "", _folded(each.corrected))
            if old is not None and _folded(old) != pair.new:
                times[pair][each.inference_id] = each.created_at
                newest[pair] = each
        return _Heard({pair: list(told.values()) for pair, told in times.items()}, newest)

    def _corrections(self, project_id: str, feature: str, now: datetime) -> list[Correction]:
        """Return reviewers' corrections of the last eight weeks, oldest first; of very many the newest."""
        found: list[Correction] = []
        read = 0
        query: Query | None = Query(feature=feature, since=now - WINDOW, until=now, limit=_PAGE)
        while query is not None and read < _MOST_READ:
            page = self._store.corrections(project_id, query)
            read += len(page.rows)
            found += [row.record for row in page.rows if row.record.source == "reviewer"]
            query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None
        return sorted(found, key=lambda each: (each.created_at, each.feedback_id))

    def _words(self, project_id: str, feedback_ids: Sequence[str | None]) -> dict[str, str]:
        """Return what each of these corrections says that still holds."""
        ids = sorted({each for each in feedback_ids if each is not None})
        about = set(self._store.joined(project_id, ids).values())
        opinions = self._store.opinions(project_id, sorted(about))
        holds = {each.feedback_id for said in opinions.values() for each in said if not each.retracted}
        kept = self._store.feedback(project_id, ids)
        return {key: each.text for key, each in kept.items() if key in holds and each.text is not None}


def _new(
    version: Version, heard: _Heard, looks: Sequence[ReviewItem], budget: int, now: datetime
) -> Iterator[ReviewItem]:
    """Yield the items of each suspicion that is to be asked about, while the budget lasts."""
    raised = {each.doubt_id: each.opened_at for each in looks}
    asked: dict[Suspected, datetime] = {}
    for pair in heard.times:
        for doubt, at in raised.items():
            if doubt == _doubt_id(version.feature, pair, at):
                asked[pair] = at
    for pair in suspected(heard.times, asked, now):
        texts = {_folded(item.input): item for item in _old_examples(version, pair.old, now)}
        if len(texts) < SAMPLE or budget < SAMPLE:
            continue
        budget -= SAMPLE
        yield from _items(version.feature, pair, list(texts.values()), heard.newest[pair], now)


def _items(
    feature: str, pair: Suspected, examples: Sequence[Exemplar], newest: Correction, now: datetime
) -> Iterator[ReviewItem]:
    doubt = _doubt_id(feature, pair, now)
    drawn = np.random.default_rng(int(doubt.replace("-", ""), 16)).permutation(len(examples))[:SAMPLE]
    for place in drawn:
        about = derived_id("example", doubt, examples[place].id)
        yield ReviewItem(
            id=item_id(about),
            feature=feature,
            inference_id=about,
            source="example",
            state="open",
            reason="an old example: is its answer still right?",
            priority=_SURE * (1 + math.log(len(examples))),
            opened_at=now,
            exemplar_id=examples[place].id,
            doubt_id=doubt,
            instead_id=newest.feedback_id,
        )


def _doubt_id(feature: str, pair: Suspected, raised: datetime) -> str:
    """Return the id by which a suspicion is known, without a word of it being kept."""
    return derived_id("doubt", feature, pair.old, _folded(pair.new), str(to_micros(raised)))


def _old_examples(version: Version, answer: str, now: datetime) -> list[Exemplar]:
    """Return the examples for everyone that say the answer and are older than what can contradict it."""
    own = (item for item in version.exemplars if item.output == answer and not item.audience)
    return [item for item in own if item.added_at is None or item.added_at < now - WINDOW]


def _by_doubt(looks: Sequence[ReviewItem]) -> dict[str, list[ReviewItem]]:
    found: dict[str, list[ReviewItem]] = {}
    for each in looks:
        found.setdefault(each.doubt_id or each.id, []).append(each)
    return found


def _idle(looks: Sequence[ReviewItem], now: datetime) -> Iterator[ReviewItem]:
    """Yield the items nobody has that can lead to nothing: another of the doubt did not confirm, or it is too old."""
    for items in _by_doubt(looks).values():
        ended = any(each.state in ("done", "skipped") and not each.confirms for each in items)
        for each in items:
            free = each.state == "open" or (each.state == "reserved" and not _is_held(each, now))
            if free and (ended or now - each.opened_at >= REST):
                yield each


def _is_held(item: ReviewItem, now: datetime) -> bool:
    return item.reserved_until is not None and item.reserved_until > now


def _folded(text: str) -> str:
    """Return the words by which two answers are compared."""
    return " ".join(text.split()).casefold()
