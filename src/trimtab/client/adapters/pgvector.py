"""Patches into a PostgreSQL table with a pgvector column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.client.indexer import Patch

__all__ = ["Columns", "pgvector_handler"]


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
