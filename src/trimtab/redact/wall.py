"""The door into storage: takes a record, cleans every word in it, and hands it on behind the wall.

Which fields hold words is written beside the fields themselves (`Meta(extra={"pii": ...})` in `trimtab.records`), so a
new field is covered the day it is declared. Only this package makes `Redacted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import inspect

from trimtab.records import Redacted, Version
from trimtab.redact.entity import FAILED
from trimtab.redact.known import KnownValue

__all__ = ["Cleaner", "seal", "seal_all", "treatments", "withhold"]

_KINDS: dict[str, Literal["name", "email", "phone"]] = {"name": "name", "email": "email", "phone": "phone"}

T = TypeVar("T")


class Cleaner(Protocol):
    """What the wall needs of a redactor."""

    @property
    def version(self) -> str:
        """Version of rules and policy, kept on every row."""
        ...

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        """Return the texts redacted, in order; `known` are literals to take out of them besides."""
        ...

    def value(self, value: Any, known: Sequence[KnownValue] = ()) -> Any:
        """Return a JSON value redacted leaf by leaf, keys included."""
        ...

    def identifier(self, text: str) -> str:
        """Return an opaque id as it is, or its pseudonym when it is itself personal data."""
        ...


def seal(cleaner: Cleaner, record: T) -> Redacted[T]:
    """Return the record with every word cleaned, behind the wall."""
    return seal_all(cleaner, [record])[0]


def seal_all(cleaner: Cleaner, records: Sequence[T]) -> list[Redacted[T]]:
    """Return the records behind the wall, in order; their plain texts go through the redactor in one call.

    What a record says of its own user ("known") is taken out of all its words and then dropped.
    """
    texts: list[str] = []
    parts = [_part(record, texts) for record in records]
    cleaned = cleaner.batch(texts)
    rules = cleaner.version
    sealed = []
    for record, part in zip(records, parts, strict=True):
        if part.known:
            done = _rebuild(record, _Cleaning(_own(cleaner, record, part.known), cleaner, part.known))
        elif part.flat and cleaned[part.start : part.end] == texts[part.start : part.end]:
            done = _with_identifiers(record, cleaner)
        else:
            done = _rebuild(record, _Cleaning(iter(cleaned[part.start : part.end]), cleaner, ()))
        sealed.append(Redacted(_identified(done), rules))
    return sealed


class _Part(NamedTuple):
    """Where the texts of a record stand among all; `flat` where it holds no words but these and its identifiers."""

    start: int
    end: int
    flat: bool
    known: Sequence[KnownValue]


def _part(record: Any, texts: list[str]) -> _Part:
    start = len(texts)
    flat = _collect(record, texts)
    if flat and not _plan(type(record)).tells:  # type: ignore[arg-type]
        return _Part(start, len(texts), flat, ())
    known = _known(record)
    if known:
        del texts[start:]  # they are cleaned by themselves
    return _Part(start, len(texts), flat, known)


def _with_identifiers(record: T, cleaner: Cleaner) -> T:
    """Return a record whose other words need no cleaning."""
    names = _plan(type(record)).identifiers  # type: ignore[arg-type]
    changes = {}
    for name in names:
        value = getattr(record, name)
        if value is not None and (clean := cleaner.identifier(value)) is not value:
            changes[name] = clean
    return msgspec.structs.replace(record, **changes) if changes else record  # type: ignore[type-var]


def withhold(cleaner: Cleaner, record: T) -> Redacted[T]:
    """Return an event that cannot be cleaned, without its words: `<REDACTION_FAILED>` stands for each.

    Ids, names, numbers and times stay; an id that cannot be judged goes as words do.
    """
    return Redacted(_identified(_withheld(record, cleaner)), cleaner.version)


def _own(cleaner: Cleaner, record: object, known: Sequence[KnownValue]) -> Iterator[str]:
    texts: list[str] = []
    _collect(record, texts)
    return iter(cleaner.batch(texts, known))


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


class _Plan(NamedTuple):
    """The fields of a record by what is done with them, with a reader of all that may hold words."""

    read: Callable[[Any], Sequence[Any]]
    treatments: tuple[str, ...]
    identifiers: tuple[str, ...]
    tells: bool  # whether it says something of its user itself, not in a part of it


@cache
def _plan(kind: type) -> _Plan:
    fields = treatments(kind)
    words = [field for field in fields if field.treatment not in ("known", "identifier")]
    names = [field.name for field in words]
    read = attrgetter(*names) if len(names) > 1 else lambda record: [getattr(record, name) for name in names]
    identifiers = tuple(field.name for field in fields if field.treatment == "identifier")
    tells = any(field.treatment == "known" for field in fields)
    return _Plan(read, tuple(field.treatment for field in words), identifiers, tells)


def _collect(record: Any, texts: list[str]) -> bool:
    """Add the record's texts, in the order in which they are put back; say whether it holds no words in any depth."""
    flat = True
    plan = _plan(type(record))  # type: ignore[arg-type]
    for value, treatment in zip(plan.read(record), plan.treatments, strict=True):
        if value is None:
            continue
        if isinstance(value, str):
            texts.append(value)
        elif not value:
            continue
        elif treatment == "texts":
            texts.extend(value.values())
        else:
            flat = False
            if treatment == "struct":
                _collect(value, texts)
            elif treatment == "structs":
                for item in value:
                    _collect(item, texts)
    return flat


def _known(record: Any) -> list[KnownValue]:
    """Return what a record says of its own user, itself or in a part of it."""
    told: list[KnownValue] = []
    for name, treatment in _telling(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if value is None:
            continue
        if treatment == "known":
            told.append(KnownValue(_KINDS[name], value))
        else:
            told += _known(value)
    return told


@cache
def _telling(kind: type) -> tuple[_Field, ...]:
    """Return the fields that say something of the user, and those that may hold such fields."""
    return tuple(field for field in treatments(kind) if field.treatment in ("known", "struct"))


class _Cleaning(NamedTuple):
    """What the fields of one record are cleaned with: its cleaned texts in order, and what it says of its user."""

    texts: Iterator[str]
    cleaner: Cleaner
    known: Sequence[KnownValue]


def _rebuild(record: T, cleaning: _Cleaning) -> T:
    changes: dict[str, Any] = {}
    for name, treatment in _fields(record):
        value = getattr(record, name)
        if value is None:
            continue
        clean = _CLEAN[treatment](value, cleaning)
        if clean is not value:
            changes[name] = clean
    return msgspec.structs.replace(record, **changes) if changes else record  # type: ignore[type-var]


def _clean_value(value: Any, cleaning: _Cleaning) -> Any:
    if isinstance(value, str):
        return next(cleaning.texts)
    return cleaning.cleaner.value(value, cleaning.known) if cleaning.known else cleaning.cleaner.value(value)


_CLEAN: dict[str, Callable[[Any, _Cleaning], Any]] = {
    "known": lambda _value, _cleaning: None,
    "text": lambda _value, cleaning: next(cleaning.texts),
    "texts": lambda value, cleaning: {key: next(cleaning.texts) for key in value},
    "value": _clean_value,
    "identifier": lambda value, cleaning: cleaning.cleaner.identifier(value),
    "struct": _rebuild,
    "structs": lambda value, cleaning: [_rebuild(item, cleaning) for item in value],
}


def _withheld(record: T, cleaner: Cleaner) -> T:
    changes: dict[str, Any] = {}
    for name, treatment in _fields(record):
        value = getattr(record, name)
        if value is not None:
            changes[name] = _WITHHELD[treatment](value, cleaner)
    return msgspec.structs.replace(record, **changes) if changes else record  # type: ignore[type-var]


def _judged(value: str, cleaner: Cleaner) -> str:
    try:
        return cleaner.identifier(value)
    except Exception:  # noqa: BLE001  whatever the reason: it may be somebody's
        return FAILED


_WITHHELD: dict[str, Callable[[Any, Cleaner], Any]] = {
    "known": lambda _value, _cleaner: None,
    "text": lambda value, _cleaner: FAILED if value else value,
    "texts": lambda value, _cleaner: dict.fromkeys(value, FAILED),
    "value": lambda _value, _cleaner: FAILED,
    "identifier": _judged,
    "struct": _withheld,
    "structs": lambda value, cleaner: [_withheld(item, cleaner) for item in value],
}
