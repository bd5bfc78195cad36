"""Judging again: what was touched, and every answer about which a new turn or the end of a session says something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from trimtab.config import Settings
from trimtab.enrich.conversation import Conversation, conversations, neighbours
from trimtab.enrich.hearing import NEEDS_WORDS, Hearing, last_run
from trimtab.enrich.outcome import judge
from trimtab.enrich.recent import RecentInferences
from trimtab.enrich.segments import Segmenter
from trimtab.enrich.weights import table
from trimtab.records import Calibration, Inference, Opinion, Outcome
from trimtab.store.ports import CatalogStore, EventStore, JudgementStore, Session, Turn, Writes

__all__ = ["Judging"]


class JudgingStore(EventStore, JudgementStore, CatalogStore, Protocol):
    """What judging reads."""


class Judging:
    """Judges answers of one project within one tick; `known` are the inferences read so far, by id."""

    def __init__(
        self,
        store: JudgingStore,
        recent: RecentInferences,
        settings: Settings,
        project_id: str,
        known: dict[str, Inference],
        now: datetime,
    ) -> None:
        self._store = store
        self._recent = recent
        self._settings = settings
        self._project_id = project_id
        self._known = known
        self._now = now
        self._segmenters: dict[str, Segmenter] = {}
        self._weights: dict[str, Calibration] = {}

    def judge(
        self,
        touched: Iterable[str],
        writes: Writes,
        *,
        fresh: Sequence[Inference] = (),
        opinions: Mapping[str, Sequence[Opinion]] | None = None,
        closing: Mapping[str, Session] | None = None,
    ) -> None:
        """Add to `writes` the outcomes that are new or other than before; what nothing speaks for now is taken back.

        `fresh` are the inferences that this tick brings, `writes.turns` their turns, `opinions` those that it changes,
        `closing` the sessions it ends.
        """
        touched = list(touched)
        self._read(touched)
        talks = self._talks(touched, writes.turns, closing or {})
        ids = self._concerned(touched, talks, {turn.inference_id for turn in writes.turns})
        given = opinions or {}
        said = {**self._store.opinions(self._project_id, [each for each in ids if each not in given]), **given}
        self._read([*ids, *self._around(ids, talks)])
        shown = [each.feedback_id for key in ids for each in said.get(key, []) if each.kind in NEEDS_WORDS]
        words = self._store.feedback(self._project_id, shown) if shown else {}
        hearing = Hearing(self._settings.signals, talks, words, self._read)
        before = self._store.outcomes(self._project_id, ids)
        askers = {each.user_id or "" for each in (*fresh, *(self._known[key] for key in ids if key in self._known))}
        users = self._store.users(self._project_id, sorted(askers - {""}))
        for inference in fresh:  # a group counts from its first answer on, judged or not
            self._segmenter(inference.feature).of(inference, users.get(inference.user_id or ""))
        for inference_id in ids:
            about = self._known.get(inference_id)
            if about is None:  # its row is no longer kept
                continue
            held = said.get(inference_id, [])
            weights = self._weighed_by(about.feature)
            outcome = judge(about, held, hearing.hints(about, held), weights, now=self._now)
            old = before.get(inference_id)
            if outcome is None:
                if old is not None and not old.withdrawn:
                    writes.outcomes.append(_withdrawn(old, self._now))
                continue
            groups = self._segmenter(about.feature).of(about, users.get(about.user_id or ""))
            outcome = msgspec.structs.replace(outcome, segments=groups)
            if not _same(outcome, old):
                writes.outcomes.append(outcome)
        for feature, segmenter in self._segmenters.items():
            writes.segments += [(feature, key, value) for key, value in segmenter.fresh]

    def _read(self, ids: Iterable[str]) -> list[Inference]:
        """Return those of the inferences that are kept; each is read once."""
        wanted = dict.fromkeys(ids)
        missing = [each for each in wanted if each not in self._known]
        if missing:
            self._known.update(self._recent.read(self._project_id, missing))
        return [self._known[each] for each in wanted if each in self._known]

    def _talks(
        self, touched: Sequence[str], fresh: Sequence[Turn], closing: Mapping[str, Session]
    ) -> dict[tuple[str, str], Conversation]:
        """Return the conversations in which a touched answer or a new turn stands, or which end now."""
        named = {self._known[each].session_id or "" for each in touched if each in self._known}
        keys = sorted({*named, *(turn.session_id for turn in fresh), *closing} - {""})
        if not keys:
            return {}
        stored = self._store.turns(self._project_id, keys)
        return conversations(stored, fresh, {**self._store.sessions(self._project_id, keys), **closing})

    def _concerned(
        self, touched: Sequence[str], talks: Mapping[tuple[str, str], Conversation], fresh: set[str]
    ) -> list[str]:
        concerned = dict.fromkeys(touched)
        for talk in talks.values():
            if any(turn.inference_id in fresh for turn in talk.turns):
                concerned.update(dict.fromkeys(neighbours(talk, fresh, self._settings.signals.turns)))
            if talk.closed:
                concerned[talk.turns[-1].inference_id] = None
        return list(concerned)

    def _around(self, ids: Sequence[str], talks: Mapping[tuple[str, str], Conversation]) -> list[str]:
        """Return the answers that hearing will ask for: what follows, and of a session that is over its last turns."""
        wanted, reach = set(ids), self._settings.signals.turns
        found = []
        for talk in talks.values():
            for place, turn in enumerate(talk.turns):
                if turn.inference_id in wanted:
                    found += [each.inference_id for each in talk.turns[place + 1 : place + 1 + reach]]
            if talk.closed:
                found += [each.inference_id for each in talk.turns[-last_run(self._settings.signals) :]]
        return found

    def _weighed_by(self, feature: str) -> Calibration:
        """Return the feature's calibration; while it has none, the weights that the settings name."""
        held = self._weights.get(feature) or self._store.calibration(self._project_id, feature)
        if held is None:
            held = table(feature, self._settings.outcome, self._settings.features.get(feature), now=self._now)
        self._weights[feature] = held
        return held

    def _segmenter(self, feature: str) -> Segmenter:
        held = self._segmenters.get(feature)
        if held is None:
            held = Segmenter(self._settings.segments, self._store.segments(self._project_id, feature))
            self._segmenters[feature] = held
        return held


def _withdrawn(old: Outcome, now: datetime) -> Outcome:
    """Return the revision that takes the outcome back."""
    return Outcome(
        inference_id=old.inference_id,
        feature=old.feature,
        version_id=old.version_id,
        arm=old.arm,
        user_id=old.user_id,
        created_at=old.created_at,
        judged_at=now,
        p_bad=0.5,
        confidence=0.0,
        tier="C",
        evidence=[],
        segments=old.segments,
        withdrawn=True,
    )


def _same(outcome: Outcome, old: Outcome | None) -> bool:
    """Say whether nothing but the time of judging changed."""
    return old is not None and msgspec.structs.replace(outcome, judged_at=old.judged_at) == old
