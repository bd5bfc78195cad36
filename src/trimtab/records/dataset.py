"""A set of training rows made from what people said."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.field import Line, Name, Record, State, Time, Uuid

__all__ = ["Dataset", "DatasetFile", "DatasetFormat", "DatasetKind", "DatasetState"]

DatasetKind = Literal["sft", "dpo", "kto", "cases"]
DatasetFormat = Literal["trl", "openai"]
DatasetState = Literal["building", "done", "failed", "deleted"]


class DatasetFile(Record, frozen=True):
    """One file of a dataset: `GET /v1/datasets/{id}/files/{name}` returns it."""

    name: Name
    rows: int
    size_bytes: int
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"pii": "none"})]


class Dataset(Record, frozen=True):
    """A set of training rows with its files: what was asked for (`request`) and what came of it.

    `content_id` is the hash of what is in it: the same history and request give the same one. `rows` are counted by
    split, `left_out` by reason; the file manifest.json says more. `path` is where it lies under `storage.path`.
    `revised_at` is when rows of erased people were last taken out of it, `erased` how many in all.
    """

    id: Uuid
    kind: DatasetKind
    format: DatasetFormat
    state: DatasetState
    created_at: Time
    request: State
    content_id: Name | None = None
    rows: State = {}
    left_out: State = {}
    files: list[DatasetFile] = []
    path: Line = ""
    finished_at: Time | None = None
    revised_at: Time | None = None
    erased: int = 0
    error: Line = ""
