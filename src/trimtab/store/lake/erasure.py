"""Removing people from the lake so that no byte of theirs is left in any file.

Rows are deleted by seq: a delete's condition stays readable in the log, and a number says nothing about anybody. The
log holds no words and no user ids (`STATS_COLUMNS`), so it stays. Old files go at once, whatever the retention:
a reader of an older version fails and has to open the table again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deltalake import DeltaTable, PostCommitHookProperties

from trimtab.store.lake.maintain import compact, vacuum
from trimtab.store.lake.place import explained
from trimtab.store.lake.port import LAKE_TABLES, Erased, LakeTable, Progress
from trimtab.store.lake.tables import Tables
from trimtab.store.lake.tombstones import PEOPLE, Tombstones, person

__all__ = ["erase"]

_LOT = 500  # values in one condition: a longer one plans slowly and nests deeply
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_WAIT_S = 600.0


def erase(
    tables: Tables, tombstones: Tombstones, project_id: str, user_ids: Sequence[str], progress: Progress | None
) -> Erased:
    """Write tombstones, delete, rewrite, and remove every file that held a row; killed in between, call it again."""
    removed: dict[str, int] = {}
    files = 0
    if not user_ids:
        return Erased(dict.fromkeys(LAKE_TABLES, 0), 0)
    with tables.turn.taken(wait_s=_WAIT_S):
        tombstones.bury("user", [person(project_id, user_id) for user_id in user_ids])
        told = _inferences_of(tables, project_id, user_ids)
        tombstones.bury("inference", [person(project_id, inference_id) for inference_id in told])
        # The inferences go last: while they are there, a second call finds what else belongs to them.
        for done, name in enumerate(("feedback", "outcomes", "inferences")):
            table: LakeTable = name  # type: ignore[assignment]  # one of the three names above
            if progress is not None:
                progress(f"erase from {table}", done, 3)
            removed[table] = _delete(tables, table, project_id, user_ids, told)
            tables.turn.renew()
        for table in LAKE_TABLES:
            if removed[table]:
                compact(tables, table, progress)
            # Also where nothing was deleted now: an erasure that was killed has left its files.
            files += vacuum(tables, table, 0, progress)
            tables.turn.renew()
    return Erased(removed, files)


def _inferences_of(tables: Tables, project_id: str, user_ids: Sequence[str]) -> list[str]:
    handle = tables.current("inferences")
    if handle is None:
        return []
    found: list[str] = []
    with explained("look for a person's inferences"):
        for lot in _lots(user_ids):
            where = f"project_id = {_quoted([project_id])} AND user_id IN ({_quoted(lot)})"
            for batch in handle.scan(columns=["id"], predicate=where):
                found += [str(one) for one in batch.column("id").to_pylist()]
    return found


def _delete(
    tables: Tables, name: LakeTable, project_id: str, user_ids: Sequence[str], inference_ids: Sequence[str]
) -> int:
    handle = tables.exclusive(name)
    if handle is None:
        return 0
    there = {field.name for field in handle.schema().fields}
    seqs: set[int] = set()
    looked = [(field, user_ids) for field in PEOPLE if field in there]
    if "inference_id" in there:
        looked.append(("inference_id", inference_ids))
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
