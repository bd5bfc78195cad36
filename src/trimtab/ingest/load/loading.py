"""Sends a file's rows through the intake in batches and says what became of each that was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct

from trimtab.errors import InputError
from trimtab.ingest.intake import Receipt
from trimtab.ingest.load.shape import Shaper
from trimtab.ingest.load.table import Line

__all__ = ["Loaded", "Refused", "Sink", "load"]

Sink = Callable[[bytes], Receipt]
"""Takes a body of JSON lines and says what became of it."""

_SHOWN = 20
_BATCH_BYTES = 4 << 20


class Refused(Struct, frozen=True):
    """One row that was not taken: its line in the file, a stable code and the reason."""

    line: int
    code: str
    message: str


class Loaded(Struct, kw_only=True):
    """What became of a file: events by fate, the first rows that were refused, columns that mean nothing."""

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    reasons: dict[str, int] = {}
    first: list[Refused] = []
    ignored_columns: list[str] = []


class _Sent(NamedTuple):
    line: int
    body: bytes


def load(lines: Iterable[Line], shaper: Shaper, sink: Sink, *, batch_events: int) -> Loaded:
    """Send the rows and return the report. Rows are taken as they come, so that memory holds one batch."""
    found = Loaded()
    reasons: Counter[str] = Counter()

    def refuse(line: int, code: str, message: str) -> None:
        found.refused += 1
        reasons[code] += 1
        if len(found.first) < _SHOWN:
            found.first.append(Refused(line, code, message))

    for batch in _batches(_events(lines, shaper, found, refuse), batch_events):
        receipt = sink(b"\n".join(event.body for event in batch))
        found.accepted += receipt.accepted
        found.duplicates += receipt.duplicates
        for rejection in receipt.rejected:
            refuse(batch[rejection.index].line, rejection.code, rejection.message)
    found.first.sort(key=lambda one: one.line)
    found.reasons = dict(sorted(reasons.items()))
    found.ignored_columns = sorted(shaper.ignored)
    return found


def _events(
    lines: Iterable[Line], shaper: Shaper, found: Loaded, refuse: Callable[[int, str, str], None]
) -> Iterator[_Sent]:
    for line in lines:
        found.rows += 1
        if line.fault:
            refuse(line.number, "malformed_row", line.fault)
            continue
        try:
            events = shaper.events(line.row)
        except InputError as error:
            refuse(line.number, error.code, error.message)
            continue
        for event in events:
            yield _Sent(line.number, msgspec.json.encode(event))


def _batches(events: Iterator[_Sent], most: int) -> Iterator[list[_Sent]]:
    batch: list[_Sent] = []
    size = 0
    for event in events:
        if batch and (len(batch) >= most or size + len(event.body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.body) + 1
    if batch:
        yield batch
