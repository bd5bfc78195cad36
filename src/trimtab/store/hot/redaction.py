"""Redaction in the store: settings by revision, rows cleaned by other rules, words that give way to cleaner ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, literal_column, select, update

from trimtab.errors import Conflict, WallBreach
from trimtab.records import Case, CaseAnswer, Feature, Feedback, Inference, Redacted, RedactionSettings, User, Version
from trimtab.store.hot.database import Database, Prepared, Transaction, holes, prepare
from trimtab.store.hot.page import Port
from trimtab.store.ports import Rescan, RescanKind, Stale, Writes
from trimtab.store.schema import (
    CASE_ANSWERS,
    CASES,
    FEATURES,
    FEEDBACK,
    INFERENCES,
    REDACTIONS,
    USERS,
    VERSIONS,
    Noun,
    rescans,
)

__all__ = ["RedactionStatements", "Redactions"]

_KINDS: dict[RescanKind, Noun[Any]] = {
    "inferences": INFERENCES,
    "feedback": FEEDBACK,
    "versions": VERSIONS,
    "cases": CASES,
    "case_answers": CASE_ANSWERS,
    "features": FEATURES,
    "users": USERS,
}
_RULED: tuple[tuple[RescanKind, Noun[Any]], ...] = (("inferences", INFERENCES), ("feedback", FEEDBACK))
_KEYS: dict[type, tuple[Noun[Any], tuple[str, ...]]] = {
    Inference: (INFERENCES, ("id",)),
    Feedback: (FEEDBACK, ("id",)),
    Version: (VERSIONS, ("feature", "id")),
    Case: (CASES, ("id",)),
    CaseAnswer: (CASE_ANSWERS, ("id",)),
    Feature: (FEATURES, ("name",)),
    User: (USERS, ("id", "updated_at")),  # one said anew since is left to who said it
}
# Cleaning again changes words alone; what joins and counts hang on stays as it was.
_WORDS: dict[type, tuple[str, ...]] = {
    Inference: ("input", "output", "context", "tags", "error"),
    Feedback: ("label", "text"),
    Version: ("messages", "parameters", "rules", "exemplars", "knowledge", "note"),
    Case: ("input", "expected"),
    CaseAnswer: ("output",),
    Feature: ("description",),
    User: ("properties",),
}
_RESCAN = ("project_id", "kind", "rules", "seq", "rewritten")


class Redactions(Port):
    """The verbs of `RedactionStore`; the contract stands there."""

    def redactions(self, project_id: str) -> list[RedactionSettings]:
        """Return every revision of the project's redaction settings, oldest first."""
        columns = REDACTIONS.table.c
        statement = select(*REDACTIONS.fields).where(columns.project_id == project_id).order_by(columns.revision)
        return [REDACTIONS.decode(row) for row in self._database.rows(statement)]

    def stale(
        self, kind: RescanKind, project_id: str, rules: Sequence[str], *, after: int, limit: int, look: int
    ) -> Stale:
        """Return at most `limit` rows of the project after `after` that went through none of `rules`, in order."""
        noun = _KINDS[kind]
        columns = noun.table.c
        # Counted in rows: places may lie far apart. None of them can come late.
        ahead = select(columns.seq).where(columns.seq > after, *self._database.settled(noun.table.c.seq))
        ahead = ahead.order_by(columns.seq).limit(look)
        last = self._database.rows(select(func.max(ahead.subquery().c.seq)))[0][0]
        if last is None:
            return Stale([], after)
        until = int(last)
        statement = select(*noun.columns).where(
            columns.project_id == project_id, columns.seq > after, columns.seq <= until
        )
        if noun in (INFERENCES, FEEDBACK):
            statement = statement.where(columns["rules"].not_in(list(rules)))
        statement = statement.with_hint(noun.table, "NOT INDEXED", dialect_name="sqlite")
        rows = [noun.stored(row) for row in self._database.rows(statement.order_by(columns.seq).limit(limit))]
        return Stale(rows, rows[-1].seq if len(rows) == limit else until)

    def last_seq(self, kind: RescanKind) -> int:
        """Return the place of the newest row of the kind, of all projects (0 when there never was one)."""
        place = _KINDS[kind].table.c.seq
        return int(self._database.rows(select(func.coalesce(func.max(place), literal_column("0"))))[0][0])

    def rescans(self, project_id: str) -> dict[RescanKind, Rescan]:
        """Return how far the project's rows have been cleaned again, by kind."""
        columns = [rescans.c[name] for name in _RESCAN]
        found = [
            Rescan(*row) for row in self._database.rows(select(*columns).where(rescans.c.project_id == project_id))
        ]
        return {one.kind: one for one in found}

    def count_rules(self, project_id: str) -> dict[str, dict[RescanKind, int]]:
        """Return how many inferences and feedback events went through which rules. Reads both tables whole."""
        told: dict[str, dict[RescanKind, int]] = {}
        for kind, noun in _RULED:
            columns = noun.table.c
            statement = select(columns["rules"], func.count()).where(columns.project_id == project_id)
            for rules, count in self._database.rows(statement.group_by(columns["rules"])):
                told.setdefault(rules, {})[kind] = int(count)
        return told


class RedactionStatements:
    """Prepared once; `jobs` says what to run with which rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = prepare(
            database.insert(REDACTIONS.table).values(holes(REDACTIONS.inserted)), database.dialect, REDACTIONS.inserted
        )
        revision = select(func.coalesce(func.max(REDACTIONS.table.c.revision), literal_column("0")))
        self._revision = prepare(
            revision.where(REDACTIONS.table.c.project_id == bindparam("project_id")), database.dialect, ("project_id",)
        )
        self._rewritten = {kind: self._rewriting(kind) for kind in _KEYS}
        new = database.insert(rescans).values(holes(_RESCAN))
        moved = {name: new.excluded[name] for name in ("rules", "seq", "rewritten")}
        reached = new.on_conflict_do_update(index_elements=list(rescans.primary_key.columns), set_=moved)
        self._rescan = prepare(reached, database.dialect, _RESCAN)

    def jobs(self, project_id: str, writes: Writes) -> list[tuple[Prepared, Iterable[Sequence[Any]]]]:
        """Return the statements and their rows."""
        found: list[tuple[Prepared, Iterable[Sequence[Any]]]] = []
        for kind, statement in self._rewritten.items():
            sealed = [one for one in writes.rewritten if type(_behind_wall(one).record) is kind]
            found.append((statement, [_row(project_id, one) for one in sealed]))
        owned = [_owned(project_id, one) for one in writes.rescans]
        return [*found, (self._rescan, owned)]

    def set(self, write: Transaction, project_id: str, sealed: Redacted[RedactionSettings]) -> None:
        """Write the next revision of a project's settings. Raises Conflict when it is not the next."""
        settings = _behind_wall(sealed).record
        if type(settings) is not RedactionSettings:
            raise WallBreach(f"expected RedactionSettings from the redactor, got {type(settings).__name__!r}")
        found = write.one(self._revision, (project_id,))
        current = int(found[0]) if found else 0
        if settings.revision != current + 1:
            raise Conflict(
                f"expected revision {current + 1!r} of the redaction settings, got {settings.revision!r}; "
                "read them again and decide anew",
                param="revision",
            )
        write.many(self._settings, [REDACTIONS.row(project_id, settings)])

    def _rewriting(self, kind: type) -> Prepared:
        noun, key = _KEYS[kind]
        columns = noun.table.c
        names = (*_set_names(kind), "of_project", *(f"of_{part}" for part in key))
        statement = (
            update(noun.table)
            .where(
                columns.project_id == bindparam("of_project"),
                *(columns[part] == bindparam(f"of_{part}", type_=columns[part].type) for part in key),
            )
            .values({name: bindparam(f"{name}") for name in _set_names(kind)})
        )
        return prepare(statement, self._database.dialect, names)


def _set_names(kind: type) -> tuple[str, ...]:
    """Return the columns that cleaning again writes: the words, the rules and what is made from the words."""
    return (*_WORDS[kind], *(name for name in _KEYS[kind][0].extra if name in ("rules", "input_hash")))


def _behind_wall(sealed: Any) -> Any:
    if type(sealed) is not Redacted:
        raise WallBreach(f"expected a record from the redactor, got {type(sealed).__name__!r}; seal it first")
    if type(sealed.record) not in (*_KEYS, RedactionSettings):
        raise WallBreach(f"expected a record whose words can change, got {type(sealed.record).__name__!r}")
    return sealed


def _row(project_id: str, sealed: Redacted[Any]) -> list[Any]:
    kind = type(sealed.record)
    noun, key = _KEYS[kind]
    told = dict(zip(noun.codec.names, noun.codec.encode(sealed.record), strict=True))
    values = [told[name] for name in _WORDS[kind]]
    if "rules" in noun.extra:
        values.append(sealed.rules)
    if "input_hash" in noun.extra:
        values.append(hashlib.sha256(told["input"].encode()).hexdigest())
    return [*values, project_id, *(told[part] for part in key)]


def _owned(project_id: str, one: Rescan) -> Sequence[Any]:
    if one.project_id != project_id:
        raise ValueError(f"expected a re-scan of project {project_id!r}, got one of {one.project_id!r}")
    return one
