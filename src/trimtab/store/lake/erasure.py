"""Removing people from the lake so that no byte of theirs is left in any file.

Rows are deleted by seq: a delete's condition stays readable in the log, and a number says nothing about anybody. The
log holds no words and no user ids (`STATS_COLUMNS`), so it stays. Old files go at once, whatever the retention:
a reader of an older version fails and has to open the table again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deltalake import DeltaTable, PostCommitHookProperties

from trimtab.store.erasing import person
from trimtab.store.lake.maintain import compact, vacuum
from trimtab.store.lake.place import explained
from trimtab.store.lake.port import LAKE_TABLES, Erased, LakeTable, Progress, Told
from trimtab.store.lake.tables import Tables
from trimtab.store.lake.tombstones import PEOPLE, Tombstones

__all__ = ["erase", "told"]

_NAMES = ("external_id", "trace_id", "session_id")
_LOT = 500  # values in one condition: a longer one plans slowly and nests deeply
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_WAIT_S = 600.0


def erase(
    tables: Tables,
    tombstones: Tombstones,
    project_id: str,
    user_ids: Sequence[str],
    feedback_ids: Sequence[str],
    progress: Progress | None,
) -> Erased:
    """Write tombstones, delete, rewrite, and remove every file that held a row; killed in between, call it again."""
    removed: dict[str, int] = {}
    files = 0
    if not user_ids:
        return Erased(dict.fromkeys(LAKE_TABLES, 0), 0)
    with tables.turn.taken(wait_s=_WAIT_S):
        tombstones.bury("user", [person(project_id, user_id) for user_id in user_ids])
        held = told(tables, project_id, user_ids)
        tombstones.bury("inference", [person(project_id, inference_id) for inference_id in held.inferences])
        words = list(dict.fromkeys([*held.feedback, *feedback_ids]))
        tombstones.bury("feedback", [person(project_id, feedback_id) for feedback_id in words])
        ids = {"feedback": words}
        # The inferences go last: while they are there, a second call finds what else belongs to them.
        for done, name in enumerate(("feedback", "outcomes", "inferences")):
            table: LakeTable = name  # type: ignore[assignment]  # one of the three names above
            if progress is not None:
                progress(f"erase from {table}", done, 3)
            removed[table] = _delete(tables, table, project_id, user_ids, held.inferences, ids.get(table, []))
            tables.turn.renew()
        for table in LAKE_TABLES:
            if removed[table]:
                compact(tables, table, progress)
            # Also where nothing was deleted now: an erasure that was killed has left its files.
            files += vacuum(tables, table, 0, progress)
            tables.turn.renew()
    return Erased(removed, files)


def told(tables: Tables, project_id: str, user_ids: Sequence[str]) -> Told:
    """Return the ids of these people's inferences, and of all feedback by them or on those, by whatever name."""
    answers = _found(tables, "inferences", project_id, {"user_id": user_ids}, ("id", *_NAMES))
    own = [str(row["id"]) for row in answers]
    named = {name: sorted({str(row[name]) for row in answers if row[name]}) for name in _NAMES}
    shared = {
        str(row["session_id"])
        for row in _found(tables, "inferences", project_id, {"session_id": named["session_id"]}, ("session_id", "id"))
        if str(row["id"]) not in set(own)
    }
    named["session_id"] = [key for key in named["session_id"] if key not in shared]
    said = _found(tables, "feedback", project_id, {"user_id": user_ids, "inference_id": own}, ("id",))
    called = _found(tables, "feedback", project_id, named, ("id", "inference_id"))
    words = [*said, *(row for row in called if row["inference_id"] is None)]
    return Told(own, list(dict.fromkeys(str(row["id"]) for row in words)))


def _found(
    tables: Tables, name: LakeTable, project_id: str, wanted: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the columns of the project's rows in which any of the fields has one of the values wanted of it."""
    handle = tables.current(name)
    found: list[dict[str, Any]] = []
    if handle is None:
        return found
    there = {field.name for field in handle.schema().fields}
    read = [column for column in columns if column in there]
    with explained("look for a person's rows"):
        for field, values in wanted.items():
            for lot in _lots(values if field in there else ()):
                where = f"project_id = {_quoted([project_id])} AND {field} IN ({_quoted(lot)})"
                for batch in handle.scan(columns=read, predicate=where):
                    told = [batch.column(column).to_pylist() for column in read]
                    found += [dict(zip(read, row, strict=True)) for row in zip(*told, strict=True)]
    return [dict.fromkeys(columns, None) | row for row in found]


def _delete(
    tables: Tables,
    name: LakeTable,
    project_id: str,
    user_ids: Sequence[str],
    inference_ids: Sequence[str],
    ids: Sequence[str],
) -> int:
    handle = tables.exclusive(name)
    if handle is None:
        return 0
    there = {field.name for field in handle.schema().fields}
    seqs: set[int] = set()
    looked = [(field, user_ids) for field in PEOPLE if field in there]
    if "inference_id" in there:
        looked.append(("inference_id", inference_ids))
    if ids:
        looked.append(("id", ids))
    with explained(f"look for a person's rows in table {name!r}"):
        for field, values in looked:
            for lot in _lots(values):
                where = f"project_id = {_quoted([project_id])} AND {field} IN ({_quoted(lot)})"
                seqs |= _seqs(handle, where)
    try:
        with explained(f"delete from table {name!r}"):
            for part in _lots(sorted(seqs)):
                handle.delete(f"seq IN ({', '.join(map(str, part))})", post_commithook_properties=_NO_HOOKS)
    finally:
        tables.forget(name)
    return len(seqs)


def _seqs(handle: DeltaTable, where: str) -> set[int]:
    return {
        int(seq) for batch in handle.scan(columns=["seq"], predicate=where) for seq in batch.column("seq").to_pylist()
    }


def _lots(values: Sequence[object]) -> Iterator[Sequence[object]]:
    for start in range(0, len(values), _LOT):
        yield values[start : start + _LOT]


def _quoted(values: Sequence[object]) -> str:
    return ", ".join("'" + str(value).replace("'", "''") + "'" for value in values)
