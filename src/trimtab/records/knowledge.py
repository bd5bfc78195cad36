"""What is to change in the app's own index, once a Version's knowledge is everyone's."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.event import Chunk
from trimtab.records.field import Identifier, Line, Name, Record, Text, Time, Uuid

__all__ = ["KnowledgePatch", "PatchState"]

PatchState = Literal["waiting", "delivered", "verified", "unverified", "withdrawn"]


class KnowledgePatch(Record, frozen=True):
    """One document to write to the app's index, or to take out of it again.

    `entry_id` is the document's id in both; `source_id` the app's own chunk that it corrects. It is `waiting` until
    somebody says that it was carried out, as `chunks` (ids alone); then `verified` when the index, asked the
    `question`, gave one of them among its first, `unverified` when it did not, and `delivered` when it was not asked,
    as after a delete. What is wanted no more is `withdrawn`, and its words go.
    """

    id: Uuid
    feature: Name
    kind: Literal["upsert", "delete"]
    state: PatchState
    created_at: Time
    next_at: Time
    entry_id: Name
    version_id: Name
    question: Text = ""
    text: Text = ""
    source_id: Identifier | None = None
    expires_at: Time | None = None
    attempts: Annotated[int, Meta(ge=0)] = 0
    error: Line = ""
    delivered_at: Time | None = None
    checked_at: Time | None = None
    chunks: list[Chunk] = []
    retrieved: list[Chunk] = []
