"""Removing a person from the review queue: what they asked about, what they judged, themes their words are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, null, select, update

from trimtab.ids import content_id
from trimtab.records import ReviewTheme
from trimtab.store.codec import id_bytes
from trimtab.store.hot.database import Database, Prepared, Transaction, prepare
from trimtab.store.schema import REVIEW_LINKS, REVIEW_THEMES, REVIEWS

__all__ = ["ReviewRemoval", "without_members"]


_MADE_OF = ("instead_id", "exemplar_id")


class ReviewRemoval:
    """Prepared deletions."""

    def __init__(self, database: Database) -> None:
        self._item = _gone(database, REVIEWS.table, "inference_id")
        self._link = _gone(database, REVIEW_LINKS.table, "inference_id")
        self._guest = _gone(database, REVIEW_LINKS.table, "reviewer")
        self._theme = _gone(database, REVIEW_THEMES.table, "id")
        self._looks = [(_gone_links(database, name), _gone(database, REVIEWS.table, name)) for name in _MADE_OF]
        columns = REVIEWS.table.c
        self._nameless = [
            prepare(
                update(REVIEWS.table)
                .where(columns.project_id == bindparam("project_id"), columns[name] == bindparam("user"))
                .values({name: null()}),
                database.dialect,
                ("project_id", "user"),
            )
            for name in ("reserved_by", "asked_of")
        ]
        themes = REVIEW_THEMES.table.c
        self._themes = prepare(
            select(*REVIEW_THEMES.fields).where(themes.project_id == bindparam("project_id")),
            database.dialect,
            ("project_id",),
        )
        kept = update(REVIEW_THEMES.table).where(
            themes.project_id == bindparam("project_id"), themes.id == bindparam("theme")
        )
        told = ("words", "members", "size")
        rest = kept.values({name: bindparam(f"new_{name}", type_=themes[name].type) for name in told})
        self._rest = prepare(rest, database.dialect, (*(f"new_{name}" for name in told), "project_id", "theme"))

    def answers(self, write: Transaction, project_id: str, ids: Sequence[str]) -> int:
        """Remove the items about these answers, and the links to them; return how many rows went."""
        keys = [(project_id, id_bytes(each)) for each in ids]
        return write.many(self._item, keys) + write.many(self._link, keys)

    def words(self, write: Transaction, project_id: str, feedback_ids: Sequence[str]) -> int:
        """Remove the looks at examples that were made of these corrections, or because of them, and the links to them.

        Return how many items went.
        """
        if not feedback_ids:
            return 0
        because: list[tuple[Any, ...]] = [(project_id, id_bytes(each)) for each in feedback_ids]
        made_of: list[tuple[Any, ...]] = [(project_id, content_id("x", each.encode())) for each in feedback_ids]
        gone = 0
        for (links, items), keys in zip(self._looks, (because, made_of), strict=True):
            write.many(links, keys)
            gone += write.many(items, keys)
        return gone

    def people(self, write: Transaction, project_id: str, users: Sequence[str]) -> int:
        """Take the names of reviewers off what they judged or were asked; return how many rows changed."""
        keys = [(project_id, user) for user in users]
        if not keys:
            return 0
        return write.many(self._guest, keys) + sum(write.many(statement, keys) for statement in self._nameless)

    def themes(self, write: Transaction, project_id: str, answers: Sequence[str]) -> int:
        """Remove themes that are asked about with one of these answers, and all words of those that hold one."""
        dead = set(answers)
        if not dead:
            return 0
        held: list[ReviewTheme] = [REVIEW_THEMES.decode(row) for row in write.found(self._themes, (project_id,))]
        gone = [theme for theme in held if theme.inference_id in dead]
        rest = [
            without_members(theme, dead)
            for theme in held
            if theme.inference_id not in dead and not dead.isdisjoint(theme.members)
        ]
        if gone:
            write.many(self._theme, [(project_id, id_bytes(theme.id)) for theme in gone])
        if rest:
            write.many(self._rest, [_rest_row(project_id, theme) for theme in rest])
        return len(gone) + len(rest)


def without_members(theme: ReviewTheme, dead: set[str] | frozenset[str]) -> ReviewTheme:
    """Return the theme without these answers, and without words: nobody knows which of them were whose."""
    left = [member for member in theme.members if member not in dead]
    return msgspec.structs.replace(theme, members=left, size=len(left), words=[])


def _rest_row(project_id: str, theme: ReviewTheme) -> tuple[Any, ...]:
    row = dict(zip(REVIEW_THEMES.codec.names, REVIEW_THEMES.codec.encode(theme), strict=True))
    return (row["words"], row["members"], row["size"], project_id, row["id"])


def _gone_links(database: Database, name: str) -> Prepared:
    """Return what removes the links to the items that have this value in a column."""
    links, items = REVIEW_LINKS.table.c, REVIEWS.table.c
    own = select(items.id).where(
        items.project_id == links.project_id, items[name] == bindparam(name, type_=items[name].type)
    )
    gone = delete(REVIEW_LINKS.table).where(links.project_id == bindparam("project_id"), links.item_id.in_(own))
    return prepare(gone, database.dialect, ("project_id", name))


def _gone(database: Database, table: Any, *names: str) -> Prepared:
    told = ("project_id", *names)
    return prepare(
        delete(table).where(*(table.c[name] == bindparam(name, type_=table.c[name].type) for name in told)),
        database.dialect,
        told,
    )
