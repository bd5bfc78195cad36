"""Writes what was captured to a file: hot store and lake as one history, as JSON lines, CSV or Parquet.

JSON lines are the records as the API returns them. CSV and Parquet have a column a field; nested values stand in them
as JSON text, texts as they are. In CSV an empty cell is a field without a value.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from trimtab.errors import Unavailable
from trimtab.store.codec import json_text
from trimtab.store.lake.history import after_of, history, is_within
from trimtab.store.lake.port import HotRows, LakeStore, LakeTable, Span
from trimtab.store.lake.schema import LAKE_NOUNS
from trimtab.store.ports import Stored

__all__ = ["FileForm", "export", "write"]

FileForm = Literal["jsonl", "csv", "parquet"]

_PAGE = 5000
Told = Callable[[int], None]


def export(
    hot: HotRows, lake: LakeStore | None, table: LakeTable, span: Span, path: Path, form: FileForm, *, told: Told
) -> int:
    """Write the rows of the span to `path`, which appears when it is whole; return how many. `told` hears the count.

    Of an outcome the latest judgement is written. Raises Unavailable when the disk or a store fails.
    """
    return write(_records(hot, lake, table, span), table, path, form, told=told)


def write(records: Iterator[Any], table: LakeTable, path: Path, form: FileForm, *, told: Told) -> int:
    """Write records of a table to `path`, which appears when it is whole; return how many."""
    found = _counted(records, told)
    names = LAKE_NOUNS[table].codec.names
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if form == "parquet":
            from trimtab.store.lake.parquet import write_parquet  # noqa: PLC0415  only where it is asked for

            return write_parquet(path, dict(LAKE_NOUNS[table].codec.kinds), ([*_cells(one, names)] for one in found))
        with _appearing(path) as out:
            return _lines(found, out) if form == "jsonl" else _table(found, names, out)
    except OSError as error:
        raise Unavailable(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _records(hot: HotRows, lake: LakeStore | None, table: LakeTable, span: Span) -> Iterator[Any]:
    if table != "outcomes" or lake is None:
        for rows in _rows(hot, lake, table, span):
            yield from (row.record for row in rows)
        return
    latest: dict[str, int] = {}  # a judgement is shipped again with each revision: the highest seq holds
    for rows in _rows(hot, lake, table, span):
        for row in rows:
            latest[row.record.inference_id] = max(row.seq, latest.get(row.record.inference_id, 0))
    for rows in _rows(hot, lake, table, span):
        yield from (row.record for row in rows if latest.get(row.record.inference_id) == row.seq)


def _rows(hot: HotRows, lake: LakeStore | None, table: LakeTable, span: Span) -> Iterator[list[Stored[Any]]]:
    if lake is not None:
        yield from history(hot, lake, table, span)
        return
    seq, after = 0, after_of(hot, table)
    while page := after(seq, _PAGE):
        seq = page[-1].seq
        yield [row for row in page if is_within(row, span)]


def _lines(records: Iterator[Any], out: BinaryIO) -> int:
    count = 0
    encoder = msgspec.json.Encoder()
    for record in records:
        out.write(encoder.encode(record) + b"\n")
        count += 1
    return count


def _table(records: Iterator[Any], names: tuple[str, ...], out: BinaryIO) -> int:
    count = 0
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(names)
        for record in records:
            writer.writerow(map(_written, _cells(record, names)))
            count += 1
    finally:
        text.detach()  # flushes; the file is closed by who opened it
    return count


def _cells(record: Any, names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        value = getattr(record, name)
        yield value if isinstance(value, str | int | float | datetime | None) else json_text(value)


def _written(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _counted(records: Iterator[Any], told: Told) -> Iterator[Any]:
    for count, record in enumerate(records, 1):
        if count % _PAGE == 0:
            told(count)
        yield record


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """Open a draft beside `path` that takes its name when the block ends well, and goes when it does not."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
