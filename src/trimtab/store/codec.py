"""How a record becomes a row and comes back: one small table of field kinds, compiled once per record.

Ids are kept as 16 bytes, times as microseconds since the epoch, nested values as JSON with sorted keys, so that the
same value is always the same text (an input's hash depends on that).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from trimtab.clock import from_micros, to_micros
from trimtab.records import Time, Uuid

__all__ = ["Codec", "Kind", "id_bytes", "id_text", "json_text", "known_ids"]

T = TypeVar("T", bound=Struct)

_json = msgspec.json.Encoder(order="deterministic")


class Kind(Enum):
    """What a field is in a row."""

    UUID = "uuid"
    TIME = "time"
    TEXT = "text"
    REAL = "real"
    WHOLE = "whole"
    FLAG = "flag"
    JSON = "json"


_unhex = bytes.fromhex


def id_bytes(text: str) -> bytes:
    """Return the 16 bytes of a UUID in canonical form. Raises ValueError for any other text."""
    raw = _unhex(text.replace("-", ""))
    if len(raw) != 16:
        raise ValueError(f"expected a UUID of 32 hex digits, got {text!r}")
    return raw


def id_text(raw: bytes) -> str:
    """Return the canonical text of a UUID's 16 bytes."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def known_ids(texts: Sequence[str]) -> list[bytes]:
    """Return the ids to look up, each once; a text that is no UUID names no row and is left out."""
    found: dict[bytes, None] = {}
    for text in texts:
        try:
            found[id_bytes(text)] = None
        except ValueError:
            continue
    return list(found)


def json_text(value: object) -> str:
    """Return `value` as JSON with sorted keys: equal values, equal text."""
    return _json.encode(value).decode()


class Codec(Generic[T]):
    """Turns records of one type into lists of column values, in the order of `names`, and back."""

    def __init__(self, record: type[T], *, without: Sequence[str] = ()) -> None:
        hints = get_type_hints(record, include_extras=True)
        self.record = record
        self.names = tuple(name for name in record.__struct_fields__ if name not in without)
        self.kinds = {name: _kind(hints[name]) for name in self.names}
        self.optional = frozenset(name for name in self.names if _unwrap(hints[name])[1])
        self._get = attrgetter(*self.names)
        self._out = _fixes(self.names, self.kinds, lambda name: _ENCODERS.get(self.kinds[name]))
        self._in = _fixes(self.names, self.kinds, lambda name: _decoder(self.kinds[name], hints[name]))

    def encode(self, record: T) -> list[Any]:
        """Return the column values of `record`."""
        values = list(self._get(record))
        for place, fix in self._out:
            value = values[place]
            if value is not None:
                values[place] = fix(value)
        return values

    def decode(self, row: Sequence[Any]) -> T:
        """Return the record of a row that holds the columns `names`."""
        values = list(row)
        for place, fix in self._in:
            value = values[place]
            if value is not None:
                values[place] = fix(value)
        return self.record(**dict(zip(self.names, values, strict=True)))


_Fix = Callable[[Any], Any]
_ENCODERS: dict[Kind, _Fix] = {Kind.UUID: id_bytes, Kind.TIME: to_micros, Kind.JSON: json_text}


def _decoder(kind: Kind, hint: object) -> _Fix | None:
    if kind is Kind.JSON:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_unwrap(hint)[0])
        return decoder.decode
    fixes: dict[Kind, _Fix] = {Kind.UUID: id_text, Kind.TIME: from_micros, Kind.FLAG: bool}
    return fixes.get(kind)


def _fixes(
    names: Sequence[str], kinds: dict[str, Kind], fix_of: Callable[[str], _Fix | None]
) -> list[tuple[int, _Fix]]:
    found = ((place, fix_of(name)) for place, name in enumerate(names) if name in kinds)
    return [(place, fix) for place, fix in found if fix is not None]


def _unwrap(hint: Any) -> tuple[Any, bool]:
    """Return the type without its `| None`, and whether it had one."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        if len(parts) == 1:
            return parts[0], True
    return hint, False


def _kind(hint: Any) -> Kind:
    plain, _ = _unwrap(hint)
    if plain == Uuid:
        return Kind.UUID
    if plain in (Time, datetime):
        return Kind.TIME
    bare = plain.__origin__ if hasattr(plain, "__metadata__") else plain
    if bare is str or get_origin(bare) is Literal:
        return Kind.TEXT
    return {bool: Kind.FLAG, int: Kind.WHOLE, float: Kind.REAL}.get(bare, Kind.JSON)
