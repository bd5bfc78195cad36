"""The door into storage: takes a record, cleans every word in it, and hands it on behind the wall.

Which fields hold words is written beside the fields themselves (`Meta(extra={"pii": ...})` in `trimtab.records`), so a
new field is covered the day it is declared. Only this package makes `Redacted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import inspect

from trimtab.records import Redacted, Version

__all__ = ["Cleaner", "seal", "seal_all", "treatments"]

T = TypeVar("T")


class Cleaner(Protocol):
    """What the wall needs of a redactor."""

    @property
    def version(self) -> str:
        """Version of rules and policy, kept on every row."""
        ...

    def batch(self, texts: Sequence[str]) -> list[str]:
        """Return the texts redacted, in order."""
        ...

    def value(self, value: Any) -> Any:
        """Return a JSON value redacted leaf by leaf, keys included."""
        ...

    def identifier(self, text: str) -> str:
        """Return an opaque id as it is, or its pseudonym when it is itself personal data."""
        ...


def seal(cleaner: Cleaner, record: T) -> Redacted[T]:
    """Return the record with every word cleaned, behind the wall."""
    return seal_all(cleaner, [record])[0]


def seal_all(cleaner: Cleaner, records: Sequence[T]) -> list[Redacted[T]]:
    """Return the records behind the wall, in order; their plain texts go through the redactor in one call."""
    texts: list[str] = []
    for record in records:
        _collect(record, texts)
    cleaned = iter(cleaner.batch(texts))
    return [Redacted(_identified(_rebuild(record, cleaned, cleaner)), cleaner.version) for record in records]


def _identified(record: T) -> T:
    """Give a Version the id of what will be stored: cleaning may have changed its words."""
    return record.identified() if isinstance(record, Version) else record  # type: ignore[return-value]


class _Field(NamedTuple):
    name: str
    treatment: str  # known | text | value | identifier | struct | structs | texts


@cache
def treatments(kind: type) -> tuple[_Field, ...]:
    """Return the fields of a record that hold words and how each is treated. Raises TypeError for an undeclared one."""
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"expected a record, got {kind!r}")
    found = []
    for field in info.fields:
        treatment = _treatment(field.type, f"{kind.__name__}.{field.name}")
        if treatment != "none":
            found.append(_Field(field.name, treatment))
    return tuple(found)


def _treatment(kind: inspect.Type, where: str) -> str:
    if isinstance(kind, inspect.Metadata):
        told = (kind.extra or {}).get("pii")
        return str(told) if told else _treatment(kind.type, where)
    if isinstance(kind, inspect.UnionType):
        found = {_treatment(part, where) for part in kind.types} - {"none"}
        if len(found) > 1:
            raise TypeError(f"{where}: expected one treatment in a union, got {sorted(found)}")
        return found.pop() if found else "none"
    if isinstance(kind, inspect.StructType):
        return "struct" if treatments(kind.cls) else "none"
    if isinstance(kind, inspect.ListType):
        inner = _treatment(kind.item_type, where)
        if inner in ("none", "struct"):
            return "structs" if inner == "struct" else "none"
    if isinstance(kind, inspect.DictType) and _treatment(kind.key_type, where) == "none":
        inner = _treatment(kind.value_type, where)
        if inner in ("none", "text"):
            return "texts" if inner == "text" else "none"
    if isinstance(kind, _WORDLESS):
        return "none"
    raise TypeError(f"{where} holds words but does not say how they are redacted: use Text, Payload or Identifier")


_WORDLESS = (
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.NoneType,
    inspect.DateTimeType,
    inspect.LiteralType,
)


def _fields(record: object) -> tuple[_Field, ...]:
    return treatments(type(record))  # type: ignore[arg-type]


def _collect(record: Any, texts: list[str]) -> None:
    for name, treatment in _fields(record):
        value = getattr(record, name)
        if value is None:
            continue
        if treatment == "text" or (treatment == "value" and isinstance(value, str)):
            texts.append(value)
        elif treatment == "texts":
            texts.extend(value.values())
        elif treatment == "struct":
            _collect(value, texts)
        elif treatment == "structs":
            for item in value:
                _collect(item, texts)


def _rebuild(record: T, cleaned: Iterator[str], cleaner: Cleaner) -> T:
    changes: dict[str, Any] = {}
    for name, treatment in _fields(record):
        value = getattr(record, name)
        if value is None:
            continue
        clean = _CLEAN[treatment](value, cleaned, cleaner)
        if clean is not value:
            changes[name] = clean
    return msgspec.structs.replace(record, **changes) if changes else record  # type: ignore[type-var]


def _clean_value(value: Any, cleaned: Iterator[str], cleaner: Cleaner) -> Any:
    return next(cleaned) if isinstance(value, str) else cleaner.value(value)


def _clean_structs(value: list[Any], cleaned: Iterator[str], cleaner: Cleaner) -> list[Any]:
    return [_rebuild(item, cleaned, cleaner) for item in value]


_CLEAN: dict[str, Callable[[Any, Iterator[str], Cleaner], Any]] = {
    "text": lambda _value, cleaned, _cleaner: next(cleaned),
    "texts": lambda value, cleaned, _cleaner: {key: next(cleaned) for key in value},
    "known": lambda _value, _cleaned, _cleaner: None,
    "value": _clean_value,
    "identifier": lambda value, _cleaned, cleaner: cleaner.identifier(value),
    "struct": _rebuild,
    "structs": _clean_structs,
}
