"""What is kept of what was removed: the receipt of an erasure."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.field import Line, Name, Record, Time, Uuid

__all__ = ["Erasure", "ErasureState"]

ErasureState = Literal["working", "done"]

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"pii": "none"})]
"""SHA-256 in hexadecimal."""


class Erasure(Record, frozen=True):
    """One person's removal, and its receipt. It ends `done`; whatever stops it is tried again, and told in `problem`.

    `person` is the hash of project and user id: the id itself is nowhere once it is done. From `asked_at` on nothing of
    theirs is taken in. `removed` counts what left, by place and table; `finished` are the places where nothing is left.
    """

    id: Uuid
    person: Hash
    asked_at: Time
    state: ErasureState
    removed: dict[Name, dict[Name, int]] = {}
    finished: list[Name] = []
    notes: list[Line] = []
    problem: Line = ""
    finished_at: Time | None = None
