"""Patches into a PostgreSQL table with a pgvector column, and such a table embedded anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.client.rebuild import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trimtab.client.indexer import Handler, Patch
    from trimtab.client.rebuild import Generation

__all__ = ["Columns", "PgvectorShelf", "pgvector_handler"]


_MARK = "[generation {}]"


class Columns(NamedTuple):
    """What the columns of the app's table are called; `id` is unique. An empty `metadata` means there is none."""

    id: str = "id"
    text: str = "content"
    embedding: str = "embedding"
    metadata: str = "metadata"


def pgvector_handler(
    connect: Callable[[], Any],
    table: str,
    embed: Callable[[str], Sequence[float]],
    *,
    columns: Columns | None = None,
) -> Callable[[Patch], list[str]]:
    """Return a handler that upserts one row a patch, under its entry's id.

    `connect` opens a psycopg connection, which is committed and closed after each patch; `table` may be "schema.name".
    """
    from psycopg import sql  # noqa: PLC0415  the app's library, not ours

    names = columns or Columns()
    place = sql.Identifier(*table.split("."))
    told = [name for name in (names.id, names.text, names.embedding, names.metadata) if name]
    holes = [sql.SQL("%s::vector") if name == names.embedding else sql.SQL("%s") for name in told]
    upsert = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
        place,
        sql.SQL(", ").join(map(sql.Identifier, told)),
        sql.SQL(", ").join(holes),
        sql.Identifier(names.id),
        sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in told[1:]),
    )
    gone = sql.SQL("DELETE FROM {} WHERE {} = %s").format(place, sql.Identifier(names.id))

    def handle(patch: Patch) -> list[str]:
        with connect() as connection:
            if patch.kind == "delete":
                connection.execute(gone, (patch.entry_id,))
                return []
            vector = json.dumps([float(value) for value in embed(patch.document)])
            values = [patch.entry_id, patch.document, vector, json.dumps(patch.metadata)]
            connection.execute(upsert, values[: len(told)])
        return [patch.entry_id]

    return handle


class PgvectorShelf:
    """Generations as tables, of which the one that answers bears the name the app asks (`Rebuild`).

    A generation that does not answer stands beside `table` as `table_GENERATION`; the switch renames both in one
    transaction, under a lock in which it is seen that nobody wrote meanwhile, so that no write of the app's is lost;
    writers wait as long as the two are compared, readers for the renaming alone.
    A new table is made LIKE the old one, with its indexes; all other columns come over as they are. `operator` is the
    distance that the app searches by. `connect` opens a psycopg connection.
    """

    def __init__(
        self, connect: Callable[[], Any], table: str, *, columns: Columns | None = None, operator: str = "<=>"
    ) -> None:
        self._connect = connect
        self._path = table.split(".")
        self._columns = columns or Columns()
        if operator not in ("<=>", "<->", "<#>", "<+>"):
            raise ValueError(f"expected an operator of pgvector (<=>, <->, <#>, <+>), got {operator!r}")
        self._operator = operator
        self._pair: tuple[str, str] = ("", "")

    def serving(self, old: str, new: str) -> str:
        """Return which of both has the app's name: the new one once the old stands aside, or was dropped."""
        self._pair = old, new
        if self._is_table([*self._path[:-1], f"{self._path[-1]}_{old}"]):
            return new
        return new if self._comment().endswith(_MARK.format(new)) else old

    def exists(self, name: str) -> bool:
        """Say whether the generation has a table."""
        return self._is_table(self._at(name))

    def prepare(self, source: str, target: str, size: int) -> None:
        """Create the table like the source's."""
        if self.exists(target):
            return
        words = "CREATE TABLE {new} (LIKE {old} INCLUDING ALL)"
        typed = "ALTER TABLE {new} ALTER COLUMN {embedding} TYPE vector({size}) USING NULL"
        with self._connect() as connection:
            for each in (words, typed):
                connection.execute(self._said(each, new=self._at(target), old=self._at(source), size=size))

    def behind(self, source: str, target: str, lot: int) -> Iterator[list[Document]]:
        """Yield what the target lacks, has no vector of, or has otherwise."""
        after = None
        while True:
            with self._connect() as connection:
                rows = connection.execute(
                    self._said(
                        "SELECT s.{id}, s.{text} FROM {old} s LEFT JOIN {new} t ON t.{id} = s.{id} WHERE {other} "
                        "AND (%(after)s::text IS NULL OR s.{id} > %(after)s) ORDER BY s.{id} LIMIT %(lot)s",
                        new=self._at(target),
                        old=self._at(source),
                    ),
                    {"after": after, "lot": lot},
                ).fetchall()
            if rows:
                yield [Document(name, str(text)) for name, text in rows]
                after = rows[-1][0]
            if len(rows) < lot:
                return

    def surplus(self, source: str, target: str) -> list[Any]:
        """Return what the target alone has."""
        words = "SELECT t.{id} FROM {new} t WHERE NOT EXISTS (SELECT 1 FROM {old} s WHERE s.{id} = t.{id})"
        with self._connect() as connection:
            found = connection.execute(self._said(words, new=self._at(target), old=self._at(source))).fetchall()
        return [name for (name,) in found]

    def write(
        self, source: str, target: str, documents: Sequence[Document], vectors: Sequence[Sequence[float]]
    ) -> None:
        """Copy the rows as they are now, with their new vectors; one that was changed meanwhile comes next time."""
        columns = self._all_columns(source)
        words = (
            "INSERT INTO {new} ({all}) SELECT {copied} FROM {old} WHERE {id} = %s AND {text} IS NOT DISTINCT FROM %s "
            "ON CONFLICT ({id}) DO UPDATE SET {set}"
        )
        statement = self._said(words, new=self._at(target), old=self._at(source), columns=columns)
        with self._connect() as connection:
            for document, vector in zip(documents, vectors, strict=True):
                told = json.dumps([float(value) for value in vector])
                connection.execute(statement, (told, document.id, document.text))

    def remove(self, name: str, ids: Sequence[Any]) -> None:
        """Delete the rows."""
        if ids:
            with self._connect() as connection:
                words = "DELETE FROM {new} WHERE {id} = ANY(%s)"
                connection.execute(self._said(words, new=self._at(name)), (list(ids),))

    def search(self, name: str, vector: Sequence[float], k: int) -> list[str]:
        """Return the ids of the nearest rows."""
        words = f"SELECT {{id}} FROM {{new}} ORDER BY {{embedding}} {self._operator} %s::vector LIMIT %s"
        told = json.dumps([float(value) for value in vector])
        with self._connect() as connection:
            found = connection.execute(self._said(words, new=self._at(name)), (told, k)).fetchall()
        return [str(row[0]) for row in found]

    def switch(self, source: str, target: str) -> bool:
        """Rename both tables in one transaction, unless the target has fallen behind."""
        from psycopg.errors import LockNotAvailable  # noqa: PLC0415  the app's library, not ours

        old, new = self._at(source), self._at(target)
        late = (
            "SELECT EXISTS (SELECT 1 FROM {old} s FULL JOIN {new} t ON t.{id} = s.{id} WHERE {other} OR s.{id} IS NULL)"
        )
        renamed = ((old, f"{self._path[-1]}_{source}"), (new, self._path[-1]))
        try:
            with self._connect() as connection:
                # Shorter than PostgreSQL waits before it ends a transaction of the app's for a deadlock.
                connection.execute("SET LOCAL lock_timeout = '500ms'")
                connection.execute(self._said("LOCK TABLE {old}, {new} IN SHARE ROW EXCLUSIVE MODE", new=new, old=old))
                if connection.execute(self._said(late, new=new, old=old)).fetchone()[0]:
                    return False
                for path, name in renamed:
                    connection.execute(self._said("ALTER TABLE {new} RENAME TO {old}", new=path, old=[name]))
        except LockNotAvailable:
            return False
        return True

    def handler(self, generation: Generation) -> Handler:
        """Return what brings patches into one table."""
        one = generation.embed

        def handle(patch: Patch) -> list[str]:
            table = ".".join(self._at(generation.name))
            return pgvector_handler(self._connect, table, lambda text: one([text])[0], columns=self._columns)(patch)

        return handle

    def drop(self, name: str) -> None:
        """Drop the table; a comment on the one that is left says which generation it is."""
        from psycopg import sql  # noqa: PLC0415

        kept = self.serving(*self._pair)
        told = self._comment() + ("" if self._comment().endswith(_MARK.format(kept)) else f" {_MARK.format(kept)}")
        with self._connect() as connection:
            connection.execute(self._said("DROP TABLE {new}", new=self._at(name)))
            comment = sql.SQL("COMMENT ON TABLE {} IS {}").format(
                sql.Identifier(*self._path), sql.Literal(told.strip())
            )
            connection.execute(comment)

    def _at(self, name: str) -> list[str]:
        """Return where a generation stands now."""
        if self.serving(*self._pair) == name:
            return self._path
        return [*self._path[:-1], f"{self._path[-1]}_{name}"]

    def _is_table(self, path: list[str]) -> bool:
        with self._connect() as connection:
            found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (_quoted(path),)).fetchone()
        return bool(found[0])

    def _comment(self) -> str:
        with self._connect() as connection:
            words = "SELECT obj_description(to_regclass(%s), 'pg_class')"
            found = connection.execute(words, (_quoted(self._path),)).fetchone()
        return str(found[0] or "")

    def _all_columns(self, name: str) -> list[str]:
        """Return the columns that are written; PostgreSQL computes the others."""
        words = (
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped "
            "AND attgenerated = '' ORDER BY attnum"
        )
        with self._connect() as connection:
            found = connection.execute(words, (_quoted(self._at(name)),)).fetchall()
        return [str(row[0]) for row in found]

    def _said(
        self,
        words: str,
        *,
        new: list[str] | None = None,
        old: list[str] | None = None,
        size: int = 0,
        columns: Sequence[str] = (),
    ) -> Any:
        """Return a statement with its names put in, each quoted."""
        from psycopg import sql  # noqa: PLC0415  the app's library, not ours

        names = self._columns
        kept = [name for name in columns if name != names.embedding]
        rows = {place: f"to_jsonb({place}) - {_literal(names.embedding)}" for place in "st"}
        vector = sql.Identifier(names.embedding)
        told = {
            "new": sql.Identifier(*(new or ["-"])),
            "old": sql.Identifier(*(old or ["-"])),
            "id": sql.Identifier(names.id),
            "text": sql.Identifier(names.text),
            "embedding": vector,
            "size": sql.Literal(size),
            "other": sql.SQL("(t.{0} IS NULL OR " + f"({rows['s']}) IS DISTINCT FROM ({rows['t']}))").format(vector),
            "all": sql.SQL(", ").join(map(sql.Identifier, [*kept, names.embedding])),
            "copied": sql.SQL(", ").join([*map(sql.Identifier, kept), sql.SQL("%s::vector")]),
            "set": sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in [*kept, names.embedding]
            ),
        }
        return sql.SQL(words).format(**{name: each for name, each in told.items() if f"{{{name}}}" in words})


def _quoted(path: Sequence[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in path)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"
