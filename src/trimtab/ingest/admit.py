"""Which events may come in: of a known feature, and of a time that makes sense."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from trimtab.clock import Clock
from trimtab.config import Ingest
from trimtab.errors import InputError, TimeInFuture, TimeTooOld, UnknownFeature
from trimtab.ingest.feature import declare
from trimtab.records import Event, Inference
from trimtab.redact.project import Cleaners
from trimtab.store.ports import HotStore, PurgedKind

__all__ = ["Admission", "FeatureBook", "Late", "StoredFeatures"]

Late = Literal["reject", "accept"]
"""What happens to an event from before what the hot store still knows: nobody could tell whether it came before."""


class FeatureBook(Protocol):
    """What admission must know of the store: its features, and what has left it."""

    def learn(self, project_id: str, names: Sequence[str], *, may_declare: bool) -> set[str]:
        """Return all features of the project, after declaring those of `names` that may be. May block.

        Raises `Unavailable`.
        """
        ...

    def purged_until(self, kind: PurgedKind) -> datetime | None:
        """Return the time up to which rows of a kind may have left the store, None where none has. Cheap."""
        ...


class StoredFeatures:
    """The features in the store; each is declared by its first event where settings and caller allow it."""

    def __init__(self, store: HotStore, cleaners: Cleaners, clock: Clock, settings: Ingest) -> None:
        self._store = store
        self._cleaners = cleaners
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()

    def learn(self, project_id: str, names: Sequence[str], *, may_declare: bool) -> set[str]:
        """Return all features of the project, after declaring those of `names` that may be. Raises `Unavailable`."""
        with self._lock:
            known = {feature.name for feature in self._store.features(project_id)}
            if may_declare and self._settings.unknown_feature == "create":
                for name in names:
                    if name not in known and len(known) < self._settings.max_features:
                        declare(self._store, self._cleaners.of(project_id), self._clock, project_id, name)
                        known.add(name)
            return known

    def purged_until(self, kind: PurgedKind) -> datetime | None:
        """Return the time up to which rows of a kind may have left the store, None where none has."""
        return self._store.purged_until(kind)


class Admission:
    """Decides event by event. Features are remembered: the book is asked only about a name not seen before."""

    def __init__(self, book: FeatureBook, settings: Ingest, *, late: Late = "reject") -> None:
        self._book = book
        self._settings = settings
        self._late = late
        self._known: dict[str, set[str]] = {}
        self._past = timedelta(days=settings.past_days)
        self._future = timedelta(seconds=settings.future_seconds)

    def unknown(self, project_id: str, events: Iterable[Event]) -> list[str]:
        """Return the features of the events that are not known yet, each once, in order. Never asks the book."""
        known = self._known.get(project_id, ())
        return list(dict.fromkeys(e.feature for e in events if e.feature is not None and e.feature not in known))

    def learn(self, project_id: str, names: Iterable[str], *, may_declare: bool = True) -> None:
        """Look these features up, and declare those that are not there where settings and caller allow it.

        Asks the book, so it may block. Raises `Unavailable`.
        """
        self._known[project_id] = self._book.learn(project_id, list(names), may_declare=may_declare)

    def trial(self, project_id: str, names: Iterable[str]) -> Admission:
        """Return an admission that decides as this one would once it had learned these features; nothing is declared.

        Asks the book, so it may block. Raises `Unavailable`.
        """
        other = Admission(self._book, self._settings, late=self._late)
        known = self._book.learn(project_id, [], may_declare=False)
        for name in names if self._settings.unknown_feature == "create" else ():
            if len(known) < self._settings.max_features:
                known.add(name)
        other._known[project_id] = known
        return other

    def refuse(self, project_id: str, event: Event, now: datetime) -> InputError | None:
        """Return why the event may not come in, or None when it may."""
        when = event.created_at
        if when - now > self._future:
            return TimeInFuture(
                f"expected created_at at most {self._settings.future_seconds} s after now ({now.isoformat()}), "
                f"got {when.isoformat()}; set the sender's clock, or raise ingest.future_seconds",
                param="created_at",
            )
        if now - when > self._past:
            return TimeTooOld(
                f"expected created_at at most {self._settings.past_days} days before now ({now.isoformat()}), "
                f"got {when.isoformat()}; raise ingest.past_days to take it",
                param="created_at",
            )
        if event.feature is not None and event.feature not in self._known.get(project_id, ()):
            return self._unknown_feature(project_id, event.feature)
        return self._forgotten(event) if self._late == "reject" else None

    def _forgotten(self, event: Event) -> TimeTooOld | None:
        """Refuse what may be stored already and have gone to the lake since: it would count twice.

        Events come in at most `future_seconds` before they happen, so nothing younger than this can be among them.
        """
        until = self._book.purged_until("inferences" if isinstance(event, Inference) else "feedback")
        if until is None or event.created_at > until + self._future:
            return None
        return TimeTooOld(
            f"expected created_at after {(until + self._future).isoformat()}, got {event.created_at.isoformat()}: what "
            "came in before has moved to the lake, so a repeated event would count twice; "
            "set retention.late_events = 'accept' to take it",
            param="created_at",
        )

    def _unknown_feature(self, project_id: str, name: str) -> UnknownFeature:
        known = self._known.get(project_id, set())
        if self._settings.unknown_feature == "create" and len(known) >= self._settings.max_features:
            return UnknownFeature(
                f"expected one of the {len(known)} features there are, the most ingest.max_features allows, "
                f"got {name!r}; is a changing part in the name?",
                param="feature",
            )
        return UnknownFeature(
            f"expected a feature that is declared, got {name!r}; declare it with PUT /v1/features/{name}",
            param="feature",
        )
