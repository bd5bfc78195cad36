"""The re-scan stage: when the rules of a project change, what is stored is cleaned again by the new ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, get_args

import msgspec
import structlog

from trimtab.errors import Conflict, Unavailable
from trimtab.records import Redacted, Rollout, Version
from trimtab.redact.again import seal_again
from trimtab.redact.project import Standing
from trimtab.redact.wall import Cleaner
from trimtab.store.ports import (
    Aside,
    AsideKind,
    AsideStore,
    CatalogStore,
    LoopStore,
    RedactionStore,
    Rescan,
    RescanKind,
    Stored,
    Switch,
    Writes,
)
from trimtab.store.sieve import Sieve

__all__ = ["KINDS", "Progress", "RescanStage"]

KINDS: Final[tuple[RescanKind, ...]] = get_args(RescanKind)
_RULED: Final = ("inferences", "feedback")
_PIECE: Final = 64
_RETRY_S: Final = 30.0
_NOUNS: Final[dict[RescanKind, AsideKind]] = {
    "inferences": "inference",
    "feedback": "feedback",
    "versions": "version",
    "cases": "case",
    "case_answers": "case_answer",
    "features": "feature",
    "users": "user",
}


class Standings(Protocol):
    """Who knows what a project's rows should have gone through."""

    def standing(self, project_id: str) -> Standing:
        """Return the cleaner and rules of now, and all rules that take no less. Raises Unavailable."""
        ...


class RescanStore(RedactionStore, CatalogStore, LoopStore, AsideStore, Protocol):
    """What this stage needs of the store."""


class Progress(NamedTuple):
    """How far rows of one kind are cleaned by `rules`: all up to `seq` of `last`; `rewritten` of them changed."""

    kind: RescanKind
    rules: str
    seq: int
    last: int
    rewritten: int


class RescanStage:
    """Cleans again what went through other rules than its project's of now, and through no stricter ones.

    Each tick looks at a bounded number of rows and spends at most about `budget_s` on cleaning. Cleaner words, the
    rules they went through and the place reached are one commit: killed at any moment, it goes on where it was, and
    as cleaning twice changes nothing more, it ends in the same state. Where rules became laxer nothing is rewritten.

    When rows cannot be cleaned (a model is missing), it says so in `problem`, leaves them as they are and tries again
    after half a minute; neither another project nor another stage waits for it. One row that raises is set aside with
    its words as they were; asked to try it again, the walks of its project begin anew.
    """

    name = "rescan"

    def __init__(
        self,
        store: RescanStore,
        standings: Standings,
        *,
        batch_rows: int = 500,
        look_rows: int = 20_000,
        budget_s: float = 0.05,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._standings = standings
        self._batch_rows = batch_rows
        self._look_rows = look_rows
        self._budget_s = budget_s
        self._stopwatch = stopwatch
        # Where each walk is; the store hears of it when rows change or a long way was made, not at every tick.
        self._walks: dict[tuple[str, RescanKind], Rescan] = {}
        self._kept: dict[tuple[str, RescanKind], Rescan] = {}
        self._waiting: dict[str, tuple[float, str]] = {}  # by project: until when, and why
        self._sieve: Sieve[Stored[Any]] = Sieve()
        self._first = 0  # which project comes first: each in its turn

    @property
    def problem(self) -> str | None:
        """Why rows wait, of one project where several do; None when none do."""
        return next((told for _, told in self._waiting.values()), None)

    def tick(self, now: datetime) -> int:
        """Clean at most one batch of rows and return how many rows were cleaned or passed over."""
        last = {kind: self._store.last_seq(kind) for kind in KINDS}
        handled = self._try_again()
        projects = self._store.projects()
        self._first = (self._first + 1) % max(len(projects), 1)
        for project in [*projects[self._first :], *projects[: self._first]]:
            handled += self._in_turn(project.id, last, now)
            if handled >= self._batch_rows:
                break
        return handled

    def progress(self, project_id: str) -> list[Progress]:
        """Return how far each kind of the project's rows is. Asks the store."""
        rules = self._standings.standing(project_id).rules
        kept = self._store.rescans(project_id)
        found = []
        for kind in KINDS:
            walk = self._walks.get((project_id, kind)) or kept.get(kind)
            if walk is None or walk.rules != rules:
                walk = Rescan(project_id, kind, rules, 0, 0)
            found.append(Progress(kind, rules, walk.seq, self._store.last_seq(kind), walk.rewritten))
        return found

    def _in_turn(self, project_id: str, last: dict[RescanKind, int], now: datetime) -> int:
        """Take a project's walks on, unless its rows wait; when they cannot be cleaned, let them wait."""
        until, before = self._waiting.get(project_id, (0.0, ""))
        if self._stopwatch() < until:
            return 0
        try:
            handled = self._project(project_id, last, now)
        except Unavailable as error:
            if error.message != before:
                structlog.get_logger("trimtab.rescan").error("rows wait to be cleaned again", problem=error.message)
            self._waiting[project_id] = (self._stopwatch() + _RETRY_S, error.message)
            return 0
        self._waiting.pop(project_id, None)
        return handled

    def _project(self, project_id: str, last: dict[RescanKind, int], now: datetime) -> int:
        standing = self._standings.standing(project_id)
        handled = 0
        for kind in KINDS:
            walk = self._walk(project_id, kind, standing.rules)
            if walk.seq < last[kind]:
                handled += self._further(walk, standing, now)
        return handled

    def _walk(self, project_id: str, kind: RescanKind, rules: str) -> Rescan:
        key = (project_id, kind)
        if key not in self._walks:
            kept = self._store.rescans(project_id)
            for each in KINDS:
                found = kept.get(each) or Rescan(project_id, each, "", 0, 0)
                self._walks[project_id, each] = self._kept[project_id, each] = found
        if self._walks[key].rules != rules:
            self._walks[key] = Rescan(project_id, kind, rules, 0, 0)
        return self._walks[key]

    def _further(self, walk: Rescan, standing: Standing, now: datetime) -> int:
        """Take one walk a bounded way on and return how many rows that were to be cleaned or passed over."""
        key = (walk.project_id, walk.kind)
        found = self._store.stale(
            walk.kind,
            walk.project_id,
            standing.enough,
            after=walk.seq,
            limit=self._batch_rows,
            look=self._look_rows,
        )
        if not found.rows:
            moved = walk._replace(seq=found.reached)
            # A short way over fresh rows is looked at again after a restart; each tick would cost a synced commit.
            kept = self._kept[key]
            if kept.rules != moved.rules or moved.seq - kept.seq >= self._look_rows:
                self._store.commit({walk.project_id: Writes(rescans=[moved])})
                self._kept[key] = moved
            self._walks[key] = moved
            return 1 if moved.seq - walk.seq >= self._look_rows else 0
        cleaned, lost = self._cleaned(standing.cleaner, found.rows)
        seen = len(cleaned) + len(lost)
        reached = found.reached if seen == len(found.rows) else found.rows[seen - 1].seq
        changed = [sealed for sealed, different in cleaned if different]
        moved = walk._replace(seq=reached, rewritten=walk.rewritten + len(changed))
        noun = _NOUNS[walk.kind]
        aside = [Aside(walk.project_id, self.name, noun, _name_of(row.record), error, now) for row, error in lost]
        writes = Writes(rescans=[moved], rewritten=changed, aside=aside)
        if walk.kind in _RULED:
            writes.rewritten = [sealed for sealed, _ in cleaned]
        writes.switches = self._announced(walk.project_id, changed, now)
        try:
            self._store.commit({walk.project_id: writes})
        except Conflict:  # someone switched a feature meanwhile: next time with what it serves now
            return seen
        self._walks[key] = self._kept[key] = moved
        return seen

    def _cleaned(
        self, cleaner: Cleaner, rows: Sequence[Stored[Any]]
    ) -> tuple[list[tuple[Redacted[Any], bool]], list[tuple[Stored[Any], str]]]:
        """Clean rows until all are, or the time for it is up; return them, and those that raised with the reason."""
        until = self._stopwatch() + self._budget_s
        cleaned: list[tuple[Redacted[Any], bool]] = []
        lost: list[tuple[Stored[Any], str]] = []

        def clean(piece: Sequence[Stored[Any]]) -> None:
            cleaned.extend(seal_again(cleaner, [row.record for row in piece]))

        while (seen := len(cleaned) + len(lost)) < len(rows) and (not seen or self._stopwatch() < until):
            # One row first, then twice as many each time: a model may take as long for one as patterns for a thousand.
            self._sieve.run(
                rows[seen : seen + min(seen or 1, _PIECE)], clean, lambda row, error: lost.append((row, error))
            )
        return cleaned, lost

    def _try_again(self) -> int:
        """Begin the walks of a project anew that has rows to be tried again: those that are clean are passed over."""
        asked = self._store.asides(stage=self.name, again=True)
        writes: dict[str, Writes] = {}
        for aside in asked:
            writes.setdefault(aside.project_id, Writes()).taken_up.append(aside)
        for project_id, each in writes.items():
            each.rescans = [Rescan(project_id, kind, "", 0, 0) for kind in KINDS]
        if writes:
            self._store.commit(writes)
            self._walks = {key: walk for key, walk in self._walks.items() if key[0] not in writes}
            self._kept = {key: walk for key, walk in self._kept.items() if key[0] not in writes}
        return len(asked)

    def _announced(self, project_id: str, changed: Sequence[Redacted[Any]], now: datetime) -> list[Switch]:
        """Raise the revision of features that serve a version whose words changed, so that apps fetch it anew."""
        versions = [sealed.record for sealed in changed if isinstance(sealed.record, Version)]
        switches = []
        for feature in dict.fromkeys(version.feature for version in versions):
            rollout = self._store.rollout(project_id, feature)
            ids = {version.id for version in versions if version.feature == feature}
            if rollout is not None and ids & _served(rollout):
                again = msgspec.structs.replace(rollout, revision=rollout.revision + 1, updated_at=now)
                switches.append(Switch(again, rollout.revision))
        return switches


def _name_of(record: Any) -> str:
    """Return a record's id; a feature has a name."""
    return str(getattr(record, "id", None) or record.name)


def _served(rollout: Rollout) -> set[str | None]:
    return {rollout.stable_version_id, rollout.candidate_version_id} - {None}
