"""All history as the source of training rows: one SQL text over the lake, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from trimtab.act.datasets.order import newest_first
from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.rule import Told, Word
from trimtab.act.datasets.source import Look, is_within
from trimtab.store.lake.query import Running, SpawnedQuery
from trimtab.store.lake.told import Wanted, told_sql

__all__ = ["LakeSource"]


class LakeSource:
    """All history. `ship` brings into the lake what the hot store has beyond it, so that hot and lake are one."""

    name = "lake"

    def __init__(self, query: SpawnedQuery, ship: Callable[[], dict[str, int]]) -> None:
        self._query = query
        self._ship = ship
        self._cursors: dict[str, int] = {}
        self._running: Running | None = None

    def told(self, project_id: str, request: DatasetRequest, folder: Path, look: Look) -> Iterator[Told]:
        """Ship, ask in a child process, and read its answer line by line."""
        look("shipping", 0)
        self._cursors = self._ship()
        look("asking the lake", 0)
        sql = told_sql(_wanted(project_id, request))
        with self._query.start(sql, folder / "told.jsonl", form="jsonl") as running:
            self._running = running
            answer = running.wait()
        try:
            with answer.path.open("rb") as lines:
                rows = map(msgspec.json.decode, newest_first(lines, folder))
                for _, group in groupby(rows, key=lambda row: row["inference_id"]):
                    told = _assembled(list(group))
                    if is_within(told, request):
                        yield told
        finally:
            answer.path.unlink(missing_ok=True)

    def facts(self, project_id: str, request: DatasetRequest) -> dict[str, Any]:
        """Return the SQL and the place up to which each table was read."""
        return {"sql": told_sql(_wanted(project_id, request)), "lake_cursors": self._cursors}

    def cancel(self) -> None:
        """End the query under way."""
        if self._running is not None:
            self._running.cancel()


def _wanted(project_id: str, request: DatasetRequest) -> Wanted:
    return Wanted(
        project_id,
        request.words,
        request.sources,
        request.features,
        request.version_ids,
        request.since,
        request.until,
        request.judged,
    )


def _assembled(rows: list[dict[str, Any]]) -> Told:
    """Return one answer from its rows of the query, in which nested values are JSON text and nulls left out."""
    first = rows[0]
    words = [
        Word(
            feedback_id=row["feedback_id"],
            kind=row["kind"],
            said_us=row["said_us"],
            value=row.get("value"),
            text=row.get("text"),
            author_id=row.get("author_id"),
        )
        for row in rows
    ]
    words.sort(key=lambda word: (word.said_us, word.feedback_id))
    return Told(
        inference_id=first["inference_id"],
        feature=first["feature"],
        created_us=first["created_us"],
        input=msgspec.json.decode(first["input"]),
        output=msgspec.json.decode(first["output"]) if "output" in first else None,
        words=words,
        version_id=first.get("version_id"),
        user_id=first.get("user_id"),
        confidence=first.get("confidence"),
        segments=msgspec.json.decode(first["segments"]) if first.get("segments") else {},
    )
