"""Cleaning stored records again, by newer rules: words change, ids and whatever joins hang on do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from trimtab.records import Redacted, Version
from trimtab.redact.known import KnownValue
from trimtab.redact.wall import Cleaner, seal_all

__all__ = ["seal_again"]

T = TypeVar("T")


def seal_again(cleaner: Cleaner, records: Sequence[T]) -> list[tuple[Redacted[T], bool]]:
    """Return the records cleaned once more, in order, each with whether that changed anything.

    Ids stay as they are, for rows of other tables name them. A Version keeps its id though it is no longer the hash of
    its words: what served it, and what was said of it, still means it. Raises what the cleaner raises.
    """
    found = []
    for record, sealed in zip(records, seal_all(_WordsOnly(cleaner), records), strict=True):
        clean = sealed.record
        if isinstance(clean, Version) and isinstance(record, Version):
            clean = msgspec.structs.replace(clean, id=record.id)
        found.append((Redacted(clean, sealed.rules), clean != record))
    return found


class _WordsOnly:
    """A cleaner that leaves ids alone."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self.version = cleaner.version

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        return self._cleaner.batch(texts, known)

    def value(self, value: Any, known: Sequence[KnownValue] = ()) -> Any:
        return self._cleaner.value(value, known)

    def identifier(self, text: str) -> str:
        return text
