"""Parquet files by themselves, outside any table: written and read through the engine that the lake brings along."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from arro3.core import Array, DataType, Table
from arro3.core import Field as ArrowField
from arro3.core import Schema as ArrowSchema
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

from trimtab.clock import to_micros
from trimtab.errors import UnreadableFile
from trimtab.store.codec import Kind

__all__ = ["read_parquet", "write_parquet"]

_LOT = 5000
_TYPES = {
    Kind.TIME: DataType.timestamp("us", tz="UTC"),
    Kind.REAL: DataType.float64(),
    Kind.WHOLE: DataType.int64(),
    Kind.FLAG: DataType.bool(),
}


def write_parquet(path: Path, columns: Mapping[str, Kind], rows: Iterable[Sequence[Any]]) -> int:
    """Write the rows, values in the order of `columns`, to one file; return how many. Text is the type of all else."""
    count = 0
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        place = f"{scratch}/rows"
        for lot in _lots(rows):
            write_deltalake(place, _table(columns, lot), mode="append")
            count += len(lot)
        if not count:
            write_deltalake(place, _table(columns, []), mode="append")
        query = QueryBuilder({"datafusion.execution.target_partitions": "1"})
        query.register("told", DeltaTable(place))
        _run(query, f"COPY (SELECT * FROM told) TO '{_quoted(f'{scratch}/whole.parquet')}' STORED AS PARQUET")
        Path(f"{scratch}/whole.parquet").replace(path)
    return count


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file as JSON values: times are text, a column that is null is left out.

    Raises UnreadableFile for what is no Parquet file.
    """
    scratch = Path(tempfile.mkdtemp(prefix="trimtab-parquet-"))
    try:
        query = QueryBuilder({"datafusion.execution.target_partitions": "1"})
        try:
            _run(query, f"CREATE EXTERNAL TABLE told STORED AS PARQUET LOCATION '{_quoted(str(path.absolute()))}'")
            _run(query, f"COPY (SELECT * FROM told) TO '{_quoted(str(scratch / 'rows.json'))}' STORED AS JSON")
        except (DeltaError, OSError, ValueError) as error:
            raise UnreadableFile(
                f"expected a Parquet file, got {str(path)!r}: {' '.join(str(error).split())[:200]}", param="file"
            ) from error
        with (scratch / "rows.json").open("rb") as lines:
            yield from map(msgspec.json.decode, lines)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _table(columns: Mapping[str, Kind], rows: Sequence[Sequence[Any]]) -> Table:
    arrays, fields = [], []
    for place, (name, kind) in enumerate(columns.items()):
        values = [_value(row[place]) for row in rows]
        wanted = _TYPES.get(kind, DataType.string())
        raw = Array(values, DataType.int64() if kind is Kind.TIME else wanted)
        arrays.append(raw.cast(wanted) if kind is Kind.TIME else raw)
        fields.append(ArrowField(name, wanted, nullable=True))
    return Table.from_arrays(arrays, schema=ArrowSchema(fields))


def _value(value: Any) -> Any:
    return to_micros(value) if isinstance(value, datetime) else value


def _lots(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    lot: list[Sequence[Any]] = []
    for row in rows:
        lot.append(row)
        if len(lot) >= _LOT:
            yield lot
            lot = []
    if lot:
        yield lot


def _run(query: QueryBuilder, sql: str) -> None:
    for _ in query.execute(sql):
        pass


def _quoted(text: str) -> str:
    return text.replace("'", "''")
