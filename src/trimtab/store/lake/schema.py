"""The lake's tables, derived from the records through the codec that the hot store's tables are derived through.

Ids are text, times are timestamps in UTC, nested values JSON text. In front of a record's fields stand `seq` and
`project_id`; `day` (the partition, as text) and `created_us` (microseconds since 1970, for comparisons that read the
same in every engine) follow from `created_at`; an inference has the hash of its input.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from arro3.core import Array, DataType, RecordBatch, Table
from arro3.core import Field as ArrowField
from arro3.core import Schema as ArrowSchema
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType
from msgspec import Struct

from trimtab.clock import from_micros, to_micros
from trimtab.errors import ConfigError
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.codec import Codec, Kind, id_bytes, id_text, json_text
from trimtab.store.lake.port import LakeTable
from trimtab.store.ports import Stored

__all__ = ["LAKE_NOUNS", "STATS_COLUMNS", "LakeNoun"]

T = TypeVar("T", bound=Struct)

STATS_COLUMNS = "seq,created_us,project_id,feature"
"""Of these alone the log keeps smallest and largest values: it outlives erased rows, so it must hold nobody's words."""

_TYPES = {
    Kind.UUID: "string",
    Kind.TIME: "timestamp",
    Kind.TEXT: "string",
    Kind.REAL: "double",
    Kind.WHOLE: "long",
    Kind.FLAG: "boolean",
    Kind.JSON: "string",
}
_ARROW = {
    "string": DataType.string(),
    "timestamp": DataType.timestamp("us", tz="UTC"),
    "double": DataType.float64(),
    "long": DataType.int64(),
    "boolean": DataType.bool(),
}
_DAY_US = 86_400_000_000
_FIXED = ("seq", "project_id", "day")


class LakeNoun(Generic[T]):
    """A record and its lake table: `columns` are the names and Delta types, in order."""

    def __init__(self, name: LakeTable, record: type[T]) -> None:
        self.name = name
        self.codec = Codec(record)
        derived = {"input_hash": "string"} if record is Inference else {}
        fields = {field: _TYPES[kind] for field, kind in self.codec.kinds.items()}
        self.columns: dict[str, str] = {
            "seq": "long",
            "project_id": "string",
            "day": "string",
            "created_us": "long",
            **derived,
            **fields,
        }
        self._created = self.codec.names.index("created_at")
        self._input = self.codec.names.index("input") if derived else None
        self._defaults = _defaults(record, self.codec)
        self._decoders: list[tuple[int, Callable[[Any], Any]]] = [
            (place, id_bytes) for place, field in enumerate(self.codec.names) if self.codec.kinds[field] is Kind.UUID
        ]

    def schema(self) -> Schema:
        """Return the Delta schema of a new table."""
        return Schema([self.field(name) for name in self.columns])

    def field(self, name: str) -> Field:
        """Return one column; all but the fixed ones may be null, so that a record's fields may come and go."""
        return Field(name, PrimitiveType(self.columns[name]), nullable=name not in _FIXED)

    def missing(self, found: Schema) -> list[Field]:
        """Return the columns that a table of schema `found` lacks.

        Raises ConfigError when a column has another type than the record's field: it would be cast without a word.
        """
        there = {field.name: field.type for field in found.fields}
        for name, kind in self.columns.items():
            if name in there and there[name] != PrimitiveType(kind):
                raise ConfigError(
                    f"expected column {name!r} of lake table {self.name!r} to be {kind!r}, found {there[name]!r}; "
                    "another version of Trimtab wrote it: use that one, or point lake.uri to a new place",
                    param="lake.uri",
                )
        return [self.field(name) for name in self.columns if name not in there]

    def arrow(self, rows: Sequence[Stored[T]], found: Schema) -> Table:
        """Return the rows as one Arrow table with the columns of `found`; those we do not know are null."""
        values = self._values(rows)
        arrays, fields = [], []
        for field in found.fields:
            kind = field.type.type if isinstance(field.type, PrimitiveType) else ""
            if kind not in _ARROW:
                raise ConfigError(
                    f"expected plain types in lake table {self.name!r}, found column {field.name!r} of {field.type!r}"
                )
            column = values.get(field.name) or [None] * len(rows)
            raw = DataType.int64() if kind == "timestamp" else _ARROW[kind]
            array = Array(column, raw)
            arrays.append(array.cast(_ARROW[kind]) if kind == "timestamp" else array)
            fields.append(ArrowField(field.name, _ARROW[kind], nullable=field.nullable))
        return Table.from_arrays(arrays, schema=ArrowSchema(fields))

    def stored(self, batch: RecordBatch) -> Iterator[Stored[T]]:
        """Yield the records of a batch that holds `seq`, `project_id` and fields; a column it lacks has its default."""
        names = set(batch.schema.names)
        seqs, projects = batch.column("seq").to_pylist(), batch.column("project_id").to_pylist()
        empty = [None] * len(seqs)
        columns = [self._pylist(batch, name) if name in names else empty for name in self.codec.names]
        for seq, project_id, *values in zip(seqs, projects, *columns, strict=True):
            for place, fix in self._decoders:
                if values[place] is not None:
                    values[place] = fix(values[place])
            for place, default in self._defaults:
                if values[place] is None:
                    values[place] = default
            yield Stored(seq, project_id, self.codec.decode(values))

    def _values(self, rows: Sequence[Stored[T]]) -> dict[str, list[Any]]:
        encoded = [self.codec.encode(row.record) for row in rows]
        columns = dict(zip(self.codec.names, map(list, zip(*encoded, strict=True)), strict=False)) if encoded else {}
        for name, kind in self.codec.kinds.items():
            if kind is Kind.UUID and name in columns:
                columns[name] = [value and id_text(value) for value in columns[name]]
        columns["seq"] = [row.seq for row in rows]
        columns["project_id"] = [row.project_id for row in rows]
        columns["created_us"] = [values[self._created] for values in encoded]
        columns["day"] = [_day_of(values[self._created] // _DAY_US) for values in encoded]
        if self._input is not None:
            columns["input_hash"] = [hashlib.sha256(values[self._input].encode()).hexdigest() for values in encoded]
        return columns

    def _pylist(self, batch: RecordBatch, name: str) -> list[Any]:
        column = batch.column(name)
        if self.codec.kinds[name] is Kind.TIME:
            column = column.cast(DataType.int64())
        return list(column.to_pylist())


@functools.lru_cache(maxsize=4096)  # rows of one day come together
def _day_of(number: int) -> str:
    """Return a day, counted from the epoch, as its date."""
    return f"{from_micros(number * _DAY_US):%Y-%m-%d}"


def _defaults(record: type[Struct], codec: Codec[Any]) -> list[tuple[int, Any]]:
    """Return by place what stands for null in a row that was written before its record had the field."""
    found = []
    for field in msgspec.structs.fields(record):
        if field.required or field.name in codec.optional:
            continue
        value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        kind = codec.kinds[field.name]
        encoded = json_text(value) if kind is Kind.JSON else to_micros(value) if kind is Kind.TIME else value
        found.append((codec.names.index(field.name), encoded))
    return found


LAKE_NOUNS: dict[LakeTable, LakeNoun[Any]] = {
    "inferences": LakeNoun("inferences", Inference),
    "feedback": LakeNoun("feedback", Feedback),
    "outcomes": LakeNoun("outcomes", Outcome),
}
