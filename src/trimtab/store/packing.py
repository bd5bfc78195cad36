"""Events made ready for the store: rows in the order of their tables' columns, which any process may make beforehand.

Making a row costs as much as inserting it, and needs no database. So whoever takes events in packs them, a group of
packs is joined, and the one who writes only inserts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from trimtab.clock import to_micros
from trimtab.errors import WallBreach
from trimtab.records import Feedback, Inference, Redacted
from trimtab.store.exchange import Arrival, Packed
from trimtab.store.schema import FEEDBACK, INFERENCES

__all__ = ["joined", "pack", "pack_arrivals"]

_INPUT = 4 + INFERENCES.codec.names.index("input")
_INFERENCE, _FEEDBACK = b"\x00\x01"


def pack(project_id: str, events: Sequence[Redacted[Inference | Feedback]], received_at: datetime) -> Packed:
    """Return the rows of a project's events. Raises WallBreach for an event that did not come from the redactor."""
    received = to_micros(received_at)
    inferences: list[list[Any]] = []
    feedback: list[list[Any]] = []
    order = bytearray()
    for event in events:
        if type(event) is not Redacted:
            raise WallBreach(f"expected an event from the redactor, got {type(event).__name__!r}; seal it first")
        record = event.record
        if type(record) is Inference:
            row = INFERENCES.row(project_id, record, received, event.rules, "")
            row[3] = hashlib.sha256(row[_INPUT].encode()).hexdigest()
            inferences.append(row)
            order.append(_INFERENCE)
        elif type(record) is Feedback:
            feedback.append(FEEDBACK.row(project_id, record, received, event.rules))
            order.append(_FEEDBACK)
        else:
            raise WallBreach(f"expected an inference or a feedback behind the wall, got {type(record).__name__!r}")
    return Packed(inferences=inferences, feedback=feedback, order=bytes(order), received_at=received)


def pack_arrivals(arrivals: Iterable[Arrival]) -> Packed:
    """Return the rows of events of any projects, in their order. Raises WallBreach."""
    lots = groupby(arrivals, key=lambda arrival: (arrival.project_id, arrival.received_at))
    return joined([pack(project, [each.event for each in lot], received) for (project, received), lot in lots])


def joined(packs: Sequence[Packed]) -> Packed:
    """Return packs as one, in their order."""
    if len(packs) == 1:
        return packs[0]
    return Packed(
        inferences=[row for packed in packs for row in packed.inferences],
        feedback=[row for packed in packs for row in packed.feedback],
        order=b"".join([packed.order for packed in packs]),
        received_at=max((packed.received_at for packed in packs), default=0),
    )
