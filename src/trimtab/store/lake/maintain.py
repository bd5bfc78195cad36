"""Keeping the lake in shape: fewer and larger files, no files that nothing names, and proof that all is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np
from arro3.core import Table
from deltalake import DeltaTable, PostCommitHookProperties, WriterProperties
from numpy.typing import NDArray

from trimtab.errors import Unavailable
from trimtab.store.erasing import person
from trimtab.store.lake.history import after_of
from trimtab.store.lake.place import explained
from trimtab.store.lake.port import HotRows, LakeTable, Progress, Verified
from trimtab.store.lake.tables import CURSOR, Tables
from trimtab.store.lake.tombstones import PEOPLE, Tombstones
from trimtab.store.ports import Stored

__all__ = ["compact", "holds", "vacuum", "verify"]

_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_WRITER = WriterProperties(compression="ZSTD")
_TARGET_BYTES = 128 << 20
_PAGE = 5000
_PLACES = 100_000


def compact(tables: Tables, name: LakeTable, progress: Progress | None = None) -> int:
    """Rewrite days of many small files into few large ones, then write a checkpoint of the log. Hold the turn."""
    handle = tables.exclusive(name)
    if handle is None:
        return 0
    days = _crowded(handle)
    fewer = 0
    try:
        for done, day in enumerate(days):
            if progress is not None:
                progress(f"compact {name} {day}", done, len(days))
            fewer += _compact_day(handle, name, day)
            tables.turn.renew()
        with explained(f"write a checkpoint of table {name!r}"):
            handle.create_checkpoint()
            handle.cleanup_metadata()
    finally:
        tables.forget(name)
    if progress is not None:
        progress(f"compact {name}", len(days), len(days))
    return fewer


def _crowded(handle: DeltaTable) -> list[str]:
    """Return the days that have two or more files below the target size, oldest first."""
    actions = Table.from_arrow(handle.get_add_actions(flatten=True))
    small = Counter(
        str(day)
        for day, size in zip(
            actions.column("partition.day").to_pylist(), actions.column("size_bytes").to_pylist(), strict=True
        )
        if int(size) < _TARGET_BYTES
    )
    return sorted(day for day, files in small.items() if files > 1)


def _compact_day(handle: DeltaTable, name: str, day: str) -> int:
    before, version = handle.count(), handle.version()
    with explained(f"compact {day} of table {name!r}"):
        done = handle.optimize.compact(
            partition_filters=[("day", "=", day)],
            target_size=_TARGET_BYTES,
            max_concurrent_tasks=1,
            writer_properties=_WRITER,
            post_commithook_properties=_NO_HOOKS,
        )
    after = handle.count()
    if handle.version() > version + 1:  # the library commits behind others; then the counts say nothing
        raise Unavailable(
            f"somebody wrote to {name!r} in the lake while {day} was compacted, though it was not their turn; see that "
            "Trimtab alone writes there, then run `trimtab lake verify`"
        )
    if after != before:
        with explained(f"undo the compaction of table {name!r}"):
            handle.restore(version)
        raise Unavailable(
            f"expected {before} rows of {name!r} in the lake after compacting {day}, found {after}; it was undone: run "
            "`trimtab lake verify`"
        )
    return int(done["numFilesRemoved"]) - int(done["numFilesAdded"])


def vacuum(tables: Tables, name: str, retention_hours: int, progress: Progress | None = None) -> int:
    """Remove files that no version of the last `retention_hours` names, orphans too. Hold the turn."""
    handle = tables.exclusive(name)
    if handle is None:
        return 0
    if progress is not None:
        progress(f"vacuum {name}", 0, 1)
    with explained(f"vacuum table {name!r}"):
        before = _present(tables, name)
        listed = handle.vacuum(
            retention_hours=retention_hours,
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            post_commithook_properties=_NO_HOOKS,
        )
        left = _present(tables, name)
    tables.forget(name)
    if progress is not None:
        progress(f"vacuum {name}", 1, 1)
    # The library lists what the log has removed, also what an earlier call took away: on disk we look ourselves.
    return len(listed) if before is None or left is None else len(before - left)


def verify(
    tables: Tables,
    tombstones: Tombstones,
    name: LakeTable,
    hot: HotRows | None,
    progress: Progress | None = None,
) -> Verified:
    """Compare rows, files and the log with each other and with the hot store."""
    handle = tables.pinned(name)
    if handle is None:
        return Verified(name, 0, 0, 0, 0, 0, 0, 0)
    cursor = int(handle.transaction_version(CURSOR) or 0)
    with explained(f"read table {name!r}"):
        actions = Table.from_arrow(handle.get_add_actions(flatten=True))
        named = [unquote(str(path)) for path in actions.column("path").to_pylist()]
        days = sorted({str(day) for day in actions.column("partition.day").to_pylist()})
    missing, spare = _files(tables, name, handle, named)
    lots: list[NDArray[np.int64]] = []
    doubles = returned = 0
    buried = tombstones.known().get("user", frozenset())
    for done, day in enumerate(days if not missing else []):
        if progress is not None:
            progress(f"verify {name} {day}", done, len(days))
        seqs, twice, back = _day(handle, name, day, buried)
        lots.append(seqs)
        doubles += twice
        returned += back
    held = np.sort(np.concatenate(lots)) if lots else np.empty(0, dtype=np.int64)
    doubles = max(doubles, int(held.size - np.unique(held).size))
    gaps = _gaps(hot, name, held, cursor, tombstones) if hot is not None and not missing else 0
    if progress is not None:
        progress(f"verify {name}", len(days), len(days))
    return Verified(name, int(held.size), len(named), missing, spare, doubles, gaps, returned)


def holds(tables: Tables, tombstones: Tombstones, name: LakeTable, hot: HotRows, after: int, upto: int) -> bool:
    """Say whether the table holds the hot store's rows in (after, upto], but for those of erased people."""
    handle = tables.pinned(name)
    read = after_of(hot, name)
    while places := hot.places(name, after=after, upto=upto, limit=_PLACES):
        held: dict[int, str] = {}
        key = "inference_id" if name == "outcomes" else "id"
        if handle is not None:
            between = f"seq > {after} AND seq <= {places[-1][0]}"
            with explained(f"read table {name!r}"):
                for batch in handle.scan(columns=["seq", key], predicate=between):
                    held.update(zip(batch.column("seq").to_pylist(), batch.column(key).to_pylist(), strict=True))
        for place, own in places:
            if held.get(place) != own:
                rows = [row for row in read(place - 1, 1) if row.seq == place]  # an outcome may have moved on
                if tombstones.spared(rows):
                    return False
        after = places[-1][0]
    return True


def _files(tables: Tables, name: str, handle: DeltaTable, named: list[str]) -> tuple[int, int]:
    """Return how many files the newest version names that are not there, and how many are there besides."""
    with explained(f"list the files of table {name!r}"):
        there = _present(tables, name)
        if there is not None:
            return sum(path not in there for path in named), len(there.difference(named))
        spare = handle.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False, full=True)
        return _unreadable(handle), len(spare)


def _present(tables: Tables, name: str) -> set[str] | None:
    """Return the data files in a table's directory; None on an object store, which only the library lists."""
    if tables.place.folder is None:
        return None
    folder = tables.place.folder / name
    return {file.relative_to(folder).as_posix() for file in folder.glob("day=*/*.parquet")}


def _unreadable(handle: DeltaTable) -> int:
    """Return 1 where a file is missing on an object store: reading one column of all of them finds out."""
    try:
        for _ in handle.scan(columns=["seq"]):
            pass
    except Exception as error:
        if "not found" in str(error).lower():
            return 1
        raise
    return 0


def _day(handle: DeltaTable, name: str, day: str, buried: frozenset[str]) -> tuple[NDArray[np.int64], int, int]:
    """Return a day's seqs, how many ids stand there twice, and how many rows are of erased people."""
    there = {field.name for field in handle.schema().fields}
    people = [field for field in PEOPLE if field in there]
    key = [] if name == "outcomes" else ["id"]
    seqs: list[int] = []
    ids: Counter[tuple[Any, ...]] = Counter()
    back = 0
    with explained(f"read {day} of table {name!r}"):
        for batch in handle.scan(columns=["seq", "project_id", *key, *people], predicate=f"day = '{day}'"):
            projects = batch.column("project_id").to_pylist()
            seqs += [int(seq) for seq in batch.column("seq").to_pylist()]
            if key:
                ids.update(zip(projects, batch.column("id").to_pylist(), strict=True))
            if buried:
                named = zip(*(batch.column(field).to_pylist() for field in people), strict=True)
                back += sum(
                    any(one is not None and person(str(project), str(one)) in buried for one in row)
                    for project, row in zip(projects, named, strict=True)
                )
    return np.array(seqs, dtype=np.int64), sum(count - 1 for count in ids.values()), back


def _gaps(hot: HotRows, name: LakeTable, held: NDArray[np.int64], cursor: int, tombstones: Tombstones) -> int:
    """Return how many rows the hot store holds up to the cursor that the lake does not."""
    gaps = 0
    for rows in _hot_rows(hot, name, cursor):
        spared = tombstones.spared(rows)
        seqs = np.array([row.seq for row in spared], dtype=np.int64)
        gaps += int(np.count_nonzero(~np.isin(seqs, held, assume_unique=False)))
    return gaps


def _hot_rows(hot: HotRows, name: LakeTable, upto: int) -> Iterator[list[Stored[Any]]]:
    after = after_of(hot, name)
    place = 0
    while rows := after(place, _PAGE):
        place = rows[-1].seq
        if kept := [row for row in rows if row.seq <= upto]:
            yield kept
        if place >= upto:
            return
